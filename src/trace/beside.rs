//! Programs at links beside the way, which leave the end open.

use super::walk::Walk;
use crate::model::{Link, LinkId, Program};

impl Walk<'_> {
    /// Programs at the last hop that see the packet; from here on no end is certain.
    pub(super) fn note_programs(&mut self, at: LinkId, link: &Link, ingress: bool) {
        if link.is_loopback() {
            return;
        }
        let programs = match self.topology.programs(at, link) {
            Ok(programs) => programs,
            // Where a namespace is closed, that it is one is told by the rest of the walk.
            Err(_) => return,
        };
        let mut seeing: Vec<Program> = programs.into_iter().filter(|p| p.ingress == ingress).collect();
        let Some(first) = seeing.first() else { return };
        if self.programmed.is_none() {
            self.programmed = Some(format!("{} at {} of {}", named(first), link.ifname, self.here()));
        }
        if let Some(hop) = self.hops.last_mut() {
            hop.programs.append(&mut seeing);
        }
    }

    /// The last hop has a program of this sort.
    pub(super) fn has_program(&self, is: impl Fn(&Program) -> bool) -> bool {
        self.hops.last().is_some_and(|hop| hop.programs.iter().any(is))
    }
}

/// A program as people call it.
fn named(program: &Program) -> String {
    match (&program.name, program.id) {
        (Some(name), _) => format!("the {} program {name}", program.kind),
        (None, Some(id)) => format!("the {} program {id}", program.kind),
        (None, None) => format!("a {} program", program.kind),
    }
}

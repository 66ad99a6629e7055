//! Everybody on this machine whose packets can be asked for by name.

use std::mem;

use super::Spaces;
use crate::kernel::holders;
use crate::model::{HolderType, NetnsId, Owner, Pid};

/// Somebody whose packets can be asked for by name, and the way to the namespace.
#[derive(Debug, Clone)]
pub struct Owned {
    /// The namespace; none where it may not be opened, and only a process inside is known.
    pub id: Option<NetnsId>,
    /// A process inside.
    pub pid: Option<Pid>,
    /// The namespace is the host's, which belongs to none of its containers.
    pub shares_host: bool,
    /// What a person calls the namespace.
    pub name: String,
    /// Who it is.
    pub owner: Option<Owner>,
}

impl Spaces {
    /// Everybody on this machine who has a name.
    pub fn owned(&mut self) -> Vec<Owned> {
        let found = mem::take(self.found());
        let mut owned = Vec::new();
        if let Some(whose) = &mut self.whose {
            for space in &found {
                let id = Some(space.id);
                if id == self.host {
                    let inside = space.holders.iter().filter(|h| h.holder == HolderType::Process);
                    let tenants = whose.among(&inside.map(|h| h.pid).collect::<Vec<_>>());
                    owned.extend(tenants.into_iter().map(|owner| Owned {
                        id,
                        pid: None,
                        shares_host: true,
                        name: "host".to_owned(),
                        owner: Some(owner),
                    }));
                } else {
                    let owner = whose.of_namespace(&space.holders);
                    let name = space.name_with(self.host, owner.as_ref());
                    owned.push(Owned { id, pid: space.pid(), shares_host: false, name, owner });
                }
            }
            // Of a namespace that may not be opened a process is all that is known; one for each owner is enough.
            let mut closed: Vec<Owned> = Vec::new();
            for pid in &self.hidden {
                let owner = whose.of_process(*pid).filter(|owner| !owner.is_bare());
                if let Some(owner) = owner.filter(|owner| closed.iter().all(|o| o.owner.as_ref() != Some(owner))) {
                    let name = holders::called(&owner);
                    closed.push(Owned { id: None, pid: Some(*pid), shares_host: false, name, owner: Some(owner) });
                }
            }
            owned.append(&mut closed);
        }
        *self.found() = found;
        owned
    }
}

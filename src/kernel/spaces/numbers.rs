//! Which namespace another one means by an nsid.

use std::fs;
use std::mem;

use super::{Access, Space, Spaces};
use crate::kernel::nsid;
use crate::kernel::socket::Refused;
use crate::kernel::text;
use crate::model::{Netns, NetnsId, Nsid};

/// All namespaces are asked once more where none had a number, at most so often: where many are out of sight, that would
/// be the same for each of them.
const AGAIN: usize = 4;

/// What a namespace was asked for its numbers for: to ask for each of a thousand for each of its links takes seconds.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// So many of those that were entered.
    entered: usize,
    /// So many of those that were found.
    found: usize,
    /// How often all of these once more.
    again: usize,
}

impl Spaces {
    /// Which namespace another one means by a number.
    pub fn by_nsid(&mut self, said_by: NetnsId, nsid: Nsid) -> std::result::Result<NetnsId, Refused> {
        // What was asked through another namespace's socket was answered in that one's numbers.
        let said_by = match self.access(said_by) {
            Some(Access::ByNsid { via, .. }) => *via,
            _ => said_by,
        };
        if let Some(known) = self.nsids.get(&(said_by, nsid)).copied()
            && (self.spaces.contains_key(&known) || self.enter_found(known))
        {
            return Ok(known);
        }
        if let Some(known) = self.among_opened(said_by, nsid)? {
            return Ok(known);
        }
        if let Some(found) = self.among_found(said_by, nsid)? {
            return Ok(found);
        }
        let id = NetnsId::Unopened { from: said_by.ino().unwrap_or(0), nsid };
        let name = format!("unseen namespace (nsid {nsid} in {})", self.netns(said_by).name);
        let own_number = (said_by == self.own).then_some(nsid);
        let netns = Netns { id, nsid: own_number.or(Some(nsid)), name, node: None, owner: None, pid: None };
        self.spaces.insert(id, Space { netns, access: Access::ByNsid { via: said_by, nsid } });
        self.nsids.insert((said_by, nsid), id);
        Ok(id)
    }

    /// Asks for the numbers of the namespaces that are open already: mostly it is one of them.
    fn among_opened(&mut self, said_by: NetnsId, nsid: Nsid) -> std::result::Result<Option<NetnsId>, Refused> {
        let Some(mut asked) = self.spaces.remove(&said_by) else { return Ok(None) };
        let mut answer = Ok(None);
        if let Access::Inside { socket, file } = &mut asked.access {
            let done = &mut self.asked.entry(said_by).or_default().entered;
            for id in &self.entered[*done..] {
                // A namespace can have a number for itself, too.
                let other = match self.spaces.get(id).map(|space| &space.access) {
                    Some(Access::Inside { file, .. }) => file,
                    _ if *id == said_by => &*file,
                    _ => continue,
                };
                match nsid::of_file(socket, other) {
                    Ok(Some(number)) => {
                        self.nsids.insert((said_by, number), *id);
                        if number == nsid {
                            answer = Ok(Some(*id));
                        }
                    }
                    Ok(None) => {}
                    Err(refused) => {
                        answer = Err(refused);
                        break;
                    }
                }
                *done += 1;
            }
        }
        self.spaces.insert(said_by, asked);
        answer
    }

    /// Looks through all namespaces of the machine.
    fn among_found(&mut self, said_by: NetnsId, nsid: Nsid) -> std::result::Result<Option<NetnsId>, Refused> {
        let found = mem::take(self.found());
        let asked = self.asked.entry(said_by).or_default();
        let (before, first) = found.split_at(asked.found);
        // One that had no number, or another one, can have got this since.
        let again = if asked.again < AGAIN { before } else { &[] };
        let mut answer = None;
        for (at, candidate) in first.iter().chain(again).enumerate() {
            let asked = self.asked.entry(said_by).or_default();
            match at < first.len() {
                true => asked.found += 1,
                false => asked.again += usize::from(at == first.len()),
            }
            if candidate.id == said_by {
                continue;
            }
            let file = match candidate.open() {
                Ok(file) => file,
                Err(error) => {
                    self.note_limit(&error);
                    continue;
                }
            };
            let Some((socket, _)) = self.socket(said_by) else { break };
            // It may have vanished since it was opened; the next one may not.
            let Ok(Some(number)) = nsid::of_file(socket, &file) else { continue };
            self.nsids.insert((said_by, number), candidate.id);
            if number == nsid {
                answer = Some(candidate.id);
                break;
            }
        }
        *self.found() = found;
        if let Some(id) = answer.filter(|id| self.enter_found(*id)) {
            return Ok(Some(id));
        }
        Ok(if said_by == self.own { self.among_hidden(nsid) } else { None })
    }

    /// Processes whose namespace may not be opened still have a number here.
    fn among_hidden(&mut self, nsid: Nsid) -> Option<NetnsId> {
        let own = self.own;
        for pid in self.hidden.clone() {
            if self.socket(own).is_some_and(|(socket, _)| nsid::of_pid(socket, pid).is_ok_and(|n| n == Some(nsid))) {
                let name = fs::read(format!("/proc/{pid}/comm")).map(|comm| text(comm.trim_ascii_end())).ok()?;
                return self.read_only(pid, name, None).ok();
            }
        }
        None
    }
}

//! What a person calls a namespace: `host`, a name that somebody gave it in the file system, or its oldest process.

use std::os::unix::ffi::OsStrExt;

use super::{Found, mount, process, text};
use crate::model::{HolderType, NetnsId, Owner};

/// What the namespace of pid 1 is called, and nothing else.
const HOST: &str = "host";

impl Found {
    /// What a person calls the namespace of this owner, given that of pid 1.
    pub fn name_with(&self, host: Option<NetnsId>, owner: Option<&Owner>) -> String {
        match owner {
            _ if host == Some(self.id) => HOST.to_owned(),
            Some(owner) if !owner.is_bare() || (owner.runtime == "systemd" && self.given_name().is_none()) => {
                called(owner)
            }
            _ => self.name(host),
        }
    }

    /// What a person calls the namespace, given that of pid 1.
    pub fn name(&self, host: Option<NetnsId>) -> String {
        if host == Some(self.id) {
            return HOST.to_owned();
        }
        // Mount points elsewhere and names of processes are a container's to choose: it shall not pass for the host.
        let given = self.given_name().or_else(|| self.oldest_comm()).filter(|name| name != HOST && !name.is_empty());
        given.unwrap_or_else(|| match self.id {
            NetnsId::Inode { ino, .. } | NetnsId::Recorded { ino: Some(ino), .. } => format!("net:[{ino}]"),
            NetnsId::Recorded { at, .. } => format!("namespace {at}"),
            NetnsId::Unopened { nsid, .. } => format!("nsid {nsid}"),
            NetnsId::OfPid(pid) => format!("pid {pid}"),
        })
    }

    /// A name in the file system: those in podnet's own mount namespace first, those in a netns directory before
    /// other mount points, and the first by the alphabet where there are several.
    fn given_name(&self) -> Option<String> {
        let mounts = self.holders.iter().filter(|h| h.holder == HolderType::Mount).filter_map(|h| h.path.as_deref());
        let mounts = mounts.filter_map(|path| {
            let (dir, name) = path.rsplit_once('/')?;
            Some((mount::is_foreign(path), !dir.ends_with("/netns"), name))
        });
        let mounts = mounts.map(|(foreign, elsewhere, name)| (foreign, elsewhere, name.to_owned()));
        let aliases = self.aliases.iter().filter_map(|path| Some((false, false, text(path.file_name()?.as_bytes()))));
        mounts.chain(aliases).min().map(|(_, _, name)| name)
    }

    /// Name of the process that started first.
    fn oldest_comm(&self) -> Option<String> {
        let in_it = self.holders.iter().filter(|h| matches!(h.holder, HolderType::Process | HolderType::Thread));
        let oldest = in_it.min_by_key(|h| (process::start_time(h.pid).unwrap_or(u64::MAX), h.pid));
        oldest.or(self.holders.iter().find(|h| h.comm.is_some()))?.comm.clone()
    }
}

/// The name of an owner, but for one that calls itself as the host is called.
pub fn called(owner: &Owner) -> String {
    match owner.name.as_str() {
        HOST => format!("{}:{HOST}", owner.runtime),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Holder, Pid};

    fn found(mounts: &[&str], aliases: &[&str]) -> Found {
        let mut found = Found::new(NetnsId::Inode { dev: 4, ino: 7 });
        for path in mounts {
            let path = Some((*path).to_owned());
            found.holders.push(Holder { holder: HolderType::Mount, pid: Pid(1), comm: None, path });
        }
        found.aliases = aliases.iter().map(|a| format!("/run/netns/{a}").into()).collect();
        found
    }

    #[test]
    fn names_have_an_order() {
        let foreign = "/proc/812/root/run/user/1000/netns/netns-ab";
        assert_eq!(found(&[foreign, "/run/netns/blue"], &[]).name(None), "blue");
        assert_eq!(found(&["/var/lib/x/ns", "/run/docker/netns/1-ab"], &[]).name(None), "1-ab");
        assert_eq!(found(&["/var/lib/x/ns", foreign], &[]).name(None), "ns");
        assert_eq!(found(&[foreign], &[]).name(None), "netns-ab");
        assert_eq!(found(&["/var/lib/x/ns"], &["web"]).name(None), "web");
        assert_eq!(found(&[], &[]).name(None), "net:[7]");
    }

    #[test]
    fn only_the_namespace_of_pid_1_is_the_host() {
        let host = NetnsId::Inode { dev: 4, ino: 7 };
        let other = NetnsId::Inode { dev: 4, ino: 8 };
        assert_eq!(found(&["/run/docker/netns/default"], &[]).name(Some(host)), "host");
        assert_eq!(found(&["/proc/812/root/tmp/host"], &[]).name(Some(other)), "net:[7]");
        assert_eq!(found(&["/proc/812/root/tmp/host"], &[]).name(None), "net:[7]");
    }
}

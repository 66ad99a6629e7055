//! Why this machine gives no private namespaces: which setting forbids them, and what allows them again.

use std::fs;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::geteuid;

use crate::error::{Error, ErrorId};

/// Sorts of namespaces that the demo needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Ids and capabilities.
    User,
    /// Processes.
    Pid,
    /// Mounts.
    Mount,
    /// Networks.
    Net,
    /// Host name.
    Uts,
}

impl Sort {
    /// The flag of unshare(2).
    pub fn flag(self) -> CloneFlags {
        match self {
            Sort::User => CloneFlags::CLONE_NEWUSER,
            Sort::Pid => CloneFlags::CLONE_NEWPID,
            Sort::Mount => CloneFlags::CLONE_NEWNS,
            Sort::Net => CloneFlags::CLONE_NEWNET,
            Sort::Uts => CloneFlags::CLONE_NEWUTS,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Sort::User => "user",
            Sort::Pid => "pid",
            Sort::Mount => "mount",
            Sort::Net => "network",
            Sort::Uts => "uts",
        }
    }

    /// The sysctl that limits how many a user may have.
    fn limit(self) -> &'static str {
        match self {
            Sort::User => "user.max_user_namespaces",
            Sort::Pid => "user.max_pid_namespaces",
            Sort::Mount => "user.max_mnt_namespaces",
            Sort::Net => "user.max_net_namespaces",
            Sort::Uts => "user.max_uts_namespaces",
        }
    }
}

/// A refusal and the settings that could be behind it.
#[derive(Debug, Clone)]
pub struct Forbidden {
    sort: Sort,
    errno: Errno,
    root: bool,
    limit: Option<u64>,
    userns_clone: Option<u64>,
    apparmor: Option<u64>,
    seccomp: bool,
}

impl Forbidden {
    /// The refusal with the settings of this machine.
    pub fn here(sort: Sort, errno: Errno) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Forbidden {
            sort,
            errno,
            root: geteuid().is_root(),
            limit: number(sort.limit()),
            userns_clone: number("kernel.unprivileged_userns_clone"),
            apparmor: number("kernel.apparmor_restrict_unprivileged_userns"),
            seccomp: status.lines().any(|l| l.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() != "0")),
        }
    }

    /// As an error that names the setting.
    pub fn error(&self) -> Error {
        Error::new(ErrorId::Isolation, format!("a private {} namespace could not be made", self.sort.word()))
            .because(self.errno)
            .hint(self.hint())
    }

    fn hint(&self) -> String {
        let limit = self.sort.limit();
        match self.errno {
            Errno::ENOSPC if self.limit == Some(0) => {
                format!("{limit}=0 forbids them on this machine; `sysctl -w {limit}=10000` as root allows them")
            }
            // The number itself would mislead: a new user namespace shows its own, and an outer one's counts too.
            Errno::ENOSPC => {
                format!("the limit {limit} is reached, here or in an outer user namespace; `sysctl {limit}` shows it")
            }
            Errno::EINVAL if self.sort == Sort::User => {
                "the kernel was built without them (CONFIG_USER_NS), or the process has threads".to_owned()
            }
            Errno::EPERM | Errno::EACCES => self.permission(),
            _ => format!("the kernel was perhaps built without {} namespaces", self.sort.word()),
        }
    }

    /// The setting that an EPERM points to, the most specific first.
    fn permission(&self) -> String {
        if self.userns_clone == Some(0) && !self.root {
            return "kernel.unprivileged_userns_clone=0 forbids them to ordinary users; run podnet demo as root, or \
                    allow them with `sysctl -w kernel.unprivileged_userns_clone=1`"
                .to_owned();
        }
        // Root is not concerned before it makes a user namespace; inside one everybody looks like root.
        if self.apparmor == Some(1) {
            return "kernel.apparmor_restrict_unprivileged_userns=1 leaves them without any capability; run podnet \
                    demo as root, or allow them with `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
                .to_owned();
        }
        if self.seccomp {
            return "a seccomp filter forbids them, as those of container runtimes do; run podnet demo outside of the \
                    container, or start it with --security-opt seccomp=unconfined or --privileged"
                .to_owned();
        }
        "a security module or a container runtime forbids them; run podnet demo as root on the host".to_owned()
    }
}

fn number(sysctl: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{}", sysctl.replace('.', "/"))).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sort: Sort, errno: Errno) -> Forbidden {
        Forbidden { sort, errno, root: false, limit: None, userns_clone: None, apparmor: None, seccomp: false }
    }

    #[test]
    fn the_hint_names_the_setting() {
        let cases = [
            (Forbidden { limit: Some(0), ..refused(Sort::User, Errno::ENOSPC) }, "user.max_user_namespaces=0 "),
            (Forbidden { limit: Some(7), ..refused(Sort::Net, Errno::ENOSPC) }, "the limit user.max_net_namespaces "),
            (
                Forbidden { userns_clone: Some(0), ..refused(Sort::User, Errno::EPERM) },
                "kernel.unprivileged_userns_clone=0 ",
            ),
            (
                Forbidden { apparmor: Some(1), root: true, ..refused(Sort::Net, Errno::EPERM) },
                "kernel.apparmor_restrict_unprivileged_userns=1 ",
            ),
            (Forbidden { seccomp: true, ..refused(Sort::User, Errno::EPERM) }, "a seccomp filter "),
            (refused(Sort::User, Errno::EPERM), "a security module "),
            (refused(Sort::User, Errno::EINVAL), "the kernel was built without them "),
        ];
        for (forbidden, start) in cases {
            assert!(forbidden.hint().starts_with(start), "{forbidden:?}: {}", forbidden.hint());
        }
    }
}

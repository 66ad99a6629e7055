//! Files that runtimes mount into a container, whose place on the machine tells whose they are: `/etc/hosts`,
//! `/etc/hostname` and `/etc/resolv.conf` in `/proc/PID/mountinfo`. Whoever may mount can make such a line, so what is
//! found here has to be confirmed by the container's own state.

use super::cgroup::{Engine, Mark, is_id};

/// Lines looked at; these mounts are among the first that a container has.
const LINES: usize = 4096;

/// The container that a mount table speaks of.
pub(super) fn container(table: &[u8]) -> Option<Mark> {
    table.split(|b| *b == b'\n').take(LINES).filter_map(|line| std::str::from_utf8(line).ok()).find_map(|line| {
        // `id parent major:minor root point ...`: the root is relative to its file system.
        let mut fields = line.split(' ');
        let (root, point) = (fields.nth(3)?, fields.next()?);
        matches!(point, "/etc/hosts" | "/etc/hostname" | "/etc/resolv.conf").then(|| of_root(root)).flatten()
    })
}

fn of_root(root: &str) -> Option<Mark> {
    let parts: Vec<&str> = root.split('/').filter(|part| !part.is_empty()).collect();
    let (.., [kind, id, rest @ ..]) = parts.split_at(parts.iter().rposition(|part| is_id(part))?.checked_sub(1)?)
    else {
        return None;
    };
    let mut mark = match (*kind, rest) {
        ("sandboxes", [_]) => Mark::new(Engine::Containerd, id),
        (kind, ["userdata", _]) if kind.ends_with("-containers") => Mark::new(Engine::Podman, id),
        ("containers", [_]) => Mark::new(Engine::Docker, id),
        _ => return None,
    };
    // `/run/user` is a file system of each user's own, or a directory of one; podman keeps a directory in it.
    if mark.engine == Engine::Podman
        && let Some(at) = parts.iter().position(|part| *part == "user")
    {
        mark.user = parts.get(at + 1).and_then(|uid| uid.parse().ok());
    }
    Some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12acb4c1aa8d2f4414b0c2ce72001b976e12acb4c1aa8d2f4414b0c2ce72001b";

    fn found(root: &str, point: &str) -> Option<(Engine, Option<u32>)> {
        let root = root.replace("ID", ID);
        let table =
            format!("24 30 0:22 / /proc rw shared:12 - proc proc rw\nx\n1 2 8:1 {root} {point} rw - ext4 /dev/a rw");
        container(table.as_bytes()).map(|mark| (mark.engine, mark.user))
    }

    #[test]
    fn places_tell_the_runtime() {
        let docker = Some((Engine::Docker, None));
        assert_eq!(found("/var/lib/docker/containers/ID/hostname", "/etc/hostname"), docker);
        assert_eq!(found("/docker/containers/ID/resolv.conf", "/etc/resolv.conf"), docker, "a file system of its own");
        let sandbox = "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/ID/hostname";
        assert_eq!(found(sandbox, "/etc/hostname"), Some((Engine::Containerd, None)));
        let podman = "/containers/storage/overlay-containers/ID/userdata/hosts";
        assert_eq!(found(podman, "/etc/hosts"), Some((Engine::Podman, None)));
        let rootless = "/user/1500/containers/overlay-containers/ID/userdata/hosts";
        assert_eq!(found(rootless, "/etc/hosts"), Some((Engine::Podman, Some(1500))));
    }

    #[test]
    fn other_mounts_tell_nothing() {
        assert_eq!(found("/var/lib/docker/containers/ID/hostname", "/mnt"), None);
        assert_eq!(found("/home/a/hosts", "/etc/hosts"), None);
        assert_eq!(found("/ID", "/etc/hosts"), None);
        assert_eq!(found("/containers/ID", "/etc/hosts"), None);
        assert_eq!(found("/containers/ID/a/b/c", "/etc/hosts"), None);
        assert_eq!(container(b"1 2\n\n\xff /etc/hosts"), None);
    }
}

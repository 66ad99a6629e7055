//! Processes that start containers and wait for them to end: their command lines say which container is theirs. Found
//! above a process whose cgroup bears no id.

use super::cgroup::{Engine, Mark, is_id, is_name};
use super::disk::Disk;
use super::process::{self, flag};
use super::record::is_modest;

/// Generations looked at.
const GENERATIONS: usize = 24;

/// The container that a process descends from, in the words of the outermost process that started one: whatever is
/// further down can be in the container itself, and say anything. With it comes the container's first process.
pub(super) fn container(disk: &Disk, pid: u32) -> Option<(Mark, u32)> {
    let mut found = None;
    let mut below = pid;
    let mut next = process::stat(disk, pid)?.parent;
    for _ in 0..GENERATIONS {
        if next <= 1 {
            break;
        }
        let Some(stat) = process::stat(disk, next) else { break };
        let said = match stat.comm.as_str() {
            "conmon" => conmon(&process::command_line(disk, next)),
            // The kernel keeps 15 bytes: `containerd-shim-runc-v2`.
            "containerd-shim" => shim(&process::command_line(disk, next)),
            "systemd-nspawn" => nspawn(&process::command_line(disk, next)),
            comm if comm.starts_with("lxc-") => lxc(&process::command_line(disk, next)),
            _ => None,
        };
        // A runtime that makes, enters or removes a container sees the starter's mounts, and is in none itself.
        if let Some(mark) = said
            && !disk.same_mounts(pid, next)
            && let Some(uid) = process::uid(disk, next)
        {
            found = Some((Mark { user: Some(uid).filter(|uid| *uid != 0), ..mark }, below));
        }
        below = next;
        next = stat.parent;
    }
    found
}

/// `conmon -c ID -u ID -r RUNTIME -b BUNDLE -p PIDFILE -n NAME ...`, of podman and CRI-O.
fn conmon(words: &[String]) -> Option<Mark> {
    let id = flag(words, "-c").or_else(|| flag(words, "--cid")).filter(|id| is_id(id))?;
    let name = flag(words, "-n").or_else(|| flag(words, "--name")).filter(|n| is_modest(n)).map(str::to_owned);
    // CRI-O names containers as the kubelet's first runtime did.
    let kube = name.as_deref().is_some_and(|name| name.starts_with("k8s_"));
    let engine = if kube { Engine::Crio } else { Engine::Podman };
    Some(Mark { name, ..Mark::new(engine, id) })
}

/// `containerd-shim-runc-v2 -namespace NS -id ID -address SOCKET`.
fn shim(words: &[String]) -> Option<Mark> {
    let id = flag(words, "-id").filter(|id| is_name(id))?;
    let namespace = flag(words, "-namespace").filter(|namespace| is_name(namespace))?;
    Some(match namespace {
        "moby" if is_id(id) => Mark::new(Engine::Docker, id),
        "k8s.io" if is_id(id) => Mark::new(Engine::Containerd, id),
        _ => Mark { pod: Some(namespace.to_owned()), ..Mark::new(Engine::Ctr, id) },
    })
}

/// `[lxc monitor] PATH NAME`, which stands in the first word.
fn lxc(words: &[String]) -> Option<Mark> {
    let line = words.first()?.strip_prefix("[lxc monitor] ")?;
    let (_, name) = line.rsplit_once(' ')?;
    is_name(name).then(|| Mark::new(Engine::Lxc, name))
}

/// `systemd-nspawn --machine=NAME ...`, or the name of the directory that it runs.
fn nspawn(words: &[String]) -> Option<Mark> {
    let machine = flag(words, "--machine").or_else(|| flag(words, "-M"));
    let directory =
        || flag(words, "--directory").or_else(|| flag(words, "-D"))?.trim_end_matches('/').rsplit('/').next();
    let name = machine.or_else(directory).filter(|name| is_name(name))?;
    Some(Mark::new(Engine::Nspawn, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::tree::Tree;

    const ID: &str = "12acb4c1aa8d2f4414b0c2ce72001b976e12acb4c1aa8d2f4414b0c2ce72001b";

    fn process(tree: &Tree, pid: u32, comm: &str, parent: u32, uid: u32, words: &[&str]) {
        let rest = "0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0";
        tree.file(&format!("proc/{pid}/stat"), &format!("{pid} ({comm}) S {parent} {rest}\n"));
        tree.file(&format!("proc/{pid}/status"), &format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n"));
        tree.file(&format!("proc/{pid}/cmdline"), &(words.join("\0") + "\0"));
    }

    fn said_by(comm: &str, uid: u32, words: &[&str]) -> Option<(Engine, String, Option<String>, Option<u32>)> {
        let tree = Tree::new("parent");
        process(&tree, 10, comm, 1, uid, words);
        process(&tree, 11, "sh", 10, 0, &["sh"]);
        process(&tree, 12, "sleep", 11, 0, &["sleep", "1"]);
        let (m, init) = container(&Disk::new(tree.path()), 12)?;
        assert_eq!(init, 11);
        Some((m.engine, m.id, m.name.or(m.pod), m.user))
    }

    #[test]
    fn those_who_start_containers() {
        let id = || ID.to_owned();
        let conmon = ["/usr/bin/conmon", "--api-version", "1", "-c", ID, "-u", ID, "-r", "/usr/bin/crun", "-n", "web"];
        assert_eq!(said_by("conmon", 1500, &conmon), Some((Engine::Podman, id(), Some("web".to_owned()), Some(1500))));
        let crio = ["conmon", "-c", ID, "-n", "k8s_POD_web_dev_0f6e_0", "-b", "/run/x"];
        assert_eq!(said_by("conmon", 0, &crio).map(|f| f.0), Some(Engine::Crio));
        let shim = |ns, id| ["/usr/bin/containerd-shim-runc-v2", "-namespace", ns, "-id", id, "-address", "/run/x"];
        assert_eq!(said_by("containerd-shim", 0, &shim("moby", ID)), Some((Engine::Docker, id(), None, None)));
        assert_eq!(said_by("containerd-shim", 0, &shim("k8s.io", ID)), Some((Engine::Containerd, id(), None, None)));
        assert_eq!(
            said_by("containerd-shim", 0, &shim("default", "web")),
            Some((Engine::Ctr, "web".to_owned(), Some("default".to_owned()), None))
        );
        assert_eq!(
            said_by("lxc-start", 0, &["[lxc monitor] /var/lib/lxc web"]),
            Some((Engine::Lxc, "web".to_owned(), None, None))
        );
        assert_eq!(
            said_by("systemd-nspawn", 0, &["systemd-nspawn", "--keep-unit", "--machine=web", "-D", "/x"]).map(|f| f.1),
            Some("web".to_owned())
        );
        assert_eq!(
            said_by("systemd-nspawn", 0, &["systemd-nspawn", "-D", "/srv/web/"]).map(|f| f.1),
            Some("web".to_owned())
        );
        assert_eq!(said_by("bash", 0, &["bash", "-c", ID]), None);
        assert_eq!(said_by("conmon", 0, &["conmon", "-c", "../../etc", "-n", "web"]), None);
        assert_eq!(said_by("containerd-shim", 0, &shim("default", "../x")), None);
    }

    #[test]
    fn the_outermost_counts() {
        let tree = Tree::new("outermost");
        let other = ID.replace('1', "2");
        process(&tree, 10, "conmon", 1, 0, &["conmon", "-c", ID, "-n", "web"]);
        process(&tree, 11, "conmon", 10, 0, &["conmon", "-c", &other, "-n", "somebody-else"]);
        process(&tree, 12, "sleep", 11, 0, &["sleep"]);
        assert_eq!(container(&Disk::new(tree.path()), 12).unwrap().0.id, ID);
    }

    #[test]
    fn a_runtime_at_work_is_in_no_container() {
        let tree = Tree::new("at-work");
        process(&tree, 10, "containerd-shim", 1, 0, &["shim", "-namespace", "k8s.io", "-id", ID]);
        for (pid, comm, mounts) in [(11, "runc", 1), (12, "pause", 2)] {
            process(&tree, pid, comm, 10, 0, &[comm]);
            tree.link(&format!("proc/{pid}/ns/mnt"), &format!("mnt:[{mounts}]"));
        }
        tree.link("proc/10/ns/mnt", "mnt:[1]");
        let disk = Disk::new(tree.path());
        assert_eq!(container(&disk, 11), None, "runc delete");
        assert_eq!(container(&disk, 12).unwrap().0.id, ID);
    }

    #[test]
    fn parents_in_a_circle_have_an_end() {
        let tree = Tree::new("circle");
        process(&tree, 10, "a", 11, 0, &[]);
        process(&tree, 11, "b", 10, 0, &[]);
        assert_eq!(container(&Disk::new(tree.path()), 10), None);
    }
}

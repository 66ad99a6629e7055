//! What the cgroup of a process says of its container: the ids and names in `/proc/PID/cgroup`, from the outermost
//! container to the innermost. Only the first is the word of this machine's own runtime: what stands behind it can
//! have been made inside.

/// Levels of containers in containers that are told apart.
const NESTED: usize = 8;

/// Which runtime a part of a path speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Engine {
    /// A bare id below a pod: containerd and docker write the same.
    Kube,
    /// An id that any runtime may have given.
    Any,
    /// `NAMESPACE/NAME`, which only looks like containerd's `ctr`.
    Ctr,
    Containerd,
    Crio,
    Docker,
    Podman,
    Lxc,
    Nspawn,
}

/// A container as something outside of it calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    pub engine: Engine,
    /// Id; for runtimes without ids the name.
    pub id: String,
    /// Uid of the Kubernetes pod, id of the podman pod, namespace of containerd (`ctr`).
    pub pod: Option<String>,
    /// User in whose slice it is, unless root: whatever stands there was the user's to choose.
    pub user: Option<u32>,
    /// Name that came with the id.
    pub name: Option<String>,
}

impl Mark {
    pub(super) fn new(engine: Engine, id: &str) -> Self {
        Mark { engine, id: id.to_owned(), pod: None, user: None, name: None }
    }
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// Containers from the outermost to the innermost.
    pub marks: Vec<Mark>,
    /// Hierarchy and path of the directory that holds the first container's cgroup, and those of its pod.
    pub beside: Option<(String, String)>,
    /// Service of systemd.
    pub unit: Option<String>,
}

/// Reads all lines: on a machine with both versions of cgroups some say less than others.
pub(super) fn parse(file: &[u8]) -> Membership {
    let mut best = Membership::default();
    let mut guess = None;
    let mut unit = None;
    let mut before = None;
    for line in file.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let named = controllers.is_empty() || controllers == "name=systemd";
        // All hierarchies mostly say the same.
        if before == Some(path) && !named {
            continue;
        }
        before = Some(path);
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != "..").collect();
        let (marks, beside) = marks(&parts);
        if marks.len() > best.marks.len() {
            let hierarchy = if number == "0" { "" } else { controllers.trim_start_matches("name=") };
            best = Membership { marks, beside: Some((hierarchy.to_owned(), beside)), unit: None };
        }
        if guess.is_none() {
            guess = ctr(&parts);
        }
        if named {
            let service = parts.iter().rev().find(|part| part.ends_with(".service") && !part.starts_with("user@"));
            unit = service.map(|s| (*s).to_owned()).or(unit);
        }
    }
    if best.marks.is_empty() {
        best.marks.extend(guess);
    }
    Membership { unit, ..best }
}

/// The containers in a path, and the directory of the first.
fn marks(parts: &[&str]) -> (Vec<Mark>, String) {
    let mut marks: Vec<Mark> = Vec::new();
    let mut beside = String::new();
    let (mut user, mut kube, mut pod) = (None, false, None);
    for (at, part) in parts.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |i| parts[i]);
        let next = parts.get(at + 1).copied().unwrap_or("");
        if is_monitor(part, before) || marks.len() == NESTED {
            break;
        }
        if at == 1 && before == "user.slice" {
            user = part.strip_prefix("user-").and_then(|p| p.strip_suffix(".slice")?.parse().ok()).filter(|u| *u != 0);
        }
        kube |= part.starts_with("kubepods") || part.contains("-kubepods");
        if let Some(uid) = part.strip_suffix(".slice").and_then(|p| p.rsplit_once("-pod")).filter(|_| kube) {
            pod = Some(uid.1.replace('_', "-"));
        } else if let Some(uid) = part.strip_prefix("pod").filter(|uid| kube && uid.len() >= 32) {
            pod = Some(uid.to_owned());
        } else if let Some((_, id)) = part.strip_suffix(".slice").and_then(|p| p.split_once("libpod_pod_")) {
            pod = Some(id.to_owned());
        } else if is_id(part) && next.starts_with("libpod-") {
            pod = Some((*part).to_owned());
        } else if let Some(mut mark) = by_id(part, before, kube && pod.is_some()).or_else(|| by_name(part, before, at))
        {
            (mark.pod, mark.user) = (pod.take(), user);
            if marks.is_empty() {
                beside = format!("/{}", parts[..at].join("/"));
            }
            marks.push(mark);
            kube = false;
        }
    }
    (marks, beside)
}

/// A process that looks after a container and is not in it, though its cgroup bears the container's id.
fn is_monitor(part: &str, before: &str) -> bool {
    part.starts_with("libpod-conmon-")
        || part.starts_with("crio-conmon-")
        || part.starts_with("lxc.monitor")
        || (part == "conmon" && before == "libpod_parent")
}

fn by_id(part: &str, before: &str, in_pod: bool) -> Option<Mark> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let (prefix, id) = part.rsplit_once('-').unwrap_or(("", part));
    let engine = match prefix {
        _ if !is_id(id) => return None,
        "cri-containerd" | "nerdctl" => Engine::Containerd,
        "docker" => Engine::Docker,
        "crio" => Engine::Crio,
        "libpod" | "libpod-payload" => Engine::Podman,
        "" if before == "docker" => Engine::Docker,
        "" if in_pod => Engine::Kube,
        _ => Engine::Any,
    };
    Some(Mark::new(engine, id))
}

fn by_name(part: &str, before: &str, at: usize) -> Option<Mark> {
    let lxc = part.strip_prefix("lxc.payload.");
    // LXC before 4.0.
    if let Some(name) = lxc.or_else(|| (before == "lxc.payload" || (before == "lxc" && at == 1)).then_some(part)) {
        return is_name(name).then(|| Mark::new(Engine::Lxc, name));
    }
    if before == "machine.slice" {
        let machine = part.strip_prefix("machine-").and_then(|p| p.strip_suffix(".scope"));
        let machine = machine.or_else(|| part.strip_prefix("systemd-nspawn@").and_then(|p| p.strip_suffix(".service")));
        // libvirt registers its machines with systemd, too.
        let machine = machine.map(unescape).filter(|m| !m.starts_with("qemu-") && !m.starts_with("lxc-"));
        return machine.filter(|m| is_name(m)).map(|m| Mark::new(Engine::Nspawn, &m));
    }
    // A service that runs a machine of its own; what it is called, its command line says.
    let service = before.ends_with(".service") && !before.starts_with("systemd-nspawn@");
    (part == "payload" && service).then(|| Mark::new(Engine::Nspawn, ""))
}

/// `/NAMESPACE/NAME`, as containerd's `ctr` names cgroups; whether it is that, the disk must say.
fn ctr(parts: &[&str]) -> Option<Mark> {
    let [namespace, name, ..] = parts else { return None };
    let fits = |part: &str| is_name(part) && ![".slice", ".scope", ".service"].iter().any(|end| part.ends_with(end));
    (fits(namespace) && fits(name)).then(|| Mark { pod: Some((*namespace).to_owned()), ..Mark::new(Engine::Ctr, name) })
}

/// An id as all runtimes write it: 64 hex digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A name that can stand in a path without leading elsewhere.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text != "." && text != ".." && !text.contains(['/', '\0'])
}

/// Undoes systemd's `\xNN` in names of units.
fn unescape(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.strip_prefix(b"x").and_then(|t| std::str::from_utf8(t.get(..2)?).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| byte == b'\\') {
            Some(code) => {
                out.push(code);
                rest = &tail[3..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12acb4c1aa8d2f4414b0c2ce72001b976e12acb4c1aa8d2f4414b0c2ce72001b";
    const OTHER: &str = "99acb4c1aa8d2f4414b0c2ce72001b976e12acb4c1aa8d2f4414b0c2ce72001b";
    const UID: &str = "0f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d";

    fn one(path: &str) -> Option<(Engine, String, Option<String>, Option<u32>)> {
        let path = path.replace("OTHER", OTHER).replace("UID_", &UID.replace('-', "_")).replace("UID", UID);
        let mut marks = parse(format!("0::{}\n", path.replace("ID", ID)).as_bytes()).marks;
        assert!(marks.len() < 2, "{marks:?}");
        marks.pop().map(|m| (m.engine, m.id, m.pod, m.user))
    }

    #[test]
    fn pods() {
        let uid = || Some(UID.to_owned());
        for (path, engine) in [
            ("/kubepods/burstable/podUID/ID", Engine::Kube),
            ("/kubepods/podUID/ID", Engine::Kube),
            ("/kubelet/kubepods/besteffort/podUID/ID", Engine::Kube),
            ("/kubepods/burstable/podUID/crio-ID", Engine::Crio),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID_.slice/cri-containerd-ID.scope",
                Engine::Containerd,
            ),
            ("/kubepods.slice/kubepods-podUID_.slice/cri-containerd-ID.scope/app.slice", Engine::Containerd),
            ("/../../kubepods.slice/kubepods-podUID_.slice/docker-ID.scope", Engine::Docker),
            ("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID_.slice/crio-ID.scope", Engine::Crio),
        ] {
            assert_eq!(one(path), Some((engine, ID.to_owned(), uid(), None)), "{path}");
        }
        let fixed = "4f6e4f542b294b6f9e0e5b3f5d1b2c3d";
        let path = format!("/kubepods/burstable/pod{fixed}/{ID}");
        assert_eq!(one(&path).unwrap().2.as_deref(), Some(fixed), "the uid of a static pod has no dashes");
    }

    #[test]
    fn containers() {
        let id = || ID.to_owned();
        for (path, expected) in [
            ("/docker/ID", (Engine::Docker, id(), None, None)),
            ("/system.slice/docker-ID.scope", (Engine::Docker, id(), None, None)),
            ("/my/own/parent/ID", (Engine::Any, id(), None, None)),
            ("/libpod_parent/libpod-ID", (Engine::Podman, id(), None, None)),
            ("/machine.slice/libpod-ID.scope/container", (Engine::Podman, id(), None, None)),
            ("/libpod_parent/OTHER/libpod-ID", (Engine::Podman, id(), Some(OTHER.to_owned()), None)),
            (
                "/machine.slice/machine-libpod_pod_OTHER.slice/libpod-ID.scope",
                (Engine::Podman, id(), Some(OTHER.to_owned()), None),
            ),
            (
                "/user.slice/user-1500.slice/user@1500.service/user.slice/libpod-ID.scope",
                (Engine::Podman, id(), None, Some(1500)),
            ),
            ("/lxc.payload.web-1", (Engine::Lxc, "web-1".to_owned(), None, None)),
            ("/lxc.payload/web", (Engine::Lxc, "web".to_owned(), None, None)),
            ("/lxc/web", (Engine::Lxc, "web".to_owned(), None, None)),
            ("/lxc.payload.web/system.slice/nginx.service", (Engine::Lxc, "web".to_owned(), None, None)),
            ("/machine.slice/machine-web\\x2d1.scope/payload", (Engine::Nspawn, "web-1".to_owned(), None, None)),
            ("/machine.slice/systemd-nspawn@web.service/payload", (Engine::Nspawn, "web".to_owned(), None, None)),
            ("/system.slice/mine.service/payload", (Engine::Nspawn, String::new(), None, None)),
            ("/default/ctr-cni", (Engine::Ctr, "ctr-cni".to_owned(), Some("default".to_owned()), None)),
        ] {
            assert_eq!(one(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn not_in_a_container() {
        for path in [
            "/",
            "/system.slice/docker.service",
            "/machine.slice/libpod-conmon-ID.scope",
            "/libpod_parent/conmon",
            "/kubepods/podUID/crio-conmon-ID",
            "/lxc.monitor.web",
            "/user.slice/user-1000.slice/session-2.scope",
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
            "/kubepods/podUID",
            "/init.scope",
        ] {
            let found = one(path);
            assert!(found.as_ref().is_none_or(|f| f.0 == Engine::Ctr), "{path}: {found:?}");
        }
        for broken in [&b""[..], b"\n\n", b"0:", b"0::", b"0::\xff\xfe", b"docker/x", b"0::/docker/../..//"] {
            assert_eq!(parse(broken).marks, [], "{broken:?}");
        }
    }

    #[test]
    fn the_line_that_says_most_counts() {
        let file = format!("12:memory:/\n9:name=systemd:/docker/{OTHER}/docker/{ID}\n0::/docker/{OTHER}\n");
        let found = parse(file.as_bytes());
        assert_eq!(found.marks.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), [OTHER, ID]);
        assert_eq!(found.beside, Some(("systemd".to_owned(), "/docker".to_owned())));
    }

    #[test]
    fn containers_in_containers_keep_their_order_and_have_an_end() {
        let path = format!("0::/lxc.payload.web/system.slice/docker-{ID}.scope\n");
        let engines: Vec<_> = parse(path.as_bytes()).marks.iter().map(|m| m.engine).collect();
        assert_eq!(engines, [Engine::Lxc, Engine::Docker]);
        let deep = format!("0::{}\n", format!("/docker/{ID}").repeat(10_000));
        assert_eq!(parse(deep.as_bytes()).marks.len(), NESTED);
    }

    #[test]
    fn services() {
        let unit = |path: &str| parse(format!("4:pids:/x.service\n0::{path}\n").as_bytes()).unit;
        assert_eq!(unit("/system.slice/web.service").as_deref(), Some("web.service"));
        assert_eq!(unit("/system.slice/web.service/sub").as_deref(), Some("web.service"));
        assert_eq!(unit("/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope"), None);
        assert_eq!(unit("/"), None);
    }
}

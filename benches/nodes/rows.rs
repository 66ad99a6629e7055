//! What is measured on a node: podnet, what people use today, the floor.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use super::measure::{self, Row, in_turn, median, without_privilege};
use super::node::{Node, bridge_of};
use super::report::{Figure, Figures};
use super::{FLOOR, PODNET};

/// The node of few pods and much of everything else.
pub const WIDE: &str = "wide";

/// Attached at the same moment.
const TOGETHER: usize = 50;

/// How often a pod is attached and detached by each.
const ROUNDS: usize = 15;

/// Longer than the kernel takes to put a deleted link away.
const REST: Duration = Duration::from_millis(50);

const CNI: &str = "/usr/lib/cni/bridge";

fn podnet(args: &[&str]) -> Command {
    let mut command = Command::new(PODNET);
    command.args(args);
    command
}

fn floor(args: &[&str]) -> Command {
    let mut command = Command::new(FLOOR);
    command.args(args);
    command
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-ec", script]);
    command
}

/// What a person types today to find the way of one pod.
fn eight_commands(pid: i32) -> String {
    format!(
        "nsenter -t {pid} -n ip link show
         nsenter -t {pid} -n ip addr show
         index=$(nsenter -t {pid} -n ip -o link show eth0 | sed 's/.*@if\\([0-9]*\\):.*/\\1/')
         veth=$(grep -lx $index /sys/class/net/*/ifindex); veth=${{veth#/sys/class/net/}}; veth=${{veth%/ifindex}}
         bridge=$(readlink /sys/class/net/$veth/master)
         ls -d /sys/class/net/${{bridge##*/}}/lower_*
         nsenter -t {pid} -n ip route show
         ip route show"
    )
}

/// Builds the node of this name and measures all of it.
pub fn measure(name: &str, quick: bool) -> io::Result<Figures> {
    if name == WIDE {
        return wide();
    }
    let pods = name.parse().map_err(|_| io::Error::other(format!("{name} is no number of pods")))?;
    // The CNI plugins keep their addresses there.
    mount(Some("tmpfs"), "/var/lib", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    let mut node = Node::build(pods)?;
    let mut figures = Figures::new(name, Some(pods));
    let patience = Duration::from_secs(if quick { 10 } else { 40 });
    for mut rows in [trace(&node, quick), bare(&node), list(quick), snapshot()] {
        in_turn(&mut rows.1, 40, patience);
        figures.group(rows.0, &rows.1);
    }
    wiring(&mut node, &mut figures, quick)?;
    together(&mut node, &mut figures, quick)?;
    Ok(figures)
}

type Group<'a> = (&'static str, Vec<Row<'a>>);

fn trace(node: &Node, quick: bool) -> Group<'static> {
    let pid = node.pid.as_raw();
    let target = pid.to_string();
    let own = target.clone();
    let mut rows = vec![
        Row::new("floor", move |_| floor(&["trace", &target])),
        Row::new("podnet trace", move |_| podnet(&["trace", &own, "-4"])),
    ];
    if !quick {
        rows.push(Row::new("eight commands", move |_| sh(&eight_commands(pid))).of("nsenter"));
    }
    ("trace", rows)
}

fn bare(node: &Node) -> Group<'static> {
    let (pid, same) = (node.pid.to_string(), node.pid.to_string());
    let rows = vec![
        Row::new("floor", move |_| floor(&["trace", &pid])),
        Row::new("podnet trace, no capability", move |_| without_privilege(podnet(&["trace", &same, "-4"]))),
    ];
    ("trace without privilege", rows)
}

fn list(quick: bool) -> Group<'static> {
    let mut rows = vec![
        Row::new("floor", |_| floor(&["list"])),
        Row::new("podnet list", |_| podnet(&["list"])),
        Row::new("podnet list --json", |_| podnet(&["list", "--json"])),
    ];
    if !quick {
        rows.push(Row::new("lsns -t net", |_| sh("lsns -t net")).of("lsns"));
        rows.push(Row::new("plotnetcfg", |_| Command::new("plotnetcfg")).of("plotnetcfg"));
        rows.push(Row::new("ip -all netns exec", |_| sh("ip -all netns exec ip -j addr")).of("ip"));
    }
    ("list", rows)
}

fn snapshot() -> Group<'static> {
    let rows = vec![
        Row::new("floor", |_| floor(&["snapshot"])),
        Row::new("podnet snapshot", |_| podnet(&["snapshot", "-o", "/run/snapshot.json"])),
    ];
    ("snapshot", rows)
}

/// One way to wire a pod and to take that back.
struct Way {
    name: &'static str,
    program: &'static str,
    attach: fn(usize) -> Command,
    detach: fn(usize) -> Command,
}

fn host_link(pod: usize) -> String {
    format!("bench{pod}")
}

/// Free on the bridge: pods have the low half of it.
fn free_address(pod: usize) -> Ipv4Addr {
    let [a, b, ..] = bridge_of(0).1.octets();
    let [c, d] = (pod as u16 + 10).to_be_bytes();
    Ipv4Addr::new(a, b, 128 | c, d)
}

static WAYS: [Way; 4] = [
    Way {
        name: "floor",
        program: FLOOR,
        attach: |pod| {
            let (bridge, gateway) = bridge_of(0);
            let (netns, host) = (format!("/run/netns/pod{pod}"), host_link(pod));
            let (ip, gateway) = (free_address(pod).to_string(), gateway.to_string());
            floor(&["attach", &netns, &bridge, "eth0", &host, &ip, &gateway])
        },
        detach: |pod| floor(&["detach", &host_link(pod)]),
    },
    Way {
        name: "podnet",
        program: PODNET,
        attach: |pod| {
            let (bridge, _) = bridge_of(0);
            let netns = format!("/run/netns/pod{pod}");
            // No store knows of the node's pods, and each of their addresses would be tried first.
            let range = "10.100.192.1-10.100.255.254";
            podnet(&["attach", &netns, "--bridge", &bridge, "--subnet", "10.100.0.0/16", "--range", range])
        },
        detach: |pod| podnet(&["detach", &format!("/run/netns/pod{pod}")]),
    },
    Way {
        name: "ip -batch",
        program: "ip",
        attach: |pod| {
            let (bridge, gateway) = bridge_of(0);
            let (host, ip) = (host_link(pod), free_address(pod));
            sh(&format!(
                "printf '%s\n' 'link add {host} type veth peer name eth0 netns pod{pod}' \
                     'link set {host} master {bridge} up' | ip -batch -
                 printf '%s\n' 'link set eth0 up' 'addr add {ip}/16 dev eth0' 'route add default via {gateway}' |
                     ip -n pod{pod} -batch -"
            ))
        },
        detach: |pod| sh(&format!("ip link del {}", host_link(pod))),
    },
    Way { name: "CNI bridge", program: CNI, attach: |pod| cni("ADD", pod), detach: |pod| cni("DEL", pod) },
];

fn cni(command: &str, pod: usize) -> Command {
    let (bridge, gateway) = bridge_of(0);
    let config = format!(
        "{{\"cniVersion\":\"1.0.0\",\"name\":\"bench\",\"type\":\"bridge\",\"bridge\":\"{bridge}\",\"ipam\":{{\"type\":\
         \"host-local\",\"ranges\":[[{{\"subnet\":\"10.100.0.0/16\",\"rangeStart\":\"10.100.64.2\",\"gateway\":\
         \"{gateway}\"}}]],\"routes\":[{{\"dst\":\"0.0.0.0/0\"}}]}}}}"
    );
    let mut run = sh(&format!("printf %s '{config}' | {CNI}"));
    run.env("CNI_COMMAND", command).env("CNI_CONTAINERID", format!("pod{pod}"));
    run.env("CNI_NETNS", format!("/run/netns/pod{pod}")).env("CNI_IFNAME", "eth0").env("CNI_PATH", "/usr/lib/cni");
    run
}

fn ways(quick: bool) -> impl Iterator<Item = &'static Way> {
    WAYS.iter().filter(move |way| !quick || ["floor", "podnet"].contains(&way.name))
}

/// Each way wires and unwires a pod of its own, in turn.
fn wiring(node: &mut Node, figures: &mut Figures, quick: bool) -> io::Result<()> {
    let mut add: Vec<Row> = ways(quick).map(|way| Row::new(way.name, way.attach).of(way.program)).collect();
    let mut del: Vec<Row> = ways(quick).map(|way| Row::new(way.name, way.detach).of(way.program)).collect();
    // A namespace that was left clean is taken again by the next.
    let pod = node.spare()?;
    for _ in 0..ROUNDS {
        for (add, del) in add.iter_mut().zip(&mut del) {
            for row in [add, del] {
                if row.missing.is_some() {
                    continue;
                }
                // What came back early has left the kernel work that the next one would wait for.
                thread::sleep(REST);
                match measure::run(&mut (row.command)(pod)) {
                    Ok(run) => row.runs.push(run),
                    Err(error) => row.missing = Some(error.to_string()),
                }
            }
        }
    }
    figures.group("attach", &add);
    figures.group("detach", &del);
    Ok(())
}

/// Many at the same moment: the time until the last has ended.
fn together(node: &mut Node, figures: &mut Figures, quick: bool) -> io::Result<()> {
    let mut rows = Vec::new();
    let pods = (0..TOGETHER).map(|_| node.spare()).collect::<io::Result<Vec<usize>>>()?;
    for way in ways(quick) {
        let (mut walls, mut why) = (Vec::new(), None);
        for _ in 0..3 {
            let mut attach: Vec<Command> = pods.iter().map(|pod| (way.attach)(*pod)).collect();
            match measure::together(&mut attach) {
                Ok(wall) => walls.push(wall),
                Err(error) => {
                    why = Some(error.to_string());
                    break;
                }
            }
            let mut detach: Vec<Command> = pods.iter().map(|pod| (way.detach)(*pod)).collect();
            if let Err(error) = measure::together(&mut detach) {
                why = Some(error.to_string());
                break;
            }
        }
        rows.push(Figure {
            name: way.name.to_owned(),
            wall_us: median(walls.iter().map(|w| w.as_micros() as u64)),
            cpu_us: None,
            peak_kib: None,
            runs: walls.len(),
            missing: why,
        });
    }
    figures.rows("50 attaches at once", rows);
    Ok(())
}

/// One trace of a pod beside a great deal that is not on its way.
fn wide() -> io::Result<Figures> {
    let node = Node::build(10)?;
    let pid = node.pid.to_string();
    let mut figures = Figures::new(WIDE, None);
    let mut rows = Vec::new();
    let mut trace = |name: &str| {
        let mut row = [Row::new("podnet trace", |_| podnet(&["trace", &pid, "-4"]))];
        in_turn(&mut row, 40, Duration::from_secs(10));
        let mut figure = Figure::of(&row[0]);
        figure.name = name.to_owned();
        rows.push(figure);
    };
    trace("10 pods");
    // Each on top of what was there before.
    let steps = [
        (
            "100,000 routes",
            "seq 0 99999 | awk '{printf \"route add 11.%d.%d.%d/32 dev eth0\\n\", $1/65536, $1/256%256, \
          $1%256}' | ip -batch -"
                .to_owned(),
        ),
        (
            "10,000 FDB entries",
            "seq 0 9999 | awk '{printf \"fdb add 02:00:01:00:%02x:%02x dev veth1 master static\\n\", \
          $1/256, $1%256}' | bridge -batch -"
                .to_owned(),
        ),
        (
            "1,000 ports",
            "seq 0 989 | awk '{printf \"link add wide%d type veth peer name far%d\\nlink set wide%d master \
          cni0\\n\", $1, $1, $1}' | ip -batch -"
                .to_owned(),
        ),
        (
            "200 links in the pod",
            format!(
                "seq 0 98 | awk '{{printf \"link add wide%d type veth peer name far%d\\n\", $1, \
          $1}}' | nsenter -t {pid} -n ip -batch -"
            ),
        ),
        (
            "5,000 processes in the pod",
            format!("nsenter -t {pid} -n sh -c 'for i in $(seq 5000); do sleep 3600 & done'"),
        ),
    ];
    for (name, script) in steps {
        let done = sh(&script).stdin(Stdio::null()).status()?;
        if !done.success() {
            return Err(io::Error::other(format!("{name}: {script} ended with {done}")));
        }
        trace(name);
    }
    figures.rows("trace on a wide host", rows);
    Ok(figures)
}

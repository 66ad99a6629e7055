//! Flags and help text of every command; no behaviour. Completions and man pages are generated from here.

mod alone;
mod wiring;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use wiring::{AddressArgs, AttachArgs, DetachArgs, ExecArgs, RouteArgs, WayArgs};

const EXIT_CODES: &str = "\
Exit codes:
  0  the work is done and every path that was asked for holds
  1  the work is done and a path is broken
  2  the command line makes no sense
  3  podnet could not do the work, or could not see enough to say whether the path holds";

/// Shows how a container's packets travel and where they stop.
#[derive(Debug, Parser)]
#[command(name = "podnet", version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Write one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour the text
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
    /// Draw with ASCII characters only
    #[arg(long, global = true)]
    pub ascii: bool,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// When stdout is a terminal and NO_COLOR is not set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the way of a container's packets: pod, veth, bridge, route, uplink
    Trace(TraceArgs),
    /// List every network namespace, who is in it and how it is wired
    List(ListArgs),
    /// Record everything that podnet sees of this machine, to be asked later and elsewhere
    Snapshot(SnapshotArgs),
    /// Build a private node to try podnet on; no root needed, nothing left behind
    Demo(DemoArgs),
    /// Plug a namespace into a bridge: plan, do, verify, and undo where that fails
    Attach(Box<AttachArgs>),
    /// Take away what attach made, and only that
    Detach(DetachArgs),
    /// Run a program of this machine in the network of a namespace
    Exec(ExecArgs),
    /// Print the JSON Schema of what --json writes
    Schema(SchemaArgs),
}

/// Arguments of `podnet trace`.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Targets:
  dev/web           a pod: its namespace and name, its name alone, or its uid
  web, 3f2a9c       a container: its name, its id, or as much of that as no other has
  4711              a process id
  /run/netns/blue   a namespace file; also /proc/4711/ns/net
  blue              a name under the netns directories
  netns:4026532750  the inode of a namespace, as lsns prints it
  veth12acb4c1      a link of the host: the pod at its other end
  172.22.0.253      an address that some namespace of this machine holds; a MAC, too
  pod: ctr: pid: netns: link: ip: mac:   before a target say of which kind it is

Examples:
  podnet trace dev/web                    where a pod's traffic leaves the machine
  podnet trace dev/web --to dev/db        the way from one pod to another
  podnet trace 4711 --to 172.22.1.7       the way to one address
  podnet trace 4711 --to 172.22.1.7 --proto tcp --dport 443 --reply
                                          the same for HTTPS, with the answers' way
  podnet trace veth12acb4c1 --json | jq '.paths[].verdict'
  podnet trace blue --snapshot node.json  the same from a recording, on any machine

{EXIT_CODES}"))]
pub struct TraceArgs {
    /// Whose packets: a pod, a container, a pid, a namespace (path, name or netns:INODE), a host link, or an address
    pub target: String,
    /// Follow packets to this address or target, instead of to wherever each interface leads
    #[arg(long, value_name = "ADDRESS|TARGET")]
    pub to: Option<String>,
    /// Answer from this recording instead of the machine; may be given several times, a folder, or - for stdin
    #[arg(long, value_name = "FILE")]
    pub snapshot: Vec<PathBuf>,
    /// Follow the answers' way, too, and say where the two differ
    #[arg(long)]
    pub reply: bool,
    /// The packets' source address, instead of the one that the namespace picks
    #[arg(long, value_name = "ADDRESS", help_heading = "Packets")]
    pub from: Option<IpAddr>,
    /// Their protocol, which policy rules and firewalls may look at
    #[arg(long, value_name = "PROTO", help_heading = "Packets")]
    pub proto: Option<ProtoName>,
    /// Their source port
    #[arg(long, value_name = "PORT", requires = "proto", help_heading = "Packets")]
    pub sport: Option<u16>,
    /// Their destination port
    #[arg(long, value_name = "PORT", requires = "proto", help_heading = "Packets")]
    pub dport: Option<u16>,
    /// Their firewall mark, as it is where they start: 7 or 0x7
    #[arg(long, value_name = "MARK", value_parser = number::<u32>, help_heading = "Packets")]
    pub mark: Option<u32>,
    /// Their type of service, the whole byte: 16 or 0x10
    #[arg(long, value_name = "TOS", value_parser = number::<u8>, help_heading = "Packets")]
    pub tos: Option<u8>,
    /// Follow IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Follow IPv6 only
    #[arg(short = '6', long)]
    pub ipv6: bool,
}

/// Protocols that packets can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProtoName {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// ICMP, ICMPv6 for an IPv6 address
    Icmp,
}

/// A number as `ip` takes it: decimal, or with 0x before it.
fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.ok().and_then(|n| T::try_from(n).ok()).ok_or_else(|| "not a number that fits".to_owned())
}

/// Arguments of `podnet snapshot`.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  podnet snapshot -o node.json.gz         everything seen, as one compressed file
  podnet trace blue --snapshot node.json.gz
  podnet list --snapshot node.json.gz
  podnet trace node-a:web --to node-b:db --snapshot a.json --snapshot b.json
  ssh node podnet snapshot | podnet trace blue --snapshot -
  podnet snapshot --anonymise | gzip >for-others.json.gz

{EXIT_CODES}"))]
pub struct SnapshotArgs {
    /// Hide names and addresses, each by the same other one everywhere; the wiring and what routing decides stay
    #[arg(long, visible_alias = "anonymize")]
    pub anonymise: bool,
    /// Write to this file, compressed if its name ends in .gz; without it to stdout
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Also look at threads, open files and sockets: slower, needs root to see those of others
    #[arg(long)]
    pub deep: bool,
}

/// Arguments of `podnet list`.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  podnet list                             every namespace in a table
  podnet list --bridge cni0               those with a link on that bridge
  podnet list --name 'signin*' --wide     by name, with all columns
  podnet list --deep                      also those that only a thread, an open file or a socket holds
  podnet list --json | jq -r '.namespaces[] | [.netns, .name] | @tsv'

{EXIT_CODES}"))]
pub struct ListArgs {
    /// Only namespaces with a link on this bridge, or the bridge itself
    #[arg(long, value_name = "IFNAME")]
    pub bridge: Option<String>,
    /// Only namespaces whose name, or that of a container in them, matches; * and ? stand for any text and any character
    #[arg(long, value_name = "PATTERN")]
    pub name: Option<String>,
    /// Only namespaces that something of this kind holds
    #[arg(long, value_name = "KIND")]
    pub holder: Option<HolderKind>,
    /// Also look at threads, open files and sockets: slower, needs root to see those of others
    #[arg(long)]
    pub deep: bool,
    /// Answer from this recording instead of the machine; may be given several times, a folder, or - for stdin
    #[arg(long, value_name = "FILE")]
    pub snapshot: Vec<PathBuf>,
    /// All columns, as wide as they are
    #[arg(long)]
    pub wide: bool,
}

/// Kinds of holders that `podnet list` filters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HolderKind {
    /// A process
    Process,
    /// A thread whose namespace is not its process's (with --deep)
    Thread,
    /// A bind mount
    Mount,
    /// An open file (with --deep)
    Fd,
    /// A socket (with --deep)
    Socket,
    /// Nothing that podnet found
    None,
}

/// Arguments of `podnet demo`.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  podnet demo                             build the node, show three traces, take it down
  podnet demo --shell                     a shell inside, to try podnet, ip and bridge
  podnet demo -- podnet list              one command inside
  podnet demo -- podnet trace signin-test-a --to 172.22.1.7 --json

{EXIT_CODES}
  With a command or a shell: the exit code of that."))]
pub struct DemoArgs {
    /// Open a shell in the node
    #[arg(long, conflicts_with = "command")]
    pub shell: bool,
    /// Run this in the node instead of the three traces
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Arguments of `podnet schema`.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  podnet schema                           all of it
  podnet schema trace > trace.schema.json

{EXIT_CODES}"))]
pub struct SchemaArgs {
    /// Only that of one kind of document: trace, list, demo, attach, detach or error
    #[arg(value_name = "KIND")]
    pub kind: Option<String>,
}

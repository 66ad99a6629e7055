//! Flags and help text of the commands that change wiring, or use it: attach, detach, exec.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

use super::EXIT_CODES;

/// Arguments of `podnet attach`.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  podnet attach blue --dry-run                          the commands that would do the same
  podnet attach blue                                    an address of 10.213.0.0/24 on the bridge podnet0
  podnet attach 4711 --bridge cni0 --ifname net1 --no-default-route
                                                        one more link, on the bridge of a CNI plugin
  podnet attach blue --subnet 10.88.0.0/16 --subnet fd00:88::/64 --masquerade
  podnet attach blue --address 192.168.7.20/24 --bridge lan --gateway 192.168.7.1
  podnet attach blue --ptp --address 10.88.0.7/32       a route for it on the host, no bridge

{EXIT_CODES}"))]
pub struct AttachArgs {
    /// The namespace: whatever podnet trace takes
    pub target: String,
    /// Show what would be done, as commands that do the same, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Name of the new link in the namespace
    #[arg(long, value_name = "NAME", default_value = "eth0")]
    pub ifname: String,
    /// Name of its other end on the host, instead of one that is made up
    #[arg(long, value_name = "NAME")]
    pub host_ifname: Option<String>,
    /// Link-layer address, instead of one that the kernel draws
    #[arg(long, value_name = "ADDRESS")]
    pub mac: Option<String>,
    /// MTU, instead of the bridge's
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
    /// How to connect it.
    #[command(flatten)]
    pub way: WayArgs,
    /// Which addresses.
    #[command(flatten)]
    pub addresses: AddressArgs,
    /// Which routes.
    #[command(flatten)]
    pub routes: RouteArgs,
    /// Seconds to wait for the link to work, and for another podnet that holds the lock and does nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub wait: f64,
}

/// How a new link is connected.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct WayArgs {
    /// Bridge to plug it into; it is made where it is missing
    #[arg(long, value_name = "NAME", default_value = "podnet0")]
    pub bridge: String,
    /// No bridge: a pair, and a route on the host
    #[arg(long, conflicts_with_all = ["bridge", "hairpin", "isolated"])]
    pub ptp: bool,
    /// No pair: a macvlan on this link of the host
    #[arg(long, value_name = "LINK", conflicts_with_all = ["bridge", "ptp", "host_ifname", "hairpin", "isolated", "masquerade"])]
    pub macvlan: Option<String>,
    /// Let the bridge send frames back out of the port they came in by
    #[arg(long)]
    pub hairpin: bool,
    /// Keep it apart from the bridge's other isolated ports
    #[arg(long)]
    pub isolated: bool,
}

/// Which addresses a new link gets.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses")]
pub struct AddressArgs {
    /// This address with the length of its network's prefix
    #[arg(long = "address", value_name = "IP/LEN")]
    pub addresses: Vec<IpNet>,
    /// The next free address of this network
    #[arg(long = "subnet", value_name = "CIDR")]
    pub subnets: Vec<IpNet>,
    /// Only addresses of this part of a --subnet
    #[arg(long = "range", value_name = "FIRST-LAST", value_parser = range)]
    pub ranges: Vec<(IpAddr, IpAddr)>,
    /// Hide the addresses behind the host's outside their network
    #[arg(long)]
    pub masquerade: bool,
    /// Name of the network in the address store, instead of the bridge's
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// Address store, shared with the CNI plugin host-local
    #[arg(long, value_name = "DIR", default_value = "/var/lib/cni/networks")]
    pub ipam_dir: PathBuf,
}

/// Which routes a namespace gets by a new link.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Routes")]
pub struct RouteArgs {
    /// Whom everything else goes to, one for each family, or none; else the host
    #[arg(long = "gateway", value_name = "IP|none")]
    pub gateways: Vec<String>,
    /// One more route: to a network, by a router or else by the gateway
    #[arg(long = "route", value_name = "DST[,VIA]", value_parser = route)]
    pub routes: Vec<(IpNet, Option<IpAddr>)>,
    /// The gateway is not the way to everywhere
    #[arg(long)]
    pub no_default_route: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "this is no number".to_owned())?;
    match (0.0..=86400.0).contains(&seconds) {
        true => Ok(seconds),
        false => Err("this is not between 0 and a day".to_owned()),
    }
}

fn range(text: &str) -> Result<(IpAddr, IpAddr), String> {
    let (first, last) = text.split_once('-').ok_or("a range is FIRST-LAST")?;
    let ip = |text: &str| text.parse::<IpAddr>().map_err(|e| format!("{text:?}: {e}"));
    let (first, last) = (ip(first)?, ip(last)?);
    match first.is_ipv4() == last.is_ipv4() {
        true => Ok((first, last)),
        false => Err("the two are of different families".to_owned()),
    }
}

fn route(text: &str) -> Result<(IpNet, Option<IpAddr>), String> {
    let (dst, via) = text.split_once(',').map_or((text, None), |(dst, via)| (dst, Some(via)));
    let via = via.map(|via| via.parse::<IpAddr>().map_err(|e| format!("{via:?}: {e}"))).transpose()?;
    let dst = match dst.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip),
        Err(_) => dst.parse().map_err(|e| format!("{dst:?}: {e}"))?,
    };
    Ok((dst, via))
}

/// Arguments of `podnet detach`.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  podnet detach blue                      its eth0, the addresses, the rules, and the bridge after the last port
  podnet detach blue --force              a link eth0 that something else made
  podnet detach --gc                      what dead pods have left
  podnet detach --gc --yes                and away with it

{EXIT_CODES}"))]
pub struct DetachArgs {
    /// The namespace: whatever podnet trace takes; one that is gone by what was typed when it was attached
    #[arg(required_unless_present = "gc", conflicts_with = "gc")]
    pub target: Option<String>,
    /// Name of the link in the namespace
    #[arg(long, value_name = "NAME", default_value = "eth0")]
    pub ifname: String,
    /// Leave the bridge, now and later: it is yours from now on
    #[arg(long)]
    pub keep_bridge: bool,
    /// Also delete a link that podnet did not make
    #[arg(long)]
    pub force: bool,
    /// List what dead pods have left: links, addresses, rules, bridges
    #[arg(long, conflicts_with_all = ["force", "keep_bridge"])]
    pub gc: bool,
    /// Remove what --gc lists
    #[arg(long, requires = "gc")]
    pub yes: bool,
    /// Address store
    #[arg(long, value_name = "DIR", default_value = "/var/lib/cni/networks")]
    pub ipam_dir: PathBuf,
    /// Seconds to wait for another podnet that holds the lock and does nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub wait: f64,
}

/// Arguments of `podnet exec`.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  podnet exec blue -- ss -tnlp            the sockets of the namespace, with this machine's ss
  podnet exec 4711 -- tcpdump -ni eth0    what arrives at a container that has no tcpdump
  podnet exec blue -- curl -s 10.88.0.1

The program sees this machine's files, the /sys of the namespace, and instead of those in /etc the
files of /etc/netns/NAME, where the namespace has a name under /run/netns.

{EXIT_CODES}
  Once the program runs: the exit code of that."))]
pub struct ExecArgs {
    /// The namespace: whatever podnet trace takes
    pub target: String,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

//! Packets that fit the first device and not a later one.

use super::walk::Walk;
use crate::model::{Level, Step};

impl Walk<'_> {
    /// Compares each device with the least one before it: a router can say that a packet is too big, a bridge or the
    /// other end of a pair drops it without a word.
    pub(super) fn check_mtu(&mut self) {
        let mut least: Option<(u32, String)> = None;
        for index in 0..self.hops.len() {
            let hop = &self.hops[index];
            // What goes from port to port, or up to the namespace, is not held against the bridge's own MTU.
            if hop.step == Step::Master {
                continue;
            }
            let route_mtu = hop.route.as_ref().and_then(|r| r.mtu).filter(|m| *m > 0);
            let Some(mtu) = [hop.mtu, route_mtu].into_iter().flatten().min() else { continue };
            // Tunnels around the packet take their part of it.
            let around = self.overhead.get(index).copied().unwrap_or(0);
            let mtu = mtu.saturating_sub(around);
            let (name, step) = (format!("{} of {}", hop.ifname, hop.netns_name), hop.step);
            if let Some((before, from)) = &least {
                let (before, from) = (*before, from.clone());
                if mtu >= before {
                    continue;
                }
                let message = format!("packets of {from} over {mtu} bytes do not fit {name}");
                let evidence = match around {
                    0 => format!("mtu {before} on {from}, {mtu} on {name}"),
                    _ => format!(
                        "mtu {before} on {from}, {} on {name}, of which the tunnel takes {around}",
                        mtu + around
                    ),
                };
                let fix = Some(format!("set the mtu of {from} to {mtu}, or raise that of {name}"));
                match step {
                    _ if around > 0 => {
                        let hint = " with the tunnel around them: they are split in two, or refused";
                        self.finding_at(index, Level::Warning, "mtu-tunnel", message + hint, evidence, fix);
                    }
                    Step::Route => {
                        let hint = ": they need ICMP errors to get back to the sender";
                        self.finding_at(index, Level::Warning, "mtu-shrinks", message + hint, evidence, fix);
                    }
                    _ => {
                        let hint = " and are dropped without a word";
                        self.finding_at(index, Level::Critical, "mtu-blackhole", message + hint, evidence, fix);
                    }
                }
            }
            least = Some((mtu, name));
        }
    }
}

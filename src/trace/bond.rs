//! Bonds and teams: by which port a packet leaves, and whether a port takes one in.

use super::frame::Frame;
use super::walk::{Next, Walk};
use crate::model::{Action, BondPort, KindData, Level, Link, LinkId, Step};

/// Number of the mode in which one port is in use and the others wait (`BOND_MODE_ACTIVEBACKUP`).
const ACTIVE_BACKUP: u8 = 1;

impl Walk<'_> {
    pub(super) fn send_by_port(&mut self, at: LinkId, bond: &Link, frame: Frame) -> Next {
        let members = match self.topology.members(at) {
            Ok(members) => members,
            Err(gap) => return self.unseen(gap),
        };
        // Of LACP's ports those that are in no aggregate with the active one wait like a backup.
        let usable = |port: &&Link| port.up && port.bond_port.map_or(port.carrier != Some(false), |p| p.up && p.active);
        let ports: Vec<&Link> = match bond.data {
            Some(KindData::Bond { mode: ACTIVE_BACKUP, active, .. }) => {
                members.iter().filter(|l| Some(l.ifindex) == active).collect()
            }
            _ => members.iter().filter(usable).collect(),
        };
        let names: Vec<&str> = ports.iter().map(|l| l.ifname.as_str()).collect();
        match ports.as_slice() {
            [] => {
                let reason = format!("no port of {} is in use", bond.ifname);
                let evidence = self.port_states(at);
                self.finding(Level::Fatal, "no-active-port", reason.clone(), evidence, None);
                self.stop(Action::Dropped, reason)
            }
            [port] => {
                let id = Walk::beside(at, port.ifindex);
                let port = match self.look(id) {
                    Ok(port) => port,
                    Err(end) => return end,
                };
                self.push(id, &port, Step::Lower);
                self.name_master(bond);
                Next::Transmit(id, Box::new(port), Box::new(frame))
            }
            // A hash over the packet's headers decides, and which headers is the bond's affair.
            several if several.iter().all(|l| l.kind == "device") => match self.over_the_wire(at, &frame) {
                Some(next) => next,
                None => self.stop(
                    Action::LeavesNode,
                    format!("by one of {} (ports of {}) towards {}", names.join(", "), bond.ifname, frame.to),
                ),
            },
            _ => self.stop(
                Action::Unknown,
                format!("{} sends it by one of {}: which one is not seen", bond.ifname, names.join(", ")),
            ),
        }
    }

    /// Each port of a bond or team, and why it is of no use.
    pub(super) fn port_states(&mut self, at: LinkId) -> String {
        let Ok(members) = self.topology.members(at) else { return "its ports are not seen".to_owned() };
        let state = |port: &Link| match port.bond_port {
            _ if !port.up => "down",
            _ if port.carrier == Some(false) => "no carrier",
            Some(BondPort { up: false, .. }) => "not working",
            Some(BondPort { active: false, .. }) => "waiting",
            _ => "up",
        };
        let all: Vec<String> = members.iter().map(|port| format!("{} ({})", port.ifname, state(port))).collect();
        match all.as_slice() {
            [] => "it has no port".to_owned(),
            _ => format!("its ports are {}", all.join(", ")),
        }
    }

    /// A packet has come in by a port of a bond or team, the last hop.
    pub(super) fn take_in_by_port(&mut self, above: LinkId, master: Link, port: &Link, frame: Frame) -> Next {
        let all_active = match master.data {
            Some(KindData::Bond { all_active, .. }) => all_active,
            _ => Some(false),
        };
        if port.bond_port.is_some_and(|p| !p.active) && all_active != Some(true) {
            if all_active.is_none() {
                let reason = format!(
                    "{} is not in use, and whether {} takes in by it all the same is not seen",
                    port.ifname, master.ifname
                );
                return self.stop(Action::Unknown, reason);
            }
            let reason = format!("{} is not in use: {} takes nothing in by it", port.ifname, master.ifname);
            let evidence = format!("the state of {} as a port of {} is backup", port.ifname, master.ifname);
            self.finding(Level::Fatal, "port-inactive", reason.clone(), evidence, None);
            return self.stop(Action::Dropped, reason);
        }
        Next::Arrive(above, Box::new(master), Box::new(frame), Step::Master)
    }
}

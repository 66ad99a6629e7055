//! What a bridge that filters by VLAN lets in and out, and with which tag.

use super::frame::Frame;
use super::walk::{Next, Walk};
use crate::model::{Action, KindData, Level, Link, LinkId, PortVlan, Seen, Tag, word};

/// The VLAN of a frame inside a bridge; none: the bridge does not filter by VLAN.
pub(super) type Vid = Option<u16>;

fn filters(bridge: &Link) -> Option<bool> {
    match bridge.data {
        Some(KindData::Bridge { vlan_filtering: true, ad, .. }) => Some(ad),
        _ => None,
    }
}

impl Walk<'_> {
    /// The VLAN that a frame belongs to as it comes in, and the frame without the tag that said so.
    pub(super) fn vlan_in(
        &mut self,
        at: LinkId,
        bridge: &Link,
        port: Option<&Link>,
        frame: Frame,
    ) -> Result<(Vid, Frame), Next> {
        let Some(ad) = filters(bridge) else { return Ok((None, frame)) };
        let by = port.unwrap_or(bridge);
        let vlans = self.port_vlans(at, by)?;
        let tag = frame.tags.last().filter(|tag| tag.ad == ad).copied();
        let vid = match tag {
            Some(tag) => Some(tag.vid).filter(|vid| vlans.iter().any(|v| v.has(*vid))),
            None => vlans.iter().find(|v| v.pvid).map(|v| v.vid),
        };
        let Some(vid) = vid else {
            let reason = match tag {
                Some(tag) => format!("{} lets no frames of VLAN {} into {}", by.ifname, tag.vid, bridge.ifname),
                None => format!("{} lets no frames without a tag into {}", by.ifname, bridge.ifname),
            };
            let fix = tag.map_or("vid ... pvid untagged".to_owned(), |tag| format!("vid {}", tag.vid));
            return Err(self.vlan_refused(by, bridge, reason, &vlans, &fix));
        };
        Ok((Some(vid), if tag.is_some() { frame.untagged() } else { frame }))
    }

    /// The frame as it goes out by a port, or up to the bridge's own namespace.
    pub(super) fn vlan_out(
        &mut self,
        at: LinkId,
        bridge: &Link,
        by: &Link,
        vid: Vid,
        frame: Frame,
    ) -> Result<Frame, Next> {
        let (Some(vid), Some(ad)) = (vid, filters(bridge)) else { return Ok(frame) };
        let vlans = self.port_vlans(at, by)?;
        match vlans.iter().find(|v| v.has(vid)) {
            Some(vlan) if vlan.untagged => Ok(frame),
            Some(_) => Ok(frame.tagged(Tag { vid, ad })),
            None => {
                let reason = format!("{} is not in VLAN {vid} of {}", by.ifname, bridge.ifname);
                Err(self.vlan_refused(by, bridge, reason, &vlans, &format!("vid {vid}")))
            }
        }
    }

    /// The port is in the VLAN.
    pub(super) fn is_in(&mut self, at: LinkId, port: &Link, vid: Vid) -> Seen<bool> {
        let Some(vid) = vid else { return Ok(true) };
        let vlans = self.topology.vlans(Walk::beside(at, port.ifindex))?;
        Ok(vlans.iter().any(|v| v.has(vid)))
    }

    /// Frames of the VLAN go out by the port with a tag.
    pub(super) fn is_tagged(&mut self, at: LinkId, port: &Link, vid: Vid) -> bool {
        let Some(vid) = vid else { return false };
        let vlans = self.topology.vlans(Walk::beside(at, port.ifindex));
        vlans.is_ok_and(|vlans| vlans.iter().any(|v| v.has(vid) && !v.untagged))
    }

    fn port_vlans(&mut self, at: LinkId, by: &Link) -> Result<Vec<PortVlan>, Next> {
        self.topology.vlans(Walk::beside(at, by.ifindex)).map_err(|gap| self.unseen(gap))
    }

    fn vlan_refused(&mut self, by: &Link, bridge: &Link, reason: String, vlans: &[PortVlan], missing: &str) -> Next {
        let list: Vec<String> = vlans.iter().map(text).collect();
        let evidence = match list.as_slice() {
            [] => format!("{} is in no VLAN, and {} filters by VLAN", by.ifname, bridge.ifname),
            _ => format!("{} is in the VLANs {}", by.ifname, list.join(", ")),
        };
        let own = if by.ifindex == bridge.ifindex { " self" } else { "" };
        let fix = Some(self.to_type(format!("bridge vlan add dev {} {missing}{own}", word(&by.ifname))));
        let hop = self.hop_of(by);
        self.finding_at(hop, Level::Fatal, "vlan-not-allowed", reason.clone(), evidence, fix);
        self.stop(Action::Dropped, reason)
    }
}

fn text(vlan: &PortVlan) -> String {
    let mut text = vlan.vid.to_string();
    if vlan.last != vlan.vid {
        text.push_str(&format!("-{}", vlan.last));
    }
    if vlan.pvid {
        text.push_str(" (pvid)");
    }
    if vlan.untagged {
        text.push_str(" (untagged)");
    }
    text
}

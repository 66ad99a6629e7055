//! What /sys/class/net says of a link. It shows the namespace that the mount was made for, not that of the reader:
//! only for the namespace podnet runs in, and only where the mount agrees with netlink about the link.

use std::fs;
use std::path::Path;

use crate::model::{IfIndex, Link};

/// Driver of a physical or virtio device (`/sys/class/net/<ifname>/device/driver`); none for a link without hardware,
/// or where the mount shows another namespace.
pub fn driver(link: &Link) -> Option<String> {
    let place = place(link)?;
    let driver = fs::read_link(Path::new(&place).join("device/driver")).ok()?;
    Some(driver.file_name()?.to_string_lossy().into_owned())
}

/// Name of the link whose hardware a virtual function belongs to (`physfn`), by the bus and name of its own hardware;
/// none: it is none, or its link is in another namespace than the one that this mount shows.
pub fn physical_function(parent_dev: &str) -> Option<String> {
    let (bus, device) = parent_dev.split_once('/')?;
    if [bus, device].iter().any(|part| part.contains('/') || part.starts_with('.')) {
        return None;
    }
    let mut links = fs::read_dir(format!("/sys/bus/{bus}/devices/{device}/physfn/net")).ok()?;
    Some(links.next()?.ok()?.file_name().to_string_lossy().into_owned())
}

/// The link's directory, if this mount has the same link by that name.
fn place(link: &Link) -> Option<String> {
    // A name with a slash or an escaped byte has no directory of its own.
    if link.ifname.contains(['/', '\\']) || link.ifname.starts_with('.') {
        return None;
    }
    let place = format!("/sys/class/net/{}", link.ifname);
    let number = |file: &str| fs::read_to_string(format!("{place}/{file}")).ok()?.trim().parse::<u32>().ok();
    let same = number("ifindex").map(IfIndex) == Some(link.ifindex)
        && fs::read_to_string(format!("{place}/address")).ok()?.trim()
            == link.address.map(|a| a.to_string()).unwrap_or_default();
    same.then_some(place)
}

//! A link of the host as a target: the namespace at its other end.

use super::{Found, HINT, ROOT};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::{Live, link};
use crate::model::{Link, LinkId, Topology};

/// The link of podnet's own namespace with this name.
pub(super) fn own(live: &mut Live, name: &str) -> Result<Option<Link>> {
    let own = live.spaces.own();
    let Some((socket, _)) = live.spaces.socket(own) else { return Ok(None) };
    link::by_name(socket, name)
        .map_err(|refused| Error::new(ErrorId::Kernel, format!("looking for a link {name:?}")).because(refused))
}

/// The namespace at the other end of a pair.
pub(super) fn find(live: &mut Live, name: &str) -> Result<Found> {
    let netns = live.spaces.own();
    let here = live.netns(netns).name;
    let Some(link) = own(live, name)? else {
        return Err(Error::new(ErrorId::UnknownTarget, format!("there is no link {name:?} in {here}")).hint(HINT));
    };
    if !link.is_pair() {
        let message =
            format!("{name} is a {} of {here}, not one end of a pair: no container is at its other end", link.kind);
        return Err(Error::new(ErrorId::UnknownTarget, message).hint(format!(
            "podnet trace {here} shows {here} itself; podnet list --bridge {name} a bridge's containers"
        )));
    }
    let far = live
        .far_end(LinkId { netns, ifindex: link.ifindex }, &link)
        .map_err(|gap| Error::new(ErrorId::NoPermission, format!("{} of {name}: {}", gap.what, gap.why)).hint(ROOT))?;
    match far {
        Some(far) if far.netns != netns => Ok(Found::at(far.netns, None)),
        _ => Err(Error::new(ErrorId::UnknownTarget, format!("both ends of {name} are in {here}"))
            .hint(format!("podnet trace {here} shows {here} itself"))),
    }
}

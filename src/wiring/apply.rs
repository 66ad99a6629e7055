//! Carries a plan out: one netlink connection into each namespace, one request a step, in order.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use rtnetlink::Handle;
use rtnetlink::sys::AsyncSocket;
use tokio::runtime::{Builder, Runtime};

use super::message;
use crate::error::{Error, ErrorId, Result};
use crate::kernel::netns::NetnsFile;
use crate::kernel::socket::Refused;
use crate::model::{Change, IfIndex, NetnsRef, Plan, PlanStep};

/// Takes the steps one after the other; the first that the kernel refuses ends it, and those before it stay done.
///
/// `netns` holds an open file of every namespace that the plan speaks of.
pub fn apply(plan: &Plan, netns: &BTreeMap<NetnsRef, NetnsFile>) -> Result<()> {
    let failed = |e: io::Error| Error::new(ErrorId::Failed, "the netlink runtime could not be started").because(e);
    // A runtime with more threads costs three times as much and has nothing to do here.
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut writer = Writer { runtime, netns, handles: BTreeMap::new() };
    plan.steps.iter().try_for_each(|step| {
        writer.take(step).map_err(|refused| {
            Error::new(ErrorId::Kernel, format!("the kernel refused `{step}`"))
                .because(refused)
                .hint("the steps before this one are done; the command shows what was asked for")
        })
    })
}

struct Writer<'a> {
    runtime: Runtime,
    netns: &'a BTreeMap<NetnsRef, NetnsFile>,
    handles: BTreeMap<&'a NetnsRef, Handle>,
}

impl<'a> Writer<'a> {
    fn take(&mut self, step: &'a PlanStep) -> Result<(), Refused> {
        let at = &step.netns;
        match &step.change {
            Change::SetSysctl { key, value } => {
                // /proc/sys/net shows the namespace of the thread that opens it.
                Ok(self.file(at)?.inside(|| fs::write(format!("/proc/sys/{key}"), value))?)
            }
            Change::AddBridge(link) => self.add_link(at, message::bridge(link)),
            Change::AddVeth { link, master, peer_netns, peer } => {
                let master = master.as_deref().map(|master| self.index(at, master)).transpose()?;
                self.add_link(at, message::veth(link, master, peer, self.file(peer_netns)?.as_fd()))
            }
            Change::AddAddr { ifname, addr } => {
                let IfIndex(index) = self.index(at, ifname)?;
                let request = self.handle(at)?.address().add(index, addr.addr(), addr.prefix_len());
                self.runtime.block_on(request.execute()).map_err(refused)
            }
            Change::SetUp { ifname } => {
                let request = self.handle(at)?.link().set(message::up(self.index(at, ifname)?));
                self.runtime.block_on(request.execute()).map_err(refused)
            }
            Change::AddRoute { kind, dst, gateway, dev } => {
                let dev = dev.as_deref().map(|dev| self.index(at, dev)).transpose()?;
                let message = message::route(*kind, *dst, *gateway, dev).ok_or(Refused {
                    errno: Errno::EAFNOSUPPORT,
                    words: Some("destination and gateway are of different families".to_owned()),
                })?;
                let request = self.handle(at)?.route().add(message);
                self.runtime.block_on(request.execute()).map_err(refused)
            }
        }
    }

    fn add_link(&mut self, at: &'a NetnsRef, message: netlink_packet_route::link::LinkMessage) -> Result<(), Refused> {
        let request = self.handle(at)?.link().add(message);
        self.runtime.block_on(request.execute()).map_err(refused)
    }

    fn file(&self, at: &NetnsRef) -> Result<&'a NetnsFile, Refused> {
        self.netns
            .get(at)
            .ok_or_else(|| Refused { errno: Errno::ENOENT, words: Some(format!("the namespace {at} was not opened")) })
    }

    /// The connection into a namespace, made when the first step needs it.
    fn handle(&mut self, at: &'a NetnsRef) -> Result<Handle, Refused> {
        if let Some(handle) = self.handles.get(at) {
            return Ok(handle.clone());
        }
        let (connection, handle) = self.file(at)?.inside(|| {
            // The socket registers with the runtime from the thread that makes it.
            let _entered = self.runtime.enter();
            let (mut connection, handle, _) = rtnetlink::new_connection()?;
            // Kernels before 4.12 have no words of their own to give.
            let _ = connection.socket_mut().socket_mut().set_ext_ack(true);
            Ok((connection, handle))
        })?;
        self.runtime.spawn(connection);
        self.handles.insert(at, handle.clone());
        Ok(handle)
    }

    /// Index of a link. Asked anew each time: a plan may make, move and replace links.
    fn index(&self, at: &NetnsRef, ifname: &str) -> Result<IfIndex, Refused> {
        let index = self.file(at)?.inside(|| Ok(if_nametoindex(ifname)?));
        index.map(IfIndex).map_err(|e| match Refused::from(e) {
            Refused { errno: Errno::ENODEV, .. } => {
                Refused { errno: Errno::ENODEV, words: Some(format!("there is no link {ifname} in {at}")) }
            }
            other => other,
        })
    }
}

fn refused(e: rtnetlink::Error) -> Refused {
    match e {
        rtnetlink::Error::NetlinkError(message) => Refused::from(&message),
        other => Refused { errno: Errno::EPROTO, words: Some(other.to_string()) },
    }
}

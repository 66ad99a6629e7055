//! `podnet exec`: becomes a program of this machine in the network of a namespace. Its /sys is the namespace's, and the
//! files under /etc/netns/NAME stand in for those in /etc, as `ip netns exec` has it.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::Outcome;
use super::attach::gather;
use crate::cli::ExecArgs;
use crate::error::{Error, ErrorId, Result};
use crate::kernel::netns::NetnsFile;
use crate::kernel::spaces::Access;
use crate::model::NetnsRef;
use crate::target;

const ROOT: &str = "run podnet as root: it takes CAP_SYS_ADMIN";

pub(super) fn run(args: &ExecArgs) -> Result<Outcome> {
    let [program, rest @ ..] = &args.command[..] else {
        return Err(Error::new(ErrorId::Usage, "there is no command").hint("podnet exec blue -- ss -tn"));
    };
    let mut live = super::live()?;
    let source = target::resolve(&mut live, &args.target)?;
    let Some(Access::Inside { .. }) = live.spaces.access(source.netns) else {
        let message = format!("the namespace of {} may not be entered", args.target);
        return Err(Error::new(ErrorId::NoPermission, message).hint(ROOT));
    };
    let file = gather::open_again(&live, source.netns)?;
    // A name of the machine's own: what processes and containers call themselves would be a way into /etc.
    let name = match gather::netns_ref(&mut live, &source, &args.target) {
        NetnsRef::Named(name) => Some(name),
        _ => None,
    };
    enter(&file, name.as_deref())?;
    // Comes back only where the program could not be started.
    let failed = Command::new(program).args(rest).exec();
    Err(Error::new(ErrorId::Failed, format!("{} could not be run", program.display()))
        .because(failed)
        .hint("name a program of this machine that is in PATH"))
}

/// Takes this process into the namespace, with a view of the files that goes with it.
fn enter(file: &NetnsFile, name: Option<&str>) -> Result<()> {
    let failed = |what: String| {
        move |errno: nix::errno::Errno| Error::new(ErrorId::NoPermission, what).because(errno).hint(ROOT)
    };
    setns(file, CloneFlags::CLONE_NEWNET).map_err(failed("entering the namespace".to_owned()))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("making mounts of its own".to_owned()))?;
    let none = None::<&str>;
    // What is mounted on the machine later still shows; what is mounted here does not show there.
    let apart = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(none, "/", none, apart, none).map_err(failed("keeping its mounts apart".to_owned()))?;
    let read_only = statvfs("/sys").is_ok_and(|fs| fs.flags().contains(FsFlags::ST_RDONLY));
    let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
    let _ = umount2("/sys", MntFlags::MNT_DETACH);
    mount(Some("podnet"), "/sys", Some("sysfs"), flags, none).map_err(failed("mounting its /sys".to_owned()))?;
    name.map_or(Ok(()), |name| bind_etc(&Path::new("/etc/netns").join(name)))
}

fn bind_etc(dir: &Path) -> Result<()> {
    let failed = |what: String, e: io::Error| {
        let hint = "the program would not see the files that are meant for it: mend or remove what is there";
        Error::new(ErrorId::Failed, what).because(e).hint(hint)
    };
    let reading = |e: io::Error| failed(format!("reading {}", dir.display()), e);
    let entries = match fs::read_dir(dir) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        entries => entries.map_err(reading)?,
    };
    for entry in entries {
        let entry = entry.map_err(reading)?;
        let over = Path::new("/etc").join(entry.file_name());
        // Something has to be there to be covered.
        if over.exists() {
            mount(Some(&entry.path()), &over, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(|errno| {
                failed(format!("putting {} in the place of {}", entry.path().display(), over.display()), errno.into())
            })?;
        }
    }
    Ok(())
}

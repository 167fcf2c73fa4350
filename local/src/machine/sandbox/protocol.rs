//! What the endpoint, a machine's keeper and its init say to each other: JSON messages on a SEQPACKET socket, with
//! descriptors beside them.

use super::{
    holdings::Holding,
    root::told,
    tables::{Entry, Share},
    taken::Taken,
};
use crate::{
    archive::{Contents, Limits},
    machine::{BlockDevice, Specification},
    network::Nic,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

/// What the role is started for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Boot a machine and stay with it to its end.
    Boot(Box<Boot>),
    /// Remove all that is in a directory, as a user who could have written to it. Beside it: the directory.
    Clear,
    /// Unpack an archive into an empty directory, for machines of this user's. Beside it: the archive.
    Unpack { into: PathBuf, limits: Limits },
    /// Have a machine's layer in an empty directory. Beside it: the directory of the machine's files, and that one.
    Layer,
    /// Measure what it takes on the host, likewise.
    Measure(PathBuf),
}

/// What a machine is made of, as it is told to its keeper.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Boot {
    pub specification: Specification,
    /// The first of the host's user ids for this machine, where it may have a range of its own and its disk has none yet.
    pub first_id: u32,
    /// What it gets of tables that are the host's.
    pub share: Share,
    /// Run instead of the agent.
    pub program: Option<Vec<String>>,
    /// Whether its root may mount its volumes.
    pub mounts: bool,
    /// What is to be covered in the host's directories, where the kernel doesn't keep it from the machine.
    pub covers: Option<Vec<PathBuf>>,
}

/// What the endpoint wants of a running machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Give it a volume.
    Attach(BlockDevice),
    /// Take the volume of this id from it, by force or once nothing uses it any more.
    Detach(String, bool),
    /// The volume of this id has so many GiB from now on.
    Resize(String, u64),
    PowerOff,
    Kill,
    /// Give it a network interface more.
    Plug(Nic),
    /// Count how many of these it holds. The number is the question's.
    Count(Entry, u64),
    /// Have what is on volumes of these ids in empty directories, which are beside it; none stands for what the machine has changed on
    /// its root volume.
    Take(Vec<Option<String>>),
    /// Count what its files take that have no name. The number is the question's.
    CountNameless(u64),
}

/// What keeper and init tell the endpoint.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The namespaces are made. Beside it: init's pidfd.
    Created,
    /// Init runs. Beside it: the console's reading end, then a TAP device per interface.
    Started,
    /// It has the network interface. Beside it: the TAP device.
    Plugged(Nic),
    /// It hasn't, and why.
    NotPlugged(String, String),
    /// The machine has let go of the volume of this id.
    Detached(String),
    /// Something for the console.
    Note(String),
    /// It is over: init ended by itself, or was ended by request.
    PoweredOff,
    /// It is over: somebody inside asked for a reboot.
    Rebooting,
    /// The archive is unpacked.
    Unpacked(Contents),
    /// It is over, or never began.
    Failed(String),
    /// A layer was taken; or why not.
    Layer(Option<String>),
    /// What came of taking several snapshots: why one wasn't taken, if so.
    Snapshots(Vec<Option<String>>),
    /// What was measured.
    Taken(Taken),
    /// How many it holds of what the question with this number was about.
    Holds(u64, Holding),
    /// What they take, likewise.
    Nameless(u64, Taken),
}

/// What the keeper gives init when it may go on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Go {
    /// How the guest's users are mapped.
    pub users: Users,
    /// The directory with the machine's files, then those of so many snapshots, the latest first, then the image's root directory or the host's directories that it sees. If there are
    /// descriptors beside this message, they are these directories as detached mounts; where owners of the host's directories
    /// are mapped, these follow without that.
    pub trees: Vec<PathBuf>,
    /// How many of them are of snapshots.
    pub layers: usize,
    /// Whether the last of the descriptors is the machine's own devices, as a detached mount.
    pub has_devices: bool,
    /// What the machine sees of the host's directories.
    pub shown: Shown,
    /// Whether the keeper has made the cgroup namespace.
    pub has_cgroup_namespace: bool,
    /// What couldn't be had, in words for the console.
    pub notes: Vec<String>,
}

/// What a machine sees of the host's directories, beside names and attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// What somebody sees to whom nothing belongs; nothing belongs to its root anyway in these directories.
    ToStrangers { unowned: Vec<PathBuf> },
    /// What its root sees, without these.
    AllBut(Vec<PathBuf>),
}

/// How many users there are in a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Users {
    /// The usual 65,536, or nearly.
    Many,
    /// Root alone.
    RootOnly,
}

/// The most interfaces that fit beside one message.
pub const MOST_DESCRIPTORS: usize = 250;
const MOST_BYTES: usize = 128 << 10;

/// Both ends of a connection.
pub fn connection() -> io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(told("make", "a pair of sockets"))
}

/// Sends a message with descriptors beside it.
pub fn send(socket: impl AsFd, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    if bytes.len() > MOST_BYTES || descriptors.len() > MOST_DESCRIPTORS {
        return Err(io::Error::other("a message to or from a machine is too long"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        beside.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message; `None` once the other side is gone.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC) {
            // Who has closed with something unread is told first, but what they have said before is still there.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&bytes[..received.bytes]).map_err(io::Error::other)?;
    let descriptors = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok(Some((message, descriptors.flatten().collect())))
}

/// Waits until one of the descriptors can be read, or has no other end any more; says which can.
pub fn wait_readable<const N: usize>(descriptors: [BorrowedFd<'_>; N]) -> io::Result<[bool; N]> {
    let mut polled = descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
    loop {
        match poll(&mut polled, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(polled.each_ref().map(|polled| !polled.revents().is_empty())),
        }
    }
}

/// The same of any number of descriptors, for this long at most.
pub fn wait_for_any(descriptors: &[BorrowedFd<'_>], longest: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> =
        descriptors.iter().map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN)).collect();
    let longest = longest.and_then(|longest| Timespec::try_from(longest).ok());
    match poll(&mut polled, longest.as_ref()) {
        // Whoever waits looks again.
        Err(Errno::INTR) => Ok(vec![false; polled.len()]),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_bounds_and_descriptors() {
        let (here, there) = connection().unwrap();
        send(&here, &Command::PowerOff, &[]).unwrap();
        send(&here, &Report::Started, &[here.as_fd(), there.as_fd()]).unwrap();
        drop(here);
        let (command, none) = receive::<Command>(&there).unwrap().unwrap();
        assert_eq!((command, none.len()), (Command::PowerOff, 0));
        let (_, two) = receive::<Report>(&there).unwrap().unwrap();
        assert_eq!(two.len(), 2);
        drop(two);
        assert!(receive::<Report>(&there).unwrap().is_none());
    }

    #[test]
    fn the_last_word_counts_though_its_sender_has_not_read_all() {
        let (here, there) = connection().unwrap();
        send(&here, &Command::Kill, &[]).unwrap();
        send(&there, &Report::PoweredOff, &[]).unwrap();
        drop(there);
        assert!(matches!(receive::<Report>(&here).unwrap(), Some((Report::PoweredOff, _))));
        assert!(receive::<Report>(&here).unwrap().is_none());
    }
}

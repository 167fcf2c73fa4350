//! The volumes of a machine beside its root's, as its keeper has them: each is a sparse file behind a loop device, which the machine
//! sees as `/dev/nvme1n1` and so on, as on Nitro. Only the host's root can have them.
//!
//! The kernel takes all of it away with the keeper: it has the devices open, and they clear themselves.
//!
//! Source of the names: <https://docs.aws.amazon.com/ebs/latest/userguide/nvme-ebs-volumes.html>.

use super::{
    inside::{Inside, Partition, View},
    kernel,
    root::told,
    volume,
};
use crate::machine::BlockDevice;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::Pid,
};
use std::{
    fs::{self, File, Permissions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How often it is looked whether a volume is still in use that is to be detached.
pub const LOOK: Duration = Duration::from_millis(50);
/// How often the kernel may find pages of a device that it has not written yet.
const TRIES: usize = 50;

/// A machine's volumes.
#[derive(Debug)]
pub struct BlockDevices {
    /// Where the disks of all volumes are.
    disks: PathBuf,
    inside: Inside,
    /// Its root volume's device, where it has one.
    root: Option<Partition>,
    attached: Vec<Attached>,
    /// Devices that are no volume's any more, and must not become another's as long as the machine may have their nodes.
    lost: Vec<File>,
}

/// A volume that the machine has.
#[derive(Debug)]
struct Attached {
    volume: String,
    view: View,
    file: File,
    /// Keeps the device, whether or not the machine uses it.
    device: File,
    /// The node that the machine has, which it may have mounted elsewhere as well.
    node: OwnedFd,
    is_detaching: bool,
}

/// Whether machines of this user have volumes as block devices on this host, for a person.
pub fn describe() -> String {
    let why = if rustix::process::geteuid().is_root() {
        volume::find_free().err().map(|error| format!("failed to {error}"))
    } else {
        Some("only the host's root can make a block device".to_owned())
    };
    match why {
        None => "machines have volumes as block devices: yes".to_owned(),
        Some(why) => format!("machines have volumes as block devices: no; {why}"),
    }
}

impl BlockDevices {
    /// Those of the machine of this init, whose root is this user; `disk` is its root volume's, which has this device.
    pub fn new(init: Pid, owner: u32, disk: &Path, root: Option<u64>) -> Self {
        let disks = disk.parent().unwrap_or(Path::new("/")).to_owned();
        let root = root.and_then(|device| Partition::of(device, None));
        Self { disks, inside: Inside { init, owner }, root, attached: Vec::new(), lost: Vec::new() }
    }

    /// Whether any is to be detached that is still in use.
    pub fn wait_for_machine(&self) -> bool {
        self.attached.iter().any(|attached| attached.is_detaching)
    }

    /// The numbers of the devices, and their names in the machine.
    pub fn numbers(&self) -> Vec<(u64, String)> {
        self.attached.iter().map(|attached| (attached.view.device, attached.view.node())).collect()
    }

    /// Gives the machine a volume.
    pub fn attach(&mut self, asked: &BlockDevice) -> io::Result<()> {
        if self.attached.iter().any(|attached| attached.volume == asked.volume) {
            return Ok(());
        }
        let disk = self.disks.join(&asked.volume);
        make(&disk, asked.gib)?;
        let file = volume::open(&disk)?;
        let length = asked.gib << 30;
        if file.metadata()?.len() < length {
            file.set_len(length).map_err(told("make larger", disk.display()))?;
        }
        // What its file system holds in memory needn't be there twice, and goes to the host's disk in one step.
        let (path, device) = volume::attach(&file, true)?;
        let number = (1..).find(|number| self.attached.iter().all(|attached| attached.view.number != *number));
        let view = View {
            number: number.unwrap_or(1),
            path,
            device: device.metadata()?.rdev(),
            name: asked.name.clone(),
            volume: asked.volume.clone(),
        };
        let partition = Partition::of(view.device, Some(view.node()));
        let partitions = self.partitions().into_iter().chain(partition).collect();
        let node = self.inside.show(&view, partitions)?;
        self.attached.push(Attached { volume: asked.volume.clone(), view, file, device, node, is_detaching: false });
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        let volumes =
            self.attached.iter().filter_map(|attached| Partition::of(attached.view.device, Some(attached.view.node())));
        self.root.iter().cloned().chain(volumes).collect()
    }

    /// A volume that the machine may have is larger now.
    pub fn resize(&mut self, volume: &str, gib: u64) -> io::Result<()> {
        let Some(attached) = self.attached.iter().find(|attached| attached.volume == volume) else { return Ok(()) };
        attached.file.set_len(gib << 30).map_err(told("make larger", volume))?;
        kernel::update_loop_size(&attached.device).map_err(told("tell of its size", &attached.view.path))?;
        self.inside.list(self.partitions())
    }

    /// The file of a volume that the machine has.
    pub fn file(&self, volume: &str) -> Option<&File> {
        self.attached.iter().find(|attached| attached.volume == volume).map(|attached| &attached.file)
    }

    /// Has what is to be written to a volume that the machine has written to its file.
    pub fn flush(&self, volume: &str) -> io::Result<()> {
        match self.attached.iter().find(|attached| attached.volume == volume) {
            Some(attached) => kernel::flush_device(&attached.device).map_err(told("write what waits for", volume)),
            None => Ok(()),
        }
    }

    /// A volume is to be detached, by force at once; says whether the machine hasn't it any more.
    pub fn detach(&mut self, volume: &str, force: bool) -> bool {
        let Some(index) = self.attached.iter().position(|attached| attached.volume == volume) else { return true };
        self.attached[index].is_detaching = true;
        self.let_go(index, force)
    }

    /// Those of the volumes to be detached that the machine has let go of since.
    pub fn released(&mut self) -> Vec<String> {
        let mut released = Vec::new();
        for index in (0..self.attached.len()).rev() {
            if self.attached[index].is_detaching {
                let volume = self.attached[index].volume.clone();
                released.extend(self.let_go(index, false).then_some(volume));
            }
        }
        released
    }

    /// Takes a volume away unless it is mounted; by force it is unmounted, and who still has it finds it empty.
    fn let_go(&mut self, index: usize, force: bool) -> bool {
        let view = &self.attached[index].view;
        if force {
            self.inside.unmount_all(view.device);
        }
        let claimed = claim(&view.path);
        if claimed.is_none() && !force {
            return false;
        }
        let attached = self.attached.remove(index);
        // Whatever its root has made of it meanwhile is in that machine alone.
        let _ = self.inside.hide(&attached.view, self.partitions());
        let length = attached.file.metadata().map_or(u64::MAX >> 1, |found| found.len());
        for _ in 0..TRIES {
            match kernel::empty_loop_device(&attached.device, length) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK / 10),
                _ => break,
            }
        }
        drop(claimed);
        // The number may be another volume's next, and whoever has the node would have that.
        if revoke(&attached.node).is_err() {
            self.lost.push(attached.device);
        }
        // Another machine may have it at once, though somebody here has the empty device open for ever.
        let _ = attached.file.unlock();
        true
    }
}

/// Takes a node from everybody who isn't the host's root.
fn revoke(node: &OwnedFd) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", node.as_raw_fd());
    chown(&path, Some(0), Some(0))?;
    fs::set_permissions(&path, Permissions::from_mode(0o000))
}

/// Makes a volume's file, if it isn't there.
fn make(disk: &Path, gib: u64) -> io::Result<()> {
    let path = disk.join(volume::NAME);
    match File::options().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(file) => file
            .set_len(gib << 30)
            .inspect_err(|_| drop(fs::remove_file(&path)))
            .map_err(told("make a volume of", format!("{gib} GiB"))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(told("make", path.display())(error)),
    }
}

/// Has a device for oneself, as long as what is returned lives; none where it is mounted.
fn claim(path: &str) -> Option<OwnedFd> {
    match rustix::fs::open(path, OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::BUSY) => None,
        other => other.ok(),
    }
}

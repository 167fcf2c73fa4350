//! Block devices, by the volumes that they are.

use super::table::{Learn, Perhaps, Thing, kind};
use crate::check::{
    Matcher, Numbers, Size,
    answer::{Answer, Answers},
    fact::Fact,
    finding::hold,
};

kind! {
    /// What a volume is expected to be; made by [`volume`].
    #[derive(Default)]
    VolumeCheck

    /// A volume of EBS, by its id (`vol-…`), or any block device, by its path (`/dev/…`).
    ///
    /// Expects that the machine has it as a device, unless told otherwise. A volume is found by its id whatever its device is called, as
    /// NVMe devices tell it; where a machine has none at all, that is unanswerable.
    volume(volume: String = name) expects exists;

    exists: Option<bool> {
        /// It is there as a device.
        exists() = true;
        /// There is no such device.
        is_missing() = false;
    } expects [last "is there", "is not there"] => |exists, device| device.judge_presence(*exists);

    size: Option<Numbers> {
        /// Its size in bytes: `gib(20)`, `gib(8)..`.
        size(size: impl Into<Numbers>) = size.into();
    } expects (|size| format!("size {}", size.describe(shown_size))) => |size, device| {
        let found = device.there()?.size;
        hold(size.contains(found), || shown_size(found))
    };

    device: Option<Matcher> {
        /// The path of its device: `/dev/nvme1n1`.
        device(device: impl Into<Matcher>) = device.into();
    } expects "device {}" => |path, device| path.judge(&device.there()?.path);

    fs_type: Option<Matcher> {
        /// The type of the file system on it, `ext4`; of none: empty. It may need root to see.
        fs_type(fs_type: impl Into<Matcher>) = fs_type.into();
    } expects "file system {}" => |fs_type, device| fs_type.judge(&device.there()?.fs_type);

    mounted_at: Option<Matcher> {
        /// Where it is mounted, by its device; of a place among several, the first; empty where it isn't.
        mounted_at(path: impl Into<Matcher>) = path.into();
    } expects "mounted at {}" => |path, device| path.judge(&device.there()?.mounted_at);
}

impl VolumeCheck {
    fn fact(&self) -> Fact {
        // Only who wants to know what is on it needs the right to read it.
        Fact::new("volume", [&self.volume, if self.fs_type.is_some() { "contents" } else { "" }])
    }
}

impl Learn for VolumeCheck {
    type Learnt = Option<Device>;

    fn facts(&self) -> Vec<Fact> {
        vec![self.fact()]
    }

    fn learn(&self, answers: &Answers) -> Result<Option<Device>, String> {
        if !self.volume.starts_with("vol-") && !self.volume.starts_with("/dev/") {
            return Err("EC2 hasn't shown which volume it is; wait for the machine first, or add the volume".to_owned());
        }
        Device::read(answers.get(&self.fact())?)
    }
}

/// A device, as the machine has it.
pub(super) struct Device {
    path: String,
    size: u64,
    fs_type: String,
    mounted_at: String,
}

impl Device {
    fn read(answer: &Answer) -> Result<Option<Self>, String> {
        match answer.text("device") {
            None if answer.says("any", "no") => Err("this machine has no volumes as block devices that could be told \
                                                     apart: it isn't of Nitro, or a local one that root hasn't started"
                .to_owned()),
            None => Ok(None),
            Some(path) => {
                let size = answer.text("size").and_then(|sectors| sectors.trim().parse::<u64>().ok());
                let size = size.ok_or_else(|| format!("nothing tells the size of {path} on this machine"))?;
                let fs_type = answer.text("fs_type").unwrap_or_default().trim().to_owned();
                let mounted_at = answer.text("mounted_at").unwrap_or_default().trim_end_matches('\n').to_owned();
                Ok(Some(Self { path, size: size * SECTOR, fs_type, mounted_at }))
            }
        }
    }
}

/// The unit of sizes in `/sys`, whatever the device's own sectors are.
const SECTOR: u64 = 512;

impl Thing for Device {
    const MISSING: &'static str = "there is no such device";

    fn describe(&self) -> String {
        format!("{} of {}", self.path, shown_size(self.size))
    }
}

fn shown_size(bytes: u64) -> String {
    Size::from_bytes(bytes).to_string()
}

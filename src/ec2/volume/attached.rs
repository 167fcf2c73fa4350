//! The volumes of a machine, as it has them: which device each is, formatted and mounted when asked.

use super::{
    VolumeHandle,
    order::{self, Shown},
};
use crate::{
    check::{Matcher, Numbers, VolumeCheck, volume},
    connection::patience::VISIBLE_WITHIN,
    ec2::{Machine, machine::lock, made::Made},
    error::{Error, ErrorKind},
    resource::VOLUME,
    ssh::quote_all,
    task::{OnDrop, Operation, operation},
};
use std::sync::Arc;

/// Within which time a volume that EC2 shows as attached is a device in its machine.
const DEVICE_WITHIN_SECS: u32 = 60;

/// A volume of a machine beside its root; see [`Machine::volume`].
#[derive(Debug, Clone)]
#[must_use = "it is only a name of a volume"]
pub struct AttachedVolume {
    machine: Machine,
    number: usize,
}

impl Machine {
    /// The n-th of its volumes beside the root, from 0 on, which it is only while it is attached: first those that it was launched with,
    /// in the order of the launch and then of the image, then those that were attached since, in the order of that. Where one is
    /// detached, those behind it move up; attached again, it is the last. To name one for longer, use its
    /// [`handle`](AttachedVolume::handle).
    ///
    /// Of a machine that somebody else has launched, or attaches volumes to, the time counts that EC2 tells of each attachment, to
    /// the second. A volume is found in the machine by its id, whatever its device is called there.
    pub fn volume(&self, number: usize) -> AttachedVolume {
        AttachedVolume { machine: self.clone(), number }
    }

    /// The path of a volume's device in this machine: `/dev/nvme1n1`. A fresh one is waited for.
    ///
    /// # Errors
    ///
    /// It isn't attached, or the machine has no block devices: [`ErrorKind::Unanswerable`].
    pub fn device_of(&self, volume: &VolumeHandle) -> Operation<String> {
        let (machine, id) = (self.clone(), volume.id().to_owned());
        self.operation("find a volume's device", OnDrop::Cancel, async move { machine.device(&id).await })
    }

    async fn device(&self, id: &str) -> Result<String, Error> {
        let tried = format!("find the device of the volume {id} on {self}");
        let output = self.exec(prepared(id, "", "", "")).unchecked().start().await.map_err(Error::from)?;
        result(tried, &output)
    }

    /// The ids of its volumes beside the root, in their order.
    pub(super) fn volume_ids(&self) -> Vec<String> {
        let last = self.last_shown();
        let lag = self.ec2().connection.paced(VISIBLE_WITHIN);
        order::of(self.id(), last.as_ref().map(|(described, at)| Shown { described, at: *at, lag }))
    }
}

impl AttachedVolume {
    /// A handle on the volume in EC2.
    ///
    /// # Errors
    ///
    /// The machine has no such volume.
    pub fn handle(&self) -> Operation<VolumeHandle> {
        let volume = self.clone();
        self.machine.operation("find a volume", OnDrop::Cancel, async move {
            let id = volume.id().await?;
            let part = lock(&volume.machine.0.parts).iter().find(|part| part.id() == id).cloned();
            let ec2 = volume.machine.ec2().clone();
            Ok(VolumeHandle(part.unwrap_or_else(|| Arc::new(Made::new(ec2, &VOLUME, id.clone(), id, None)))))
        })
    }

    /// The path of its device in the machine: `/dev/nvme1n1`. A fresh one is waited for.
    ///
    /// # Errors
    ///
    /// The machine has no such volume, or no block devices at all: [`ErrorKind::Unanswerable`].
    pub fn device(&self) -> Operation<String> {
        let volume = self.clone();
        self.machine.operation("find a volume's device", OnDrop::Cancel, async move {
            volume.machine.device(&volume.id().await?).await
        })
    }

    /// Has a file system of this type on it (`ext4`, `xfs`): makes one where there is nothing, and leaves it as it is where it has one of
    /// this type already. So it may be said again, and never destroys anything.
    ///
    /// # Errors
    ///
    /// There is something else on it; the machine has no `mkfs` for it, or its user no root.
    pub fn format(&self, fs_type: impl Into<String>) -> Prepare {
        Prepare { volume: self.clone(), fs_type: fs_type.into(), path: String::new(), options: String::new() }
    }

    /// Mounts it at a path, which is made if it isn't there. It may be said again: what is mounted there already stays so. After a
    /// reboot it isn't mounted any more.
    ///
    /// # Errors
    ///
    /// There is no file system on it; something else is mounted there; the machine's user has no root.
    pub fn mount(&self, path: impl Into<String>) -> Prepare {
        self.format("").mount(path)
    }

    /// A check that the machine has it as a device.
    #[track_caller]
    pub fn exists(&self) -> VolumeCheck {
        self.check().exists()
    }

    /// A check of its size: `vm.volume(0).size(gib(20))`.
    #[track_caller]
    pub fn size(&self, size: impl Into<Numbers>) -> VolumeCheck {
        self.check().size(size)
    }

    /// A check of the type of the file system on it; of none: empty.
    #[track_caller]
    pub fn fs_type(&self, fs_type: impl Into<Matcher>) -> VolumeCheck {
        self.check().fs_type(fs_type)
    }

    /// A check of where it is mounted; empty where it isn't.
    #[track_caller]
    pub fn mounted_at(&self, path: impl Into<Matcher>) -> VolumeCheck {
        self.check().mounted_at(path)
    }

    /// By its id, where it is known; else what is said can't be answered.
    #[track_caller]
    fn check(&self) -> VolumeCheck {
        let id = self.machine.volume_ids().into_iter().nth(self.number);
        volume(id.unwrap_or_else(|| format!("number {} of {}", self.number, self.machine)))
    }

    /// Its id, looked up where it isn't known yet.
    async fn id(&self) -> Result<String, Error> {
        let machine = &self.machine;
        machine.know_volumes().await?;
        let known = || machine.volume_ids().into_iter().nth(self.number);
        if let Some(id) = known() {
            return Ok(id);
        }
        machine.look_up().await?;
        known().ok_or_else(|| {
            let count = machine.volume_ids().len();
            Error::new(ErrorKind::NotFound, format!("find the volume number {} of {machine}", self.number))
                .because(format!("it has {count} beside its root, which count from 0"))
                .advise("launch it with `.volumes([gp3(20)])`, or use `.add_volume(gp3(20))`")
        })
    }
}

/// A volume that is about to be formatted, or mounted, or both; see [`AttachedVolume::format`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `.await`, `.wait()` or `.start()`"]
pub struct Prepare {
    volume: AttachedVolume,
    /// Empty: it isn't formatted.
    fs_type: String,
    /// Empty: it isn't mounted.
    path: String,
    options: String,
}

impl Prepare {
    /// Mounts it, too; see [`AttachedVolume::mount`].
    pub fn mount(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The options of the mount: `noatime,ro`. Default: `mount`'s own.
    pub fn options(mut self, options: impl Into<String>) -> Self {
        self.options = options.into();
        self
    }

    async fn run(self) -> Result<String, Error> {
        let machine = self.volume.machine.clone();
        machine.within_scope("prepare a volume", self.prepare()).await
    }

    async fn prepare(self) -> Result<String, Error> {
        let Self { volume, fs_type, path, options } = self;
        let machine = volume.machine.clone();
        let id = volume.id().await?;
        let what = match (&*fs_type, &*path) {
            (_, "") => format!("format the volume {id} with {fs_type}"),
            (_, path) => format!("mount the volume {id} at {path}"),
        };
        if !path.starts_with('/') && !path.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, what).because("a volume is mounted at an absolute path"));
        }
        let line = prepared(&id, &fs_type, &path, &options);
        let output = machine.exec(line).sudo().unchecked().start().await.map_err(Error::from)?;
        result(format!("{what} on {machine}"), &output)
    }
}

operation!(Prepare -> String, "prepare a volume", Cancel);

/// The line that finds a volume's device, and formats and mounts it.
fn prepared(id: &str, fs_type: &str, path: &str, options: &str) -> String {
    let within = DEVICE_WITHIN_SECS.to_string();
    quote_all(["sh", "-c", include_str!("prepare.sh"), "sh", id, &within, fs_type, path, options])
}

/// What came of it: the path of the device.
fn result(tried: String, output: &crate::ssh::Output) -> Result<String, Error> {
    let said = output.stderr.trim();
    let said = said.strip_prefix("ec2-harness: ").unwrap_or(said).to_owned();
    let failed = |kind, reason: String| Err(Error::new(kind, tried.clone()).because(reason));
    match output.status.code() {
        Some(0) => Ok(output.stdout.trim_end().to_owned()),
        // As prepare.sh has them.
        Some(70) => failed(ErrorKind::Unanswerable, said),
        Some(71) => failed(ErrorKind::NotFound, said),
        Some(72) => failed(ErrorKind::Refused, said),
        _ => failed(ErrorKind::Command, output.status.to_string())
            .map_err(|error| error.with_evidence("stdout", &*output.stdout).with_evidence("stderr", &*output.stderr)),
    }
}

//! What an account is made with.

use super::{Capacity, InstanceProfile, Quotas, system::System};
use crate::{
    conditions::Conditions,
    machine::{ImageForm, Kind},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// The instruction set of an image or of an instance type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Architecture {
    /// 64 bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64 bit ARM.
    Arm64,
}

impl Architecture {
    /// The one that this program was built for.
    pub fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// EC2's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// An image that every region of the account offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageSettings {
    /// The name; its `ami-…` in each region follows from it.
    pub name: String,
    /// What a person reads.
    pub description: String,
    /// What runs its instances.
    pub kind: Kind,
    /// Default: the host's where there are machines, else x86_64.
    pub architecture: Architecture,
    /// The user that logs in with the key pair; default `ec2-user`.
    pub login_user: String,
    /// Tags of the image.
    pub tags: Vec<(String, String)>,
    /// The smallest root volume in GiB; default 8.
    pub root_gib: i64,
    /// The root directory of its machines, by the word of the room that keeps it; `None` for the host's own programs. An image with
    /// one is the account's own, the others are public. Default: none.
    pub root: Option<String>,
    /// `CreationDate`; default the Unix epoch, so that an image made later is always newer.
    pub created: OffsetDateTime,
}

impl ImageSettings {
    /// The `host` image: machines over the host's system directories.
    ///
    /// `os_release` is the text of `/etc/os-release`; its pretty name becomes the description, its fields become tags
    /// (`os-release:ID`, …), so that a client can tell what it launches.
    pub fn host(login_user: &str, os_release: &str) -> Self {
        Self::of_root_directory("host", login_user, os_release)
    }

    /// An image of the account's own: machines over a root directory, which holds the system that `os_release` tells of.
    pub fn imported(name: &str, login_user: &str, os_release: &str, root: &str, created: OffsetDateTime) -> Self {
        Self { root: Some(root.to_owned()), created, ..Self::of_root_directory(name, login_user, os_release) }
    }

    /// An image that the account has made.
    pub(super) fn made(name: &str, description: &str, root_gib: i64, created: OffsetDateTime, system: &System) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            kind: system.kind,
            architecture: system.architecture,
            login_user: system.login_user.clone(),
            tags: Vec::new(),
            root_gib,
            root: system.root.clone(),
            created,
        }
    }

    fn of_root_directory(name: &str, login_user: &str, os_release: &str) -> Self {
        let fields = os_release_fields(os_release);
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let description = field("PRETTY_NAME").or(field("NAME")).unwrap_or("Linux").to_owned();
        let mut tags = vec![("login-user".to_owned(), login_user.to_owned())];
        tags.extend(["ID", "ID_LIKE", "VERSION_ID", "VERSION_CODENAME"].into_iter().filter_map(|name| {
            let value = field(name).filter(|value| !value.is_empty())?;
            Some((format!("os-release:{name}"), value.chars().take(256).collect()))
        }));
        Self {
            name: name.to_owned(),
            description,
            kind: Kind::of(ImageForm::RootDirectory),
            architecture: Architecture::host(),
            login_user: login_user.to_owned(),
            tags,
            root_gib: 8,
            root: None,
            created: OffsetDateTime::UNIX_EPOCH,
        }
    }

    /// The `blank` image: no machine behind it.
    pub fn blank() -> Self {
        Self {
            name: "blank".to_owned(),
            description: "no machine, only the API".to_owned(),
            kind: Kind::of(ImageForm::Nothing),
            architecture: Architecture::X86_64,
            login_user: "ec2-user".to_owned(),
            tags: Vec::new(),
            root_gib: 8,
            root: None,
            created: OffsetDateTime::UNIX_EPOCH,
        }
    }
}

fn os_release_fields(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        .collect()
}

/// What an account is made with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Twelve digits; default `000000000000`.
    pub account: String,
    /// Ids, addresses and the private keys of CreateKeyPair follow from it: take it from the system's random source, and
    /// keep it to yourself.
    pub seed: [u8; 32],
    /// What AWS does to its customers on top of its rules; default typical.
    pub conditions: Conditions,
    /// What happens by chance follows from it, and from nothing else: unlike the other seed, it may be shown. Default: 1.
    pub conditions_seed: u64,
    /// Scales the waiting times of AWS; default 0.01, a hundredth.
    pub pace: f64,
    /// How long a terminated instance stays visible; default 1 h, of the account's clock, whatever the pace.
    pub terminated_visible: Duration,
    /// The images of every region.
    pub images: Vec<ImageSettings>,
    /// Whether each region has a default VPC from the start; default true. Accounts older than 2013, and those whose owner
    /// has deleted it, have none.
    pub default_vpc: bool,
    /// How much each region may hold.
    pub quotas: Quotas,
    /// What the zones have room for; default: for everything.
    pub capacity: Vec<Capacity>,
    /// The instance profiles that there are. Default: none is named, and every name is one, with a role of the same name.
    pub instance_profiles: Vec<InstanceProfile>,
}

impl Settings {
    /// Settings with the images `host` and `blank`, and the defaults.
    pub fn new(seed: [u8; 32], host: ImageSettings) -> Self {
        Self {
            account: "000000000000".to_owned(),
            seed,
            conditions: Conditions::default(),
            conditions_seed: 1,
            pace: 0.01,
            terminated_visible: Duration::from_secs(3600),
            images: vec![host, ImageSettings::blank()],
            default_vpc: true,
            quotas: Quotas::default(),
            capacity: Vec::new(),
            instance_profiles: Vec::new(),
        }
    }

    /// A waiting time of AWS at this account's pace; none where the pace is no positive number.
    pub fn paced(&self, time: Duration) -> Duration {
        Duration::try_from_secs_f64(time.as_secs_f64() * self.pace).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_image_tells_what_the_host_is() {
        let image =
            ImageSettings::host("admin", "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID='12'\n#x\n");
        assert_eq!(image.description, "Debian GNU/Linux 12");
        assert!(image.tags.contains(&("os-release:ID".into(), "debian".into())));
        assert!(image.tags.contains(&("os-release:VERSION_ID".into(), "12".into())));
        assert!(image.tags.contains(&("login-user".into(), "admin".into())));
        assert_eq!(ImageSettings::host("admin", "").description, "Linux");
    }

    #[test]
    fn a_pace_that_makes_no_sense_means_no_waiting() {
        let mut settings = Settings::new([0; 32], ImageSettings::host("admin", ""));
        assert_eq!(settings.paced(Duration::from_secs(4)), Duration::from_millis(40));
        for pace in [f64::NAN, f64::INFINITY, -1.0] {
            settings.pace = pace;
            assert_eq!(settings.paced(Duration::from_secs(4)), Duration::ZERO);
        }
    }
}

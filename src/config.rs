//! The configuration: `ec2-harness.toml`, found from the crate upwards, and `EC2_HARNESS_*` over it.
//!
//! One table below names every key once, with its default, its meaning and how its value is read; the file, the
//! environment and the error texts are all derived from it. What this room isn't: the place where a value is used.

mod image;
mod tag;
mod value;

use crate::{
    error::{Error, ErrorKind},
    target::Target,
};
pub(crate) use image::What;
pub use image::{Architecture, ImageQuery};
use ipnet::IpNet;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
pub(crate) use tag::check_tags;
use value::{FromValue, Value};

/// The file's name.
pub const FILE_NAME: &str = "ec2-harness.toml";

const PREFIX: &str = "EC2_HARNESS_";

/// Environment variables with our prefix that are no keys: they steer one run, not a project.
const VARIABLES: &[&str] =
    &["CONFIG", "RUN_ID", "PAUSE", "ROLE", "STATE_DIR", "OWNER", "STARTED_BY", "WATCHDOG_LOCK", "INCARNATION"];

/// What a finished test leaves running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// Nothing.
    #[default]
    No,
    /// The machines of a test that failed, for the length of the lease.
    Failed,
    /// All machines, for the length of the lease.
    Always,
}

/// How SSH gets to a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// By the public address; at the local EC2 by its own tunnel.
    #[default]
    Public,
    /// By the private address: from within the VPC, or over a VPN.
    Private,
    /// By the standard streams of a command, for example `ssh -W {address}:{port} bastion`. `{address}` (private),
    /// `{public}`, `{instance}`, `{port}`, `{user}`, `{region}` and `{zone}` are replaced.
    Command(Vec<String>),
}

/// When a host key is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKeys {
    /// Pinned on first use, and verified whenever the console is read and shows the machine's own.
    #[default]
    FirstUse,
    /// A machine is ready only once the console has shown its keys and they are the ones that answered.
    Console,
}

/// What AWS does to its customers, as the local EC2 does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalConditions {
    /// Nothing: what was made is seen at once, nothing is throttled, nothing fails.
    Calm,
    /// An ordinary day: what is fresh is seen late, and requests are throttled as AWS documents it.
    Typical,
    /// Much more of that, and requests that fail, are lost or late, and machines that get stuck, at random.
    Hostile,
}

/// Whether machines are Spot Instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spot {
    /// On demand.
    #[default]
    No,
    /// Spot Instances only: a lack of Spot capacity is a lack of capacity.
    Only,
    /// Spot Instances where there is capacity for them, else on demand.
    OrOnDemand,
}

/// The type of keys that we make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// Ed25519.
    #[default]
    Ed25519,
    /// RSA with 3,072 bits, for systems that refuse Ed25519, as those do that keep to FIPS 140-2.
    Rsa,
}

/// How progress is shown on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// One live line a machine at a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// Plain lines.
    Plain,
    /// Nothing.
    Off,
}

/// A factor on the times that AWS takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace(f64);

impl Pace {
    /// The factor: a finite number from 0 upwards.
    pub fn factor(self) -> f64 {
        self.0
    }
}

macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr;)+) => {
        /// What is configured. In `ec2-harness.toml` each field is a key; in the environment it is `EC2_HARNESS_` and its
        /// name in capitals, which wins over the file.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub struct Config { $($(#[doc = $doc])+ pub $key: $type,)+ }

        impl Default for Config {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        /// Every key, in the order of the documentation.
        const KEYS: &[&str] = &[$(stringify!($key),)+];

        impl Config {
            fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
                match key {
                    $(stringify!($key) => self.$key = FromValue::from_value(value)?,)+
                    _ => return Err(unknown(key)),
                }
                Ok(())
            }
        }
    };
}

keys! {
    /// `local`, `aws`, or the URL of another endpoint. Default: `local`.
    target: Target = Target::Local;
    /// The number of the AWS account that may be touched; needed by `target = "aws"`. Default: none.
    account: Option<String> = None;
    /// The region. Default: what the SDK finds on AWS, `us-east-1` elsewhere.
    region: Option<String> = None;
    /// The profile of the AWS configuration files. Default: what the SDK finds.
    profile: Option<String> = None;
    /// The image: an AMI id, an alias, `resolve:ssm:/…`, or a table of what it is found by. Default: `host`.
    image: ImageQuery = "host".into();
    /// The instance type. Default: `t3.micro`.
    instance_type: String = "t3.micro".into();
    /// Instance types that are tried in turn where there is no capacity, or a zone doesn't offer one, instead of `instance_type`.
    /// Default: none.
    instance_types: Vec<String> = Vec::new();
    /// Availability zones that are tried in turn where there is no capacity. Default: whichever EC2 chooses, and then the others.
    zones: Vec<String> = Vec::new();
    /// `no`, `only` or `or-on-demand`. Default: `no`.
    spot: Spot = Spot::No;
    /// The instance profile of machines: its name or ARN. Default: none.
    instance_profile: Option<String> = None;
    /// Whether root volumes are encrypted though their image isn't. Default: `false`.
    root_encrypted: bool = false;
    /// The KMS key that encrypts root volumes: its id, alias or ARN. Default: the account's.
    root_kms_key: Option<String> = None;
    /// The user that logs in. Default: known by the image, else probed.
    user: Option<String> = None;
    /// Name of an existing key pair of the account; needs `private_key`. Default: one key per run, made by us.
    key_name: Option<String> = None;
    /// Path of the private key to `key_name`; of the public one (`….pub`) where an SSH agent has the private half. Default: none.
    private_key: Option<PathBuf> = None;
    /// The type of the run's own key: `ed25519` or `rsa`. Default: `ed25519`, and `rsa` where the image is known to refuse that.
    key_type: Option<KeyType> = None;
    /// The subnet. Default: one of the default VPC.
    subnet: Option<String> = None;
    /// Security groups. Default: one per run, made by us.
    security_groups: Vec<String> = Vec::new();
    /// Networks from which SSH is open. Default: the caller's own address, which is looked up.
    ssh_from: Vec<IpNet> = Vec::new();
    /// How SSH gets there: `public`, `private`, or a list: a command and its arguments. Default: `public`.
    reach: Reach = Reach::Public;
    /// `first-use` or `console`. Default: `first-use`.
    host_keys: HostKeys = HostKeys::FirstUse;
    /// Tags on everything that is created, beside our own. Default: none.
    tags: BTreeMap<String, String> = BTreeMap::new();
    /// Aliases of images; they win over the built-in ones. Default: none beside those.
    images: BTreeMap<String, ImageQuery> = BTreeMap::new();
    /// How long a test may take, launch included. Default: `30m`.
    timeout: Duration = Duration::from_secs(30 * 60);
    /// How long a machine may take until it is ready. Default: `10m`.
    ready_timeout: Duration = Duration::from_secs(10 * 60);
    /// What a finished test leaves running: `no`, `failed` or `always`. Default: `no`.
    keep: Keep = Keep::No;
    /// After this time `ec2-harness sweep` ends a machine, no matter who owns it. Default: `2h`.
    lease: Duration = Duration::from_secs(2 * 60 * 60);
    /// How many instances may exist at once, of all processes of this user on this host. Default: 20 on AWS, no limit
    /// elsewhere.
    max_instances: Option<u32> = None;
    /// How many vCPUs these may have. Default: 64 on AWS, no limit elsewhere.
    max_vcpus: Option<u32> = None;
    /// Whether a skipped test fails. Default: `false`.
    no_skip: bool = false;
    /// `auto`, `plain` or `off`. Default: `auto`.
    progress: Progress = Progress::Auto;
    /// The factor on all times that AWS takes, at the local EC2: `1` for rehearsals. One that runs with another is replaced if
    /// nobody uses it; else it is an error. Default: as `ec2-local serve` has it, where that runs; else `0.01`, a hundredth.
    local_pace: Option<Pace> = None;
    /// `calm`, `typical` or `hostile`, at the local EC2; it holds as `local_pace` does. Default: as `ec2-local serve` has it, where
    /// that runs; else `typical`.
    local_conditions: Option<LocalConditions> = None;
    /// What the local EC2's chance follows from; it holds as `local_pace` does. Default: drawn at random, and named in its
    /// log.
    local_seed: Option<u64> = None;
    /// Private networks of this host's that machines of the local EC2 may reach, beside the internet; it holds as `local_pace`
    /// does. Default: none.
    local_private_networks: Vec<IpNet> = Vec::new();
    /// How long the local EC2 stays after its last instance and client. Default: `10s`.
    local_linger: Duration = Duration::from_secs(10);
}

impl Config {
    /// Loads the configuration: the file that `EC2_HARNESS_CONFIG` names, else the nearest [`FILE_NAME`] from the crate
    /// under test (or the current directory, where cargo didn't start us) upwards, else the defaults; then `EC2_HARNESS_*`.
    ///
    /// # Errors
    ///
    /// Of kind [`Configuration`](ErrorKind::Configuration): a file that can't be read or parsed, a key that isn't known
    /// (the nearest is suggested), a value that can't be used.
    pub fn load() -> Result<Self, Error> {
        let start = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).or_else(|| env::current_dir().ok());
        let file = match env::var_os("EC2_HARNESS_CONFIG") {
            Some(file) => Some(PathBuf::from(file)),
            None => start.as_deref().and_then(find),
        };
        let variables = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut strings = Vec::new();
        for (name, value) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
            let value = value
                .into_string()
                .map_err(|_| invalid(format!("read {name} from the environment"), "it is not UTF-8".into()))?;
            strings.push((name, value));
        }
        Self::from_parts(file.as_deref(), strings)
    }

    /// Loads from a file, and from environment variables given as pairs.
    fn from_parts(file: Option<&Path>, variables: Vec<(String, String)>) -> Result<Self, Error> {
        let mut config = Self::default();
        if let Some(path) = file {
            let tried = || format!("read the configuration {}", path.display());
            let text =
                fs::read_to_string(path).map_err(|e| Error::new(ErrorKind::Configuration, tried()).caused_by(e))?;
            config.apply_file(&text).map_err(|reason| invalid(tried(), reason))?;
            config.private_key = config.private_key.map(|key| path.parent().map_or(key.clone(), |dir| dir.join(&key)));
        }
        for (name, value) in variables {
            let key = name.trim_start_matches(PREFIX);
            if VARIABLES.contains(&key) || value.is_empty() {
                continue;
            }
            config
                .set(&key.to_lowercase(), &Value::Text(value))
                .map_err(|reason| invalid(format!("read {name} from the environment"), reason))?;
        }
        config.check()
    }

    fn apply_file(&mut self, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string().trim_end().to_owned())?;
        for (key, value) in table {
            self.set(&key, &Value::Toml(value))
                .map_err(|reason| if KEYS.contains(&key.as_str()) { format!("`{key}`: {reason}") } else { reason })?;
        }
        Ok(())
    }

    /// What can only be said of several keys together.
    fn check(self) -> Result<Self, Error> {
        let wrong =
            |reason: &str, advice: &str| Err(invalid("use the configuration".into(), reason.into()).advise(advice));
        if self.target == Target::Aws && self.account.is_none() {
            return wrong(
                "target is aws, but no account is named that may be touched",
                "set `account = \"…\"` to its 12 digits (EC2_HARNESS_ACCOUNT)",
            );
        }
        if let Some(account) = &self.account
            && (account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()))
        {
            return wrong(&format!("`{account}` isn't an account number"), "an AWS account number has 12 digits");
        }
        if self.key_name.is_some() != self.private_key.is_some() {
            return wrong("key_name and private_key go together", "set both, or neither: then a key is made per run");
        }
        check_tags(&self.tags, &[]).map_err(|reason| invalid("use the configuration".into(), reason))?;
        Ok(self)
    }
}

/// The nearest file from a directory upwards.
fn find(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|directory| directory.join(FILE_NAME)).find(|file| file.is_file())
}

fn invalid(tried: String, reason: String) -> Error {
    Error::new(ErrorKind::Configuration, tried).because(reason)
}

fn unknown(key: &str) -> String {
    match nearest(key, KEYS) {
        Some(known) => format!("there is no key `{key}`; did you mean `{known}`?"),
        None => format!("there is no key `{key}`; the keys are {}", KEYS.join(", ")),
    }
}

/// The one of some words that a misspelt one may have meant.
pub(crate) fn nearest<'a>(misspelt: &str, known: &[&'a str]) -> Option<&'a str> {
    let similarity = |word: &&str| strsim::jaro_winkler(&misspelt.to_lowercase(), &word.to_lowercase());
    let nearest = known.iter().map(|word| (similarity(word), *word)).max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.filter(|(similarity, _)| *similarity > 0.75).map(|(_, word)| word)
}

#[cfg(test)]
mod tests;

//! Mounted file systems.

use super::table::{Learn, Perhaps, Thing, kind};
use crate::check::{
    Matcher,
    answer::{Answer, Answers},
    fact::Fact,
    finding::{Outcome, hold},
};

kind! {
    /// What is expected to be mounted; made by [`mount`].
    #[derive(Default)]
    MountCheck

    /// What is mounted at a path, the uppermost where there are several.
    ///
    /// Expects that something is, unless told otherwise.
    mount(mount: String = name) expects exists;

    exists: Option<bool> {
        /// Something is mounted there.
        exists() = true;
        /// Nothing is mounted there.
        is_missing() = false;
    } expects [last "mounted", "nothing is mounted there"] => |exists, mounted| mounted.judge_presence(*exists);

    fs_type: Option<Matcher> {
        /// The type of its file system: `ext4`.
        fs_type(fs_type: impl Into<Matcher>) = fs_type.into();
    } expects "type {}" => |fs_type, mounted| fs_type.judge(&mounted.there()?.fs_type);

    from: Option<Matcher> {
        /// What is mounted there: `/dev/nvme1n1`; `from` in files.
        source(source: impl Into<Matcher>) = source.into();
    } expects "source {}" => |from, mounted| from.judge(&mounted.there()?.from);

    #[serde(with = "super::texts")]
    option: Vec<String> {
        /// It is mounted with this option: `noexec`, `size=1024k`; may be said several times.
        option(option: impl Into<String>) = option.into();
    } expects "with option {}" => |option, mounted| mounted.there()?.judge_option(option, true);

    #[serde(with = "super::texts")]
    without_option: Vec<String> {
        /// It is mounted without this option; may be said several times.
        without_option(option: impl Into<String>) = option.into();
    } expects "without option {}" => |option, mounted| mounted.there()?.judge_option(option, false);
}

impl Learn for MountCheck {
    type Learnt = Option<Mounted>;

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::shared("mounts", [])]
    }

    fn learn(&self, answers: &Answers) -> Result<Option<Mounted>, String> {
        Mounted::read(answers.get(&Fact::shared("mounts", []))?, &self.mount)
    }
}

/// A line of /proc/self/mounts.
pub(super) struct Mounted {
    from: String,
    fs_type: String,
    options: String,
}

impl Mounted {
    fn read(answer: &Answer, path: &str) -> Result<Option<Self>, String> {
        let Some(mounts) = answer.text("mounts") else {
            return Err("there is no /proc/self/mounts on this machine".to_owned());
        };
        let wanted = if path == "/" { path } else { path.trim_end_matches('/') };
        Ok(mounts
            .lines()
            .filter_map(|line| {
                let fields: Vec<_> = line.split(' ').map(unescape).collect();
                let [from, at, fs_type, options, ..] = &fields[..] else { return None };
                let mounted = Self { from: from.clone(), fs_type: fs_type.clone(), options: options.clone() };
                (at == wanted).then_some(mounted)
            })
            .next_back())
    }

    fn judge_option(&self, option: &str, expected: bool) -> Outcome {
        let has = self.options.split(',').any(|other| other == option);
        hold(has == expected, || format!("options {}", self.options))
    }
}

impl Thing for Mounted {
    const MISSING: &'static str = "nothing is mounted there";

    fn describe(&self) -> String {
        format!("{} of type {} ({})", self.from, self.fs_type, self.options)
    }
}

/// Undoes the kernel's `\040` for a space, and the like (proc(5)).
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

//! Packages of the system's package manager.

use super::table::{Learn, kind};
use crate::check::{
    Matcher,
    answer::{Answer, Answers},
    fact::Fact,
    finding::{Miss, Outcome, hold},
};

kind! {
    /// What a package is expected to be; made by [`package`].
    #[derive(Default)]
    PackageCheck

    /// A package of dpkg, rpm, apk or pacman, whichever the machine has; where it has none, unanswerable.
    ///
    /// Expects that it is installed, unless told otherwise.
    package(package: String = name) expects is_installed;

    installed: Option<bool> {
        /// It is installed.
        is_installed() = true;
        /// It is not installed; configuration that an earlier one left behind doesn't count.
        is_missing() = false;
    } expects ["installed", "not installed"] => |installed, state| {
        hold(matches!(state, State::Installed(_)) == *installed, || state.describe())
    };

    version: Option<Matcher> {
        /// The version as the package manager writes it, with epoch and release: `1:9.2p1-2+deb12u3`; `starts_with("1:9.")`.
        ///
        /// Where several versions are installed, one of them.
        version(version: impl Into<Matcher>) = version.into();
    } expects "version {}" => |version, state| state.judge_version(version);
}

impl PackageCheck {
    fn fact(&self) -> Option<Fact> {
        let valid = |c: char| c.is_ascii_alphanumeric() || ".+-_:~@/".contains(c);
        let is_name = self.package.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        (is_name && self.package.chars().all(valid)).then(|| Fact::new("package", [&self.package]))
    }
}

impl Learn for PackageCheck {
    type Learnt = State;

    fn facts(&self) -> Vec<Fact> {
        self.fact().into_iter().collect()
    }

    fn learn(&self, answers: &Answers) -> Result<State, String> {
        let fact = self.fact().ok_or("this can't be the name of a package")?;
        State::read(answers.get(&fact)?, &self.package)
    }
}

pub(super) enum State {
    /// With these versions.
    Installed(Vec<String>),
    Missing,
    /// Neither: half installed, or only its configuration is left.
    Other(String),
}

impl State {
    fn read(answer: &Answer, name: &str) -> Result<Self, String> {
        let said = answer.text("answer").unwrap_or_default();
        let said = said.trim();
        let strange = || Err(format!("the package manager said: {said}"));
        match answer.text("manager").as_deref() {
            Some("dpkg") => {
                if said.contains("no packages found matching") {
                    return Ok(Self::Missing);
                }
                let states: Vec<_> = said.lines().filter_map(|line| line.split_once(' ')).collect();
                let installed: Vec<_> =
                    states.iter().filter(|(state, _)| *state == "installed").map(|(_, v)| v.to_string()).collect();
                match states.first() {
                    Some(_) if !installed.is_empty() => Ok(Self::Installed(installed)),
                    Some(("not-installed", _)) => Ok(Self::Missing),
                    Some((state @ ("config-files" | "half-installed" | "unpacked" | "half-configured"), _)) => {
                        Ok(Self::Other((*state).to_owned()))
                    }
                    Some((state, _)) if state.starts_with("triggers-") => Ok(Self::Other((*state).to_owned())),
                    _ => strange(),
                }
            }
            Some("rpm") => {
                let versions: Vec<_> =
                    said.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect();
                match versions.is_empty() {
                    false => Ok(Self::Installed(versions)),
                    true if said.contains("is not installed") => Ok(Self::Missing),
                    true => strange(),
                }
            }
            Some("apk") => match said.lines().last() {
                None => Ok(Self::Missing),
                Some(line) if line.trim() == name => Ok(Self::Installed(Vec::new())),
                Some(line) => match line.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')) {
                    Some(version) => Ok(Self::Installed(vec![version.to_owned()])),
                    None => strange(),
                },
            },
            Some("pacman") => match said.split_once(' ') {
                Some((found, version)) if found == name => Ok(Self::Installed(vec![version.to_owned()])),
                _ if said.contains("was not found") => Ok(Self::Missing),
                _ => strange(),
            },
            _ => Err("this machine has no package database of dpkg, rpm, apk or pacman".to_owned()),
        }
    }

    fn judge_version(&self, expected: &Matcher) -> Outcome {
        let Self::Installed(versions) = self else { return Err(Miss::Failed(self.describe())) };
        let outcomes = versions.iter().map(|version| expected.judge(version));
        outcomes
            .reduce(Outcome::or)
            .unwrap_or_else(|| Err(Miss::Unanswerable("the package manager told no version".to_owned())))
    }

    fn describe(&self) -> String {
        match self {
            Self::Installed(versions) if versions.is_empty() => "installed".to_owned(),
            Self::Installed(versions) => format!("installed, version {}", versions.join(" and ")),
            Self::Missing => "not installed".to_owned(),
            Self::Other(state) => format!("not installed, but {state}"),
        }
    }
}

//! Packages: installed and brought up to date by whichever manager a machine has.

use super::Machine;
use crate::{
    error::{Error, ErrorKind},
    ssh::quote_all,
    task::operation,
};
use std::time::Duration;

/// How long a manager that others use is waited for, in seconds, where it can wait: a fresh machine may be updating itself.
const LOCKED_FOR: &str = "300";

impl Machine {
    /// Installs packages, as root, by apt, dnf, yum, zypper or apk, whichever is there; the list of what there is is brought up to date before.
    /// What is installed already stays as it is.
    ///
    /// # Errors
    ///
    /// There is none of these managers, no package of that name, or no root to be had; with what the manager said.
    pub fn install<S: Into<String>>(&self, packages: impl IntoIterator<Item = S>) -> Packages {
        Packages {
            machine: self.clone(),
            packages: Some(packages.into_iter().map(Into::into).collect()),
            timeout: None,
        }
    }

    /// Brings all installed packages up to date, as root; what that needs of others is installed, too. A new kernel wants a
    /// [`reboot`](Self::reboot).
    ///
    /// # Errors
    ///
    /// As of [`install`](Self::install).
    pub fn update(&self) -> Packages {
        Packages { machine: self.clone(), packages: None, timeout: None }
    }
}

/// Packages that are about to be installed or brought up to date; see [`Machine::install`].
#[derive(Debug, Clone)]
#[must_use = "nothing is installed before `.await`, `.wait()` or `.start()`"]
pub struct Packages {
    machine: Machine,
    /// `None`: all that are installed are brought up to date.
    packages: Option<Vec<String>>,
    timeout: Option<Duration>,
}

impl Packages {
    /// How long it may take. Default: as long as the test may.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    async fn run(self) -> Result<(), Error> {
        let Self { machine, packages, timeout } = self;
        let tried = match &packages {
            Some(packages) => format!("install {} on {machine}", packages.join(", ")),
            None => format!("update the packages of {machine}"),
        };
        if let Some(packages) = &packages {
            if packages.is_empty() {
                return Ok(());
            }
            // Else it would be an option of the manager's.
            let wrong = packages.iter().find(|package| package.starts_with('-') || package.trim().is_empty());
            if let Some(wrong) = wrong {
                let reason = format!("`{wrong}` isn't the name of a package");
                return Err(Error::new(ErrorKind::Configuration, tried).because(reason));
            }
        }
        let mut exec = machine.exec(line(packages.as_deref())).sudo().unchecked();
        if let Some(limit) = timeout {
            exec = exec.timeout(limit);
        }
        let output = exec.start().await.map_err(Error::from)?;
        match output.status.code() {
            Some(0) => Ok(()),
            Some(69) => Err(Error::new(ErrorKind::Unanswerable, tried)
                .because("it has none of apt-get, dnf, yum, zypper and apk")
                .advise("use an image of a distribution that has one")),
            _ => Err(Error::new(ErrorKind::Command, tried)
                .because(output.status.to_string())
                .with_evidence("stdout", output.stdout)
                .with_evidence("stderr", output.stderr)),
        }
    }
}

operation!(Packages -> (), "install packages", Cancel);

/// The line that does it.
fn line(packages: Option<&[String]>) -> String {
    let words = ["sh", "-c", include_str!("packages.sh"), "sh", LOCKED_FOR];
    quote_all(words.into_iter().chain(packages.unwrap_or_default().iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    /// What is called, and how it ends, on a system with these tools alone.
    fn called(tools: &[&str], packages: Option<&[&str]>) -> (Option<i32>, String) {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        for tool in tools {
            let path = directory.path().join(tool);
            let script = format!("#!/bin/sh\necho \"{tool} $*\" >>{}\n", log.display());
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let packages = packages.map(|packages| packages.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
        let mut shell = Command::new("/bin/sh");
        // As the line says it, with this directory's tools alone.
        let line = line(packages.as_deref()).replacen("sh -c", "/bin/sh -c", 1);
        let status = shell.args(["-c", &line]).env("PATH", directory.path()).status().unwrap();
        (status.code(), fs::read_to_string(&log).unwrap_or_default())
    }

    #[test]
    fn each_manager_is_called_in_its_own_way() {
        for (tools, installs, updates) in [
            (
                &["apt-get", "dnf"][..],
                "apt-get -q -o DPkg::Lock::Timeout=300 update\n\
                 apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install curl jq\n",
                "apt-get -q -o DPkg::Lock::Timeout=300 update\n\
                 apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold dist-upgrade\n",
            ),
            (&["dnf", "yum"][..], "dnf -q -y install curl jq\n", "dnf -q -y --refresh upgrade\n"),
            (&["yum"][..], "yum -q -y install curl jq\n", "yum -q -y update\n"),
            (
                &["zypper"][..],
                "zypper -q -n refresh\nzypper -q -n install -y curl jq\n",
                "zypper -q -n refresh\nzypper -q -n update -y\n",
            ),
            (
                &["apk"][..],
                "apk -q --wait 300 update\napk -q --wait 300 add curl jq\n",
                "apk -q --wait 300 update\napk -q --wait 300 upgrade\n",
            ),
        ] {
            assert_eq!(called(tools, Some(&["curl", "jq"])), (Some(0), installs.to_owned()), "{tools:?}");
            assert_eq!(called(tools, None), (Some(0), updates.to_owned()), "{tools:?}");
        }
        assert_eq!(called(&[], None).0, Some(69));
    }
}

//! What a test requires, and the reason to skip it where that isn't there.

use crate::{
    config::Config,
    ec2::{Instance, Machine},
    error::{Error, ErrorKind},
    ssh::Output,
    target::Target,
    task::Task,
};

/// What must be there, else a test is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// The target is the local EC2.
    Local,
    /// The target is AWS.
    Aws,
    /// The machines have an x86-64 processor.
    X86_64,
    /// The machines have a 64-bit Arm processor.
    Arm64,
    /// systemd is the machines' service manager.
    Systemd,
    /// cloud-init is installed on the machines.
    CloudInit,
    /// The user that logs in may use sudo without a password, or is root.
    Sudo,
}

impl Requirement {
    /// The word in `requires`.
    fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Aws => "aws",
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::Systemd => "systemd",
            Self::CloudInit => "cloud_init",
            Self::Sudo => "sudo",
        }
    }

    fn is_of_a_machine(self) -> bool {
        !matches!(self, Self::Local | Self::Aws)
    }
}

/// Prints a word for each fact that holds; POSIX shell, and always successful.
const PROBE: &str = "\
    [ -d /run/systemd/system ] && echo systemd
    command -v cloud-init >/dev/null 2>&1 && echo cloud_init
    if [ \"$(id -u)\" = 0 ] || sudo -n true 2>/dev/null; then echo sudo; fi
    case \"$(uname -m)\" in x86_64|amd64) echo x86_64;; aarch64|arm64) echo arm64;; esac
    :";

/// What the target lacks; looked at before anything is launched.
pub(crate) fn missing_at_target(requirements: &[Requirement], config: &Config) -> Option<String> {
    let lacking = requirements.iter().find(|requirement| match requirement {
        Requirement::Local => config.target != Target::Local,
        Requirement::Aws => config.target != Target::Aws,
        _ => false,
    })?;
    Some(format!("it requires {}, and the target is {}", lacking.word(), config.target))
}

/// What the machines lack.
pub(crate) fn missing_on_machines(
    requirements: &[Requirement],
    machines: &[Instance],
) -> Result<Option<String>, Error> {
    let of_machines = requirements.iter().filter(|requirement| requirement.is_of_a_machine()).collect::<Vec<_>>();
    let Some(first) = of_machines.first() else { return Ok(None) };
    if machines.is_empty() {
        return Err(Error::new(ErrorKind::Configuration, format!("check `requires = [{}]`", first.word()))
            .because("the test has no machine as a parameter that could be looked at")
            .advise("add a parameter of type `Instance`, or check it in the body"));
    }
    let probes = machines.iter().map(|machine| (machine, facts(machine))).collect::<Vec<_>>();
    for (machine, probe) in probes {
        let facts = probe.wait()?.stdout;
        if let Some(lacking) = lacking(&of_machines, &facts) {
            return Ok(Some(format!("it requires {}, which {} doesn't have", lacking.word(), machine.name())));
        }
    }
    Ok(None)
}

/// Asks a machine.
fn facts(machine: &Machine) -> Task<Output> {
    machine.exec(PROBE).start()
}

fn lacking<'a>(requirements: &[&'a Requirement], facts: &str) -> Option<&'a Requirement> {
    requirements.iter().find(|requirement| !facts.lines().any(|fact| fact == requirement.word())).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_known_before_a_launch() {
        let local = Config::default();
        let missing = |requirements: &[Requirement]| missing_at_target(requirements, &local);
        assert_eq!(missing(&[]), None);
        assert_eq!(missing(&[Requirement::Local, Requirement::Systemd]), None);
        assert_eq!(missing(&[Requirement::Aws]).unwrap(), "it requires aws, and the target is the local EC2");
        let elsewhere = Config { target: Target::Endpoint("http://localhost:1".into()), ..Config::default() };
        assert!(missing_at_target(&[Requirement::Local], &elsewhere).is_some());
        assert!(missing_at_target(&[Requirement::Aws], &elsewhere).is_some());
    }

    #[test]
    fn a_machine_has_what_the_probe_printed() {
        let required = [&Requirement::Sudo, &Requirement::X86_64];
        assert_eq!(lacking(&required, "sudo\nx86_64\n"), None);
        assert_eq!(lacking(&required, "sudo\narm64\n"), Some(&Requirement::X86_64));
        assert_eq!(lacking(&required, ""), Some(&Requirement::Sudo));
    }

    #[test]
    fn the_probe_runs_in_any_shell_and_succeeds() {
        let output = std::process::Command::new("sh").args(["-c", PROBE]).output().unwrap();
        let facts = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        let known = if cfg!(target_arch = "x86_64") { "x86_64" } else { "arm64" };
        assert!(facts.lines().any(|fact| fact == known), "{facts}");
    }

    #[test]
    fn a_requirement_of_machines_needs_a_machine() {
        let error = missing_on_machines(&[Requirement::Systemd], &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(missing_on_machines(&[Requirement::Local], &[]).unwrap().is_none());
    }
}

//! Which setting of the host's to change where it forbids what a machine is made of.

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use std::{fs, io};

/// Says what to do where the namespaces themselves can't be made.
pub fn on_namespaces(error: &io::Error) -> io::Error {
    let advice = for_namespaces(error.raw_os_error(), setting, is_chrooted);
    io::Error::new(error.kind(), format!("make user, mount and other namespaces: {error}; {advice}"))
}

/// Adds what to do where the namespaces could be made, but nothing can be done in them: that is how Ubuntu forbids them to
/// ordinary users, and how filters of system calls do it.
pub fn on_refusal(error: io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied if setting(APPARMOR).is_some_and(|value| value != "0") => allow_by_apparmor(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported if is_filtered() => SECCOMP.to_owned(),
        _ => return error,
    };
    let said = error.to_string();
    if said.ends_with(&advice) { error } else { io::Error::new(error.kind(), format!("{said}; {advice}")) }
}

/// Whether this process's system calls are filtered (proc(5), `Seccomp`).
fn is_filtered() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"]))
}

/// What to do where a limit of this process's is used up, to be said after the error; else nothing.
pub fn on_shortage(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => "; raise the number of processes that this user may have (`ulimit -u`)",
        Some(libc::EMFILE) => "; raise the number of files that a process may have open (`ulimit -n`)",
        Some(libc::ETOOMANYREFS) => {
            "; raise the number of files that a process may have open (`ulimit -Hn`): more descriptors of this user's than that \
             are on their way through sockets"
        }
        _ => "",
    }
}

const SECCOMP: &str = "a container's seccomp profile may forbid it (`--security-opt seccomp=unconfined`)";
const APPARMOR: &str = "kernel/apparmor_restrict_unprivileged_userns";

fn allow_by_apparmor() -> String {
    "set kernel.apparmor_restrict_unprivileged_userns=0 (sysctl), or give this program an AppArmor profile that allows `userns`"
        .to_owned()
}

const CHROOT: &str = "the kernel makes no user namespaces in a chroot, as builders of packages have (pbuilder, schroot, mock): run it \
                      outside, or enter the directory by pivot_root(2), as systemd-nspawn and bwrap do";

/// Whether this process's root directory is another than its mount namespace's, or seems to be: where something is mounted at it, the
/// kernel tells nobody, but then nothing else than a filter is known to refuse user namespaces so.
fn is_chrooted() -> bool {
    let root = statx(CWD, "/", AtFlags::empty(), StatxFlags::empty());
    let is_mounted = root.is_ok_and(|root| {
        // Kernels before 5.8 don't say.
        let told = root.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
        !told || root.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    });
    !is_mounted || !is_filtered()
}

fn for_namespaces(
    error: Option<i32>,
    setting: impl Fn(&str) -> Option<String>,
    is_chrooted: impl Fn() -> bool,
) -> String {
    let is = |path: &str, value: &str| setting(path).as_deref() == Some(value);
    if error == Some(libc::EAGAIN) {
        return "raise the number of processes that this user may have (`ulimit -u`)".to_owned();
    }
    // What user_namespaces(7) has for a number that is used up.
    if error == Some(libc::ENOSPC) || is("user/max_user_namespaces", "0") {
        return "raise user.max_user_namespaces (sysctl), and the other user.max_*_namespaces".to_owned();
    }
    if is("kernel/unprivileged_userns_clone", "0") {
        return "set kernel.unprivileged_userns_clone=1 (sysctl)".to_owned();
    }
    if is(APPARMOR, "1") {
        return allow_by_apparmor();
    }
    if error == Some(libc::EPERM) && is_chrooted() {
        return CHROOT.to_owned();
    }
    SECCOMP.to_owned()
}

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/sys/{path}")).ok().map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_setting() {
        let with = |error, name: &'static str, value: &'static str| {
            for_namespaces(Some(error), move |path| (path == name).then(|| value.to_owned()), || false)
        };
        for (advice, setting) in [
            (with(libc::ENOSPC, "", ""), "user.max_user_namespaces"),
            (with(libc::EAGAIN, APPARMOR, "1"), "ulimit -u"),
            (with(libc::EPERM, "user/max_user_namespaces", "0"), "user.max_user_namespaces"),
            (with(libc::EPERM, "kernel/unprivileged_userns_clone", "0"), "kernel.unprivileged_userns_clone=1"),
            (with(libc::EPERM, APPARMOR, "1"), "kernel.apparmor_restrict_unprivileged_userns=0"),
            (with(libc::EPERM, APPARMOR, "0"), "seccomp=unconfined"),
            (with(libc::EPERM, "user/max_user_namespaces", "15000"), "seccomp=unconfined"),
        ] {
            assert!(advice.contains(setting), "{advice}");
        }
        let in_chroot = |error| for_namespaces(Some(error), |_| None, || true);
        assert!(in_chroot(libc::EPERM).contains("in a chroot"), "{}", in_chroot(libc::EPERM));
        assert!(in_chroot(libc::EINVAL).contains("seccomp=unconfined"), "{}", in_chroot(libc::EINVAL));
    }
}

//! What OpenSSH must be told to reach machines by their names, no matter who runs the endpoint.

use std::{io, path::Path};

/// The `Host` block for `~/.ssh/config`: with it `ssh i-…`, `ssh 127.x.y.z` (a public address) and `ssh` with a machine's
/// DNS name lead to the machine, through `program connect`, where `program` is the `ec2-local` command. `state` is the
/// state directory, if it isn't the usual one; a relative path is this process's.
///
/// # Errors
///
/// A path can't stand in that file.
pub fn ssh_config(program: &Path, state: Option<&Path>, login_user: &str) -> io::Result<String> {
    let state = state.map(quoted).transpose()?;
    let state = state.map(|state| format!("env EC2_LOCAL_STATE_DIR={state} ")).unwrap_or_default();
    let program = quoted(program)?;
    // 17 digits, as every instance id has; 127.0.0.0/16 is the host's own.
    Ok(format!(
        "Host i-????????????????? ip-*.internal ec2-127-*.amazonaws.com 127.* !127.0.*\n    \
         User {login_user}\n    ProxyCommand {state}{program} connect %h %p\n"
    ))
}

/// A path as the shell takes it, in a line where OpenSSH takes `%` for its own. OpenSSH is started in any directory.
fn quoted(path: &Path) -> io::Result<String> {
    let refused = |why: &str| {
        let text =
            format!("name {path:?} in OpenSSH's configuration: {why}; move it to another path, or name it by a link");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let path = std::path::absolute(path)?;
    let text = path.to_str().ok_or_else(|| refused("it is no UTF-8"))?;
    if text.contains(char::is_control) {
        return Err(refused("it has control characters, such as line feeds, in it"));
    }
    Ok(format!("'{}'", text.replace('%', "%%").replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    #[test]
    fn paths_are_taken_as_they_are() {
        let config = ssh_config(Path::new("/opt/100% o'clock"), Some(Path::new("/a b")), "ec2-user").unwrap();
        let line = r"ProxyCommand env EC2_LOCAL_STATE_DIR='/a b' '/opt/100%% o'\''clock' connect %h %p";
        assert!(config.contains(line), "{config}");
    }

    #[test]
    fn a_relative_path_is_made_absolute_and_one_that_cant_be_written_is_refused() {
        let program = Path::new("/opt/ec2-local");
        let config = ssh_config(program, Some(Path::new("state")), "ec2-user").unwrap();
        let state = std::env::current_dir().unwrap().join("state");
        assert!(config.contains(&format!("EC2_LOCAL_STATE_DIR='{}' ", state.display())), "{config}");
        for path in [&b"/a\nHost *"[..], b"/a\rb", b"/a\x1b", b"/a\xff"] {
            let path = Path::new(OsStr::from_bytes(path));
            let error = ssh_config(program, Some(path), "ec2-user").unwrap_err().to_string();
            assert!(error.starts_with("name \"/a") && !error.contains(char::is_control), "{error:?}");
            ssh_config(path, None, "ec2-user").unwrap_err();
        }
    }
}

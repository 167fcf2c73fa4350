//! What OpenSSH must be told to reach machines by their names, whoever runs the endpoint.

use std::path::Path;

/// The `Host` block for `~/.ssh/config`: with it `ssh i-…`, `ssh 127.x.y.z` (a public address) and `ssh` with a machine's
/// DNS name lead to the machine, through `program connect`, where `program` is the `ec2-local` command. `state` is the
/// state directory, if it isn't the usual one.
pub fn ssh_config(program: &Path, state: Option<&Path>, login_user: &str) -> String {
    let state = state.map(|state| format!("env EC2_LOCAL_STATE_DIR={} ", quoted(state))).unwrap_or_default();
    let program = quoted(program);
    // 17 digits, as every instance id has; 127.0.0.0/16 is the host's own.
    format!(
        "Host i-????????????????? ip-*.internal ec2-127-*.amazonaws.com 127.* !127.0.*\n    \
         User {login_user}\n    ProxyCommand {state}{program} connect %h %p\n"
    )
}

/// A path as the shell takes it, in a line where OpenSSH takes `%` for its own.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('%', "%%").replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_they_are() {
        let config = ssh_config(Path::new("/opt/100% o'clock"), Some(Path::new("/a b")), "ec2-user");
        let line = r"ProxyCommand env EC2_LOCAL_STATE_DIR='/a b' '/opt/100%% o'\''clock' connect %h %p";
        assert!(config.contains(line), "{config}");
    }
}

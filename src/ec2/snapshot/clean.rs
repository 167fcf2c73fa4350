//! What a machine has of its own, and what no image is to bring to others: taken away before, and put back where the machine runs on.

use super::Machine;
use crate::error::Error;

/// Cleans a machine that is about to be taken. Where it `runs_on`, what is taken away is laid aside, in memory, which no image has.
pub(super) async fn clean(machine: &Machine, runs_on: bool) -> Result<(), Error> {
    let key = machine.0.key.as_ref().filter(|_| !runs_on).and_then(crate::ssh::PrivateKey::public_text);
    let script = format!("{}{CLEAN}", if runs_on { LAY_ASIDE } else { "" });
    let exec = machine.exec(script).sudo().env("EC2H_KEY", key.unwrap_or_default());
    let exec = exec.env("EC2H_USER", machine.user().unwrap_or_default());
    exec.await.map(drop).map_err(|failure| {
        let tried = format!("clean {machine} for its image");
        Error::from(failure).while_trying(&tried).or_advise("say `.without_cleaning()` if it is to be as it is")
    })
}

/// Puts back what was laid aside.
pub(super) async fn put_back(machine: &Machine) -> Result<(), Error> {
    machine.exec(PUT_BACK).sudo().await.map(drop).map_err(|failure| {
        let tried = format!("put back what was cleaned of {machine} for its image");
        Error::from(failure).while_trying(&tried)
    })
}

/// `/run` is in memory wherever there is a systemd, and in the local EC2's machines.
const LAY_ASIDE: &str = r#"set -eu
aside=/run/ec2-harness-aside
rm -rf "$aside"
mkdir -m 700 "$aside" "$aside/ssh"
for key in /etc/ssh/ssh_host_*; do
    if [ -e "$key" ]; then cp -p "$key" "$aside/ssh/"; fi
done
if [ -e /etc/machine-id ]; then cp -p /etc/machine-id "$aside/"; fi
if [ -d /var/lib/cloud ]; then cp -Rp /var/lib/cloud "$aside/"; fi
"#;

const PUT_BACK: &str = r#"set -eu
aside=/run/ec2-harness-aside
for key in "$aside"/ssh/*; do
    if [ -e "$key" ]; then cp -p "$key" /etc/ssh/; fi
done
if [ -e "$aside/machine-id" ]; then cat "$aside/machine-id" >/etc/machine-id; fi
if [ -d "$aside/cloud" ]; then rm -rf /var/lib/cloud && cp -Rp "$aside/cloud" /var/lib/cloud; fi
rm -rf "$aside"
"#;

/// Host keys and the key that we log in with go only where something makes or brings them anew. An empty machine id is made anew at the
/// next boot, which doesn't count as the first of all, with its presets of services (machine-id(5), "First Boot Semantics").
/// What else is a machine's own: <https://systemd.io/BUILDING_IMAGES/>.
const CLEAN: &str = r#"set -eu
anew=
if command -v cloud-init >/dev/null 2>&1 && [ ! -e /etc/cloud/cloud-init.disabled ]; then
    cloud-init clean --logs
    anew=yes
    if [ -n "$EC2H_KEY" ]; then
        home=$(awk -F: -v user="$EC2H_USER" '$1 == user { print $6; exit }' /etc/passwd)
        for directory in "$home" /root; do
            keys=$directory/.ssh/authorized_keys
            if [ -n "$directory" ] && [ -f "$keys" ] && grep -qF -- "$EC2H_KEY" "$keys"; then
                others=$(grep -vF -- "$EC2H_KEY" "$keys" || :)
                printf '%s' "${others:+$others
}" >"$keys"
            fi
        done
    fi
fi
for directory in /etc /usr/lib /lib; do
    for unit in "$directory"/systemd/system/*ssh*keygen*.service; do
        if [ -e "$unit" ]; then anew=yes; fi
    done
done
if [ -n "$anew" ]; then rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub; fi
if [ -e /etc/machine-id ]; then : >/etc/machine-id; fi
if [ ! -L /var/lib/dbus/machine-id ]; then rm -f /var/lib/dbus/machine-id; fi
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
sync
"#;

//! To the machine.

use super::{
    Copying, Transfer,
    queue::{Writer, queue},
    tree,
};
use crate::{
    error::Error,
    ssh::{command::Command, marker::nonce, session::Session},
};
use std::{
    fs::{File, Metadata},
    io::{self, Read as _, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Receives a file beside its place: `d` is its path, `n` a name for the time being, `z` its size, `m` its mode, `w`
/// its time of modification as `touch -t` wants it (POSIX), or nothing. A shell whose stderr is gone must clean up too,
/// so it ignores SIGPIPE.
const FILE: &str = r#"
case $d in -*) d=./$d ;; esac
case $d in */) echo 'the path is that of a directory' >&2; exit 1 ;; esac
if [ -d "$d" ]; then echo 'there is a directory' >&2; exit 1; fi
case $d in */*) p=${d%/*}/ ;; *) p=./ ;; esac
[ -d "$p" ] || { echo "there is no directory $p" >&2; exit 1; }
t=$p.$n
trap 'rm -f "$t"' EXIT
trap 'exit 1' HUP INT TERM
trap '' PIPE
(umask 077 && cat >"$t") || exit 1
s=$(wc -c <"$t")
[ "$s" -eq "$z" ] || { echo "only" $s "of $z bytes arrived" >&2; exit 1; }
chmod "$m" "$t" || exit 1
[ -z "$w" ] || TZ=UTC0 touch -t "$w" "$t" || exit 1
mv -f "$t" "$d"
"#;

/// Receives a directory beside its place, with a last file that tells that all of it is there.
const TREE: &str = r#"
case $d in -*) d=./$d ;; esac
while :; do case $d in ?*/) d=${d%/} ;; *) break ;; esac; done
if [ -e "$d" ] && ! [ -d "$d" ]; then echo 'there is a file that is no directory' >&2; exit 1; fi
command -v tar >/dev/null || { echo 'copying a directory needs tar on the machine' >&2; exit 1; }
case $d in */*) p=${d%/*}/ ;; *) p=./ ;; esac
[ -d "$p" ] || { echo "there is no directory $p" >&2; exit 1; }
t=$p.$n
trap 'chmod -R u+rwx "$t" 2>/dev/null; rm -rf "$t"' EXIT
trap 'exit 1' HUP INT TERM
trap '' PIPE
mkdir -m 700 "$t" && tar -C "$t" -xpof - || exit 1
[ -e "$t/complete" ] || { echo 'it did not arrive completely' >&2; exit 1; }
if [ -d "$d" ]; then
  tar -C "$t/tree" -cf - . | tar -C "$d" -xpof -
else
  mv "$t/tree" "$d"
fi
"#;

impl Session {
    /// Copies a file, or a directory with all that is in it, to a path on the machine.
    ///
    /// Modes, times of modification (to the second) and symbolic links are kept; owner is who copies. A file replaces
    /// what was there at once, when it is complete; a directory is merged into one that exists. The path is that of the
    /// copy itself, its parent must exist, and a relative one starts at the user's home.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Transfer`](crate::ErrorKind::Transfer) if a side can't read or write, and those of [`exec`](Self::exec).
    pub async fn push(&self, local: impl AsRef<Path>, remote: &str, how: Transfer) -> Result<(), Error> {
        let local = local.as_ref().to_owned();
        let copying = Copying::push(self, &local, remote);
        let (path, runtime) = (local.clone(), self.0.driver.runtime());
        let opened = runtime.spawn_blocking(move || open(&path)).await;
        let (file, metadata) =
            opened.map_err(|_| self.broke("push to"))?.map_err(|error| copying.failed(error.to_string()))?;
        let (sender, receiver) = queue();
        let command = if metadata.is_dir() {
            how.command(TREE, remote).env("n", temporary_name()?)
        } else {
            file_command(&how, remote, metadata.len(), metadata.mode(), Some(metadata.mtime()))?
        };
        let reading = runtime.spawn_blocking(move || {
            let mut writer = Writer::new(sender);
            if metadata.is_dir() {
                tree::pack(&local, &mut writer)?
            } else {
                copy(file, &metadata, &mut writer)?
            }
            writer.flush()
        });
        let (there, here) = tokio::join!(self.exec(command.stdin_chunks(receiver)), reading);
        copying.outcome(here.map_err(|_| self.broke("push to"))?, there)
    }

    /// Writes bytes to a file on the machine, as [`push`](Self::push) does.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push).
    pub async fn write(&self, bytes: impl Into<Vec<u8>>, remote: &str, how: Transfer) -> Result<(), Error> {
        let bytes = bytes.into();
        let copying = Copying { tried: format!("write {remote} on {}", self.0.target) };
        let command = file_command(&how, remote, bytes.len() as u64, 0o644, None)?;
        let there = self.exec(command.stdin(bytes)).await;
        copying.outcome(Ok(()), there)
    }
}

fn file_command(how: &Transfer, remote: &str, size: u64, mode: u32, modified: Option<i64>) -> Result<Command, Error> {
    let mode = how.mode.unwrap_or(mode & 0o7777);
    Ok(how
        .command(FILE, remote)
        .env("n", temporary_name()?)
        .env("z", size.to_string())
        .env("m", format!("{mode:04o}"))
        .env("w", modified.map(touch_time).unwrap_or_default()))
}

pub(super) fn temporary_name() -> Result<String, Error> {
    Ok(format!("ec2-harness-{}", nonce()?))
}

fn open(path: &PathBuf) -> io::Result<(File, Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_dir() && !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a directory"));
    }
    Ok((file, metadata))
}

/// As many bytes as were promised, though the file may grow meanwhile.
fn copy(file: File, metadata: &Metadata, writer: &mut Writer) -> io::Result<()> {
    let copied = io::copy(&mut file.take(metadata.len()), writer)?;
    if copied < metadata.len() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
    }
    Ok(())
}

/// A time as `touch -t` takes it (POSIX): CCYYMMDDhhmm.SS, in UTC. Times before 1970 count as 1970.
fn touch_time(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March put the leap day at their end; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    let year = (era * 400 + year).min(9999);
    format!("{year:04}{month:02}{day_of_month:02}{:02}{:02}.{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn times_are_those_of_date(seconds in 0_i64..253_402_300_800) {
            let date = std::process::Command::new("date")
                .args(["-u", "-d", &format!("@{seconds}"), "+%Y%m%d%H%M.%S"])
                .output()
                .unwrap();
            let date = String::from_utf8(date.stdout).unwrap();
            prop_assert_eq!(touch_time(seconds), date.trim());
        }
    }
}

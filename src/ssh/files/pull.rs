//! From the machine.

use super::{
    Copying, Transfer,
    push::temporary_name,
    queue::{Reader, queue},
    tree,
};
use crate::{error::Error, ssh::session::Session};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

/// Sends a line, `f` with mode and time or `d`, and then the file or the directory. GNU, busybox and BSD differ in
/// `stat`; GNU tar has status 1 when a file changed meanwhile, which logs do.
const SEND: &str = r#"
case $d in -*) d=./$d ;; esac
if [ -d "$d" ]; then
  command -v tar >/dev/null || { echo 'copying a directory needs tar on the machine' >&2; exit 1; }
  echo d
  e=$(tar -C "$d" -cf - . 2>&1 >&3)
  s=$?
  [ $s = 0 ] && exit 0
  [ $s = 1 ] && case $e in *'changed as we read it'*) exit 0 ;; esac
  echo "$e" >&2
  exit 1
fi
s=$(stat -L -c '%a %Y' "$d" 2>&1) || s=$(stat -L -f '%Lp %m' "$d" 2>&1) || { ls -d "$d" >&2; exit 1; }
echo "f $s"
exec cat "$d"
"#;

impl Session {
    /// Copies a file, or a directory with all that is in it, from the machine to a local path.
    ///
    /// Permissions and times of modification (to the second) are kept, set-user-id bits are not; a directory's symbolic
    /// links are kept, a link by itself is followed. A file replaces what was there at once, when it is complete; a
    /// directory is merged into one that exists. A directory of the machine can't write anywhere else.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Transfer`](crate::ErrorKind::Transfer) if a side can't read or write, and those of [`exec`](Self::exec).
    pub async fn pull(&self, remote: &str, local: impl AsRef<Path>, how: Transfer) -> Result<(), Error> {
        let local = local.as_ref().to_owned();
        let copying = Copying::pull(self, remote, &local);
        let (sender, receiver) = queue();
        let temporary = Temporary(local.with_file_name(format!(".{}", temporary_name()?)));
        let runtime = self.0.driver.runtime();
        // The thread owns what it makes, and so removes it also when nobody waits for it any more.
        let writing = runtime.spawn_blocking(move || receive(Reader::new(receiver), &temporary.0).map(|()| temporary));
        let command = how.command(&format!("exec 3>&1{SEND}"), remote).stdout_chunks(sender);
        let (there, here) = tokio::join!(self.exec(command), writing);
        let temporary = copying.outcome(here.map_err(|_| self.broke("pull from"))?, there)?;
        let moved = runtime.spawn_blocking(move || place(&temporary.0, &local)).await;
        moved.map_err(|_| self.broke("pull from"))?.map_err(|error| copying.failed(error.to_string()))
    }

    /// Reads a file on the machine, as far as it fits into a command's output limit of 64 MiB.
    ///
    /// # Errors
    ///
    /// Those of [`pull`](Self::pull).
    pub async fn read(&self, remote: &str, how: Transfer) -> Result<Vec<u8>, Error> {
        let copying = Copying { tried: format!("read {remote} on {}", self.0.target) };
        let command = how.command("case $d in -*) d=./$d ;; esac; exec cat \"$d\"", remote);
        let output = self.exec(command).await.map_err(|error| error.while_trying(&copying.tried))?;
        if !output.status.is_success() {
            return Err(copying.refused(&output));
        }
        Ok(output.stdout_bytes().to_vec())
    }
}

/// What is removed unless it has moved to its place.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let Ok(metadata) = fs::symlink_metadata(&self.0) else { return };
        let _ = if metadata.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
    }
}

fn receive(mut reader: Reader, path: &Path) -> io::Result<()> {
    let line = reader.line()?;
    if line == "d" {
        tree::unpack(&mut reader, path)?;
        // The padding behind the archive's end is awaited too: who hangs up on a command ends it.
        return io::copy(&mut reader, &mut io::sink()).map(drop);
    }
    let strange = || io::Error::new(io::ErrorKind::InvalidData, format!("the machine answered {line:?}"));
    let (mode, modified) = line.strip_prefix("f ").and_then(|rest| rest.split_once(' ')).ok_or_else(strange)?;
    let mode = u32::from_str_radix(mode, 8).map_err(|_| strange())? & 0o777;
    let modified = Duration::from_secs(modified.parse().map_err(|_| strange())?);
    let modified = UNIX_EPOCH.checked_add(modified).ok_or_else(strange)?;
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    io::copy(&mut reader, &mut file)?;
    tree::finish(&file, mode, modified)
}

fn place(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(from)?.is_dir() {
        return tree::merge(from, to);
    }
    if to.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "there is a directory"));
    }
    fs::rename(from, to)
}

//! Ending what a command started on the machine.

use super::command::Command;

/// The command that ends a process, its session and all that descends from it: politely first, after a second by force,
/// as root where the user isn't allowed to. A process that has made itself a daemon, with a session of its own and process 1
/// as its parent, lives on. It succeeds once none is left.
///
/// sshd gives each command a session of its own, but `timeout` makes further groups in it and sudo further sessions
/// below it, so the process group alone would not do; pgrep and pkill aren't everywhere.
pub(super) fn command(process: u32) -> Command {
    Command::new(SCRIPT).env("p", process.to_string())
}

const SCRIPT: &str = r#"
[ -r /proc/self/stat ] || {
  kill -s TERM -- "-$p" || exit 0; sleep 1; kill -s KILL -- "-$p"; exit 0
}
find_all() {
  f=' '
  while :; do
    g=$f
    for d in /proc/[0-9]*; do
      { IFS= read -r s <"$d/stat"; } 2>/dev/null || continue
      i=${d#/proc/}
      set -- ${s##*) }
      case $1 in Z | X) continue ;; esac
      case $f in *" $i "*) continue ;; esac
      if [ "$4" = "$p" ]; then f="$f$i "; continue; fi
      case " $p$f" in *" $2 "*) f="$f$i " ;; esac
    done
    [ "$f" = "$g" ] && break
  done
  [ "$f" != ' ' ]
}
end_all() {
  for i in $f; do
    kill -s "$1" "$i" 2>/dev/null || { [ -d "/proc/$i" ] && sudo -n kill -s "$1" "$i" 2>/dev/null; }
  done
}
pause() { sleep 0.05 2>/dev/null || sleep 1; }
find_all || exit 0
end_all TERM
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  pause
  find_all || exit 0
done
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  end_all KILL
  pause
  find_all || exit 0
done
echo "still there:$f" >&2
exit 1
"#;

# Gathers facts and prints them; changes nothing. For any POSIX shell: dash, bash, busybox ash.
#
# Every function is called with the number of its fact first. Output is lines, framed so that no content can be mistaken:
#   is NUMBER NAME VALUE          a value without spaces
#   data NUMBER NAME ENCODING     then lines of base64 or hexadecimal digits, then `end`
# A fact is whole when `is NUMBER done yes` was printed for it.

original_path=$PATH original_umask=$(umask) original_locale=${LC_ALL-unset}
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 077
file_limit=4194304 stream_limit=1048576
deferred= scratch= running=
user_id=$(id -u 2>/dev/null)

has() { command -v "$1" >/dev/null 2>&1; }

if has base64; then
	encoding=base64
	encode() { base64; }
elif has od; then
	encoding=hexadecimal
	encode() { od -An -v -tx1; }
else
	encoding=none
	encode() { cat >/dev/null; }
fi

is() { printf 'is %s %s %s\n' "$1" "$2" "$3"; }
data() {
	printf 'data %s %s %s\n' "$1" "$2" "$encoding"
	encode
	printf '\nend\n'
}

# The fact needs more rights than we have: it is asked again as root, if we may become root.
needs_root() {
	complete=
	deferred="$deferred $1"
}

ask() {
	complete=yes
	"fact_$1"
	if [ -n "$complete" ]; then is "$1" 'done' yes; fi
}

probe() {
	guard
	printf '\n== facts for ec2-harness ==\n'
	for fact; do ask "$fact"; done
	if [ -n "$deferred" ]; then as_root; fi
	printf '== end of facts ==\n'
}

as_root() {
	why='there is neither sudo nor doas'
	if [ "$user_id" = 0 ]; then
		why='not even root may'
	else
		for tool in sudo doas; do
			has "$tool" || continue
			if why=$("$tool" -n true 2>&1); then
				printf '%s\nroot_probe%s </dev/null\n' "$ec2_harness_body" "$deferred" | "$tool" -n sh -s
				return
			fi
		done
	fi
	for fact in $deferred; do
		printf '%s' "$why" | data "$fact" denied
		is "$fact" 'done' yes
	done
}

root_probe() {
	guard
	user_id=0
	for fact; do ask "$fact"; done
	for fact in $deferred; do
		printf 'not even root may' | data "$fact" denied
		is "$fact" 'done' yes
	done
}

guard() {
	trap 'clean' EXIT
	trap 'clean; exit 129' HUP INT TERM
}

# Around forks: a child that is killed before it has reset our traps would clean up in our place.
unguard() { trap - EXIT HUP INT TERM; }

clean() {
	if [ -n "$running" ]; then kill -s KILL -- "$running" 2>/dev/null; fi
	if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
	running= scratch=
}

make_scratch() {
	if [ -n "$scratch" ]; then return 0; fi
	for directory in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm /run "${HOME:-/}"; do
		if mkdir "$directory/.ec2-harness-$$" 2>/dev/null; then
			scratch=$directory/.ec2-harness-$$
			return 0
		fi
	done
	return 1
}

# --- files ---

file() { # path
	if [ -L "$2" ]; then readlink "$2" | data "$1" link; fi
	if [ -e "$2" ]; then
		is "$1" exists yes
		{
			stat -L -c '%f %u %g %s %Y
%U
%G' "$2" 2>/dev/null || {
				echo ls
				ls -ldnL "$2" 2>/dev/null
				ls -ldL "$2" 2>/dev/null
			}
		} | data "$1" stat
	else
		absent "$1" "$2"
	fi
}

absent() { # path
	error=$(ls -ldL "$2" 2>&1)
	case $error in
	*': Permission denied') needs_root "$1" ;;
	*': No such file or directory' | *': Not a directory' | *': Too many levels of symbolic links' | *': Symbolic link loop' | *': File name too long' | *': Filename too long')
		is "$1" exists no
		;;
	*) printf '%s' "$error" | data "$1" error ;;
	esac
}

readable() { # path
	if [ ! -e "$2" ]; then
		absent "$1" "$2"
		return 1
	fi
	is "$1" exists yes
	if [ ! -f "$2" ]; then
		is "$1" regular no
		return 1
	fi
	if [ ! -r "$2" ]; then
		needs_root "$1"
		return 1
	fi
}

content() { # path
	readable "$1" "$2" || return 0
	printf 'data %s content %s\n' "$1" "$encoding"
	# The status of the reader, past the pipe: half a file isn't the file.
	{ status=$({ {
		head -c $((file_limit + 1)) "$2" 2>/dev/null
		echo $? >&3
	} | encode >&4; } 3>&1); } 4>&1
	printf '\nend\n'
	is "$1" status "$status"
}

sha256() { # path
	readable "$1" "$2" || return 0
	if has sha256sum; then
		sha256sum <"$2" | data "$1" sha256
	elif has openssl; then
		openssl dgst -sha256 -r <"$2" | data "$1" sha256
	elif has shasum; then
		shasum -a 256 <"$2" | data "$1" sha256
	else
		is "$1" tool none
	fi
}

# --- services ---

units() { # unit…
	id=$1
	shift
	if [ ! -d /run/systemd/system ] || ! has systemctl; then
		is "$id" systemd no
		return
	fi
	systemctl show --no-pager -p Id,Names,LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus -- "$@" 2>&1 |
		data "$id" units
	for unit; do
		case $(systemctl is-active -- "$unit" 2>/dev/null) in
		active | reloading) ;;
		*) journalctl --no-pager -q -n 12 -o short -u "$unit" 2>/dev/null </dev/null | data "$id" "log-$unit" ;;
		esac
	done
}

# --- packages ---

package() { # name
	if has dpkg-query && [ -s /var/lib/dpkg/status ]; then
		is "$1" manager dpkg
		dpkg-query -W -f='${db:Status-Status} ${Version}\n' "$2" 2>&1 | data "$1" answer
	elif has rpm && { [ -d /var/lib/rpm ] || [ -d /usr/lib/sysimage/rpm ]; }; then
		is "$1" manager rpm
		rpm -q --qf 'installed %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n' "$2" 2>&1 | data "$1" answer
	elif has apk && { [ -f /lib/apk/db/installed ] || [ -f /usr/lib/apk/db/installed ]; }; then
		is "$1" manager apk
		apk info -e -v "$2" 2>&1 | data "$1" answer
	elif has pacman; then
		is "$1" manager pacman
		pacman -Q "$2" 2>&1 | data "$1" answer
	else
		is "$1" manager none
	fi
}

# --- ports ---

sockets() { # port in hexadecimal, whose owner is wanted…
	id=$1
	shift
	for table in tcp tcp6 udp udp6; do
		case $table in
		tcp*) state=0A ;;
		udp*) state=07 ;;
		esac
		if [ -r "/proc/net/$table" ]; then
			grep " $state " "/proc/net/$table" | data "$id" "$table"
		fi
	done
	inodes=
	for port; do
		for inode in $(grep -h "^ *[0-9]*: [0-9A-F]*:$port [0-9A-F:]* 0[A7] " /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 2>/dev/null |
			sed 's/^ *//' | tr -s ' ' | cut -d ' ' -f 10); do
			inodes="$inodes -e socket:\\[$inode\\]"
		done
	done
	if [ -n "$inodes" ]; then
		process=
		ls -l /proc/[0-9]*/fd 2>/dev/null | grep -e '^/proc/' $inodes | while read -r line; do
			case $line in
			/proc/*) process=${line#/proc/} process=${process%%/*} ;;
			*)
				name=
				read -r name <"/proc/$process/comm"
				echo "${line##*socket:} $process $name"
				;;
			esac
		done 2>/dev/null | data "$id" owners
	fi
}

# --- users and groups ---

entry() { # database name
	case $2 in
	-*) ;;
	*) if has getent && getent "$1" "$2" 2>/dev/null; then return; fi ;;
	esac
	while IFS= read -r line; do
		case $line in
		"$2":*) printf '%s\n' "$line" ;;
		esac
	done <"/etc/$1"
}

user() { # name
	if [ ! -r /etc/passwd ]; then is "$1" passwd no; fi
	entry passwd "$2" 2>/dev/null | data "$1" entry
	case $2 in
	-*) ;;
	*) id -Gn "$2" 2>/dev/null | data "$1" groups ;;
	esac
}

group() { # name
	if [ ! -r /etc/group ]; then is "$1" group no; fi
	entry group "$2" 2>/dev/null | data "$1" entry
}

# --- mounts and processes ---

mounts() {
	if [ -r /proc/self/mounts ]; then
		cat /proc/self/mounts | data "$1" mounts
	fi
}

# The device of a volume, by its id, or by its path.
find_volume() { # id of a volume, or path
	device=
	case $1 in
	vol-*)
		serial=vol${1#vol-}
		for link in /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"$serial"; do
			if [ -b "$link" ]; then device=$link; fi
		done
		for path in /sys/block/nvme*/device/serial; do
			if [ -z "$device" ] && [ -r "$path" ] && [ "$(tr -d ' \n-' <"$path")" = "$serial" ]; then
				device=${path#/sys/block/} device=/dev/${device%%/*}
			fi
		done
		;;
	*)
		if [ -b "$1" ]; then device=$1; fi
		;;
	esac
	if [ -n "$device" ]; then device=$(readlink -f "$device"); fi
}

volume() { # id of a volume, or path; whether its contents are wanted
	find_volume "$2"
	if [ -z "$device" ]; then
		any=no
		for path in /sys/block/nvme* /sys/block/loop* /dev/disk/by-id/nvme-*; do
			if [ -e "$path" ]; then any=yes; fi
		done
		case $2 in /*) any=yes ;; esac
		is "$1" any "$any"
		return
	fi
	if [ -n "$3" ] && [ ! -r "$device" ] && [ "$user_id" != 0 ]; then
		needs_root "$1"
		return
	fi
	printf '%s' "$device" | data "$1" device
	if [ -r "/sys/class/block/${device##*/}/size" ]; then
		data "$1" size <"/sys/class/block/${device##*/}/size"
	fi
	if [ -n "$3" ]; then
		if ! has blkid; then return; fi
		blkid -p -o value -s TYPE "$device" 2>/dev/null | data "$1" fs_type
	fi
	while read -r from at rest; do
		if [ "$(readlink -f "$from" 2>/dev/null)" = "$device" ]; then
			printf '%b\n' "$at"
			break
		fi
	done </proc/self/mounts | data "$1" mounted_at
}

processes() { # name…
	id=$1
	shift
	if [ ! -r /proc/self/stat ]; then
		is "$id" proc no
		return
	fi
	if [ ! -r /proc/1/stat ]; then
		needs_root "$id"
		return
	fi
	is "$id" own "$$"
	for directory in /proc/[0-9]*; do
		comm= line=
		read -r comm 2>/dev/null <"$directory/comm" || continue
		# The shell drops the NULs between the arguments: good enough to choose whom to look at.
		IFS= read -r line 2>/dev/null <"$directory/cmdline"
		for name; do
			case $comm:$line in
			*"$name"* | ???????????????:*) ;;
			*) continue ;;
			esac
			number=${directory#/proc/}
			cat "$directory/stat" 2>/dev/null | data "$id" "stat-$number"
			cat "$directory/cmdline" 2>/dev/null | data "$id" "line-$number"
			break
		done
	done 2>/dev/null
}

# --- commands ---

# Keeps the start of a stream and reads on, so that the writer is not stopped. `cat` writes at once, so that nothing
# is lost if it is ended, and the system bounds what it may write; a block is 512 bytes, or 1,024 in bash.
keep_start() {
	exec 3<&0
	on_term_kill_last
	(
		ulimit -c 0
		ulimit -f $((stream_limit / 512 + 2))
		exec cat <&3
	) &
	wait "$!"
	exec cat <&3 >/dev/null
}

# Runs a command as the leader of a session of its own, so that all that it started can be ended at the limit.
limited() { # seconds, command…
	rm -f "$scratch"/*
	mkfifo "$scratch/out" "$scratch/err" || return 1
	unguard
	keep_start <"$scratch/out" >"$scratch/stdout" 2>/dev/null &
	out=$!
	keep_start <"$scratch/err" >"$scratch/stderr" 2>/dev/null &
	err=$!
	limit=$1
	shift
	if has setsid; then
		(
			as_found
			exec setsid "$@"
		) </dev/null >"$scratch/out" 2>"$scratch/err" &
		command=$!
		running=-$command
	else
		(
			as_found
			exec "$@"
		) </dev/null >"$scratch/out" 2>"$scratch/err" &
		command=$!
		running=$command
	fi
	watch "$limit" "$running" "$scratch/late" </dev/null >/dev/null 2>&1 &
	watcher=$!
	guard
	wait "$command" 2>/dev/null
	code=$?
	unguard
	kill "$watcher" 2>/dev/null
	wait "$watcher" 2>/dev/null
	# A daemon that the command left behind may hold its streams for ever.
	watch_streams "$out" "$err" </dev/null >/dev/null 2>&1 &
	watcher=$!
	wait "$out" 2>/dev/null
	wait "$err" 2>/dev/null
	kill "$watcher" 2>/dev/null
	wait "$watcher" 2>/dev/null
	running=
	guard
}

# In a subshell: when that is told to end, it takes along what it has started last. `$!` is known as soon as there is
# something to end, a variable that it is copied to is not; until then it is still that of the shell around it.
on_term_kill_last() {
	around=$!
	trap '[ "$!" = "$around" ] || kill "$!"; exit' TERM
}

watch() { # seconds, process or -group, mark
	on_term_kill_last
	sleep "$1" &
	wait "$!"
	trap '' TERM
	echo >"$3"
	kill -s TERM -- "$2"
	sleep 1
	kill -s KILL -- "$2"
}

watch_streams() { # process…
	on_term_kill_last
	sleep 1 &
	wait "$!"
	kill "$@"
}

# The environment as we found it, not as we changed it for ourselves.
as_found() {
	PATH=$original_path
	umask "$original_umask"
	if [ "$original_locale" = unset ]; then unset LC_ALL; else LC_ALL=$original_locale; fi
}

report_streams() {
	if [ -e "$scratch/late" ]; then is "$1" late yes; fi
	for stream in stdout stderr; do
		head -c $((stream_limit + 1)) "$scratch/$stream" | data "$1" "$stream"
	done
}

run() { # seconds, user or root, line
	if [ "$3" = root ] && [ "$user_id" != 0 ]; then
		needs_root "$1"
		return
	fi
	if ! make_scratch || ! limited "$2" sh -c "$4"; then
		is "$1" scratch no
		return
	fi
	is "$1" code "$code"
	report_streams "$1"
}

# --- reaching others ---

reach() { # seconds, host, port
	if ! make_scratch; then
		is "$1" scratch no
		return
	fi
	if has python3; then
		tool=python3
		limited "$2" python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])))' "$3" "$4"
	elif has bash; then
		tool=bash
		limited "$2" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$3" "$4"
	elif has perl; then
		tool=perl
		limited "$2" perl -MIO::Socket::IP -e 'IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1]) or die "$@\n"' "$3" "$4"
	# Not every nc can look without talking: its usage text tells.
	elif has nc && nc -h </dev/null 2>&1 | grep -Eq -e '(^|[^A-Za-z])-z' -e '\[-[A-Za-z0-9]*z'; then
		tool=nc
		limited "$2" nc -v -z "$3" "$4"
	elif has curl; then
		tool=curl
		limited "$2" curl -sS -v --max-time "$2" "telnet://$3:$4"
	else
		is "$1" tool none
		return
	fi
	is "$1" tool "$tool"
	is "$1" code "$code"
	report_streams "$1"
}

# Installs packages, or brings all up to date where none is named. For any POSIX shell, as root. Exits with 69 where there is no manager.
locked_for=$1
shift
DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 ZYPP_LOCK_TIMEOUT=$locked_for
export DEBIAN_FRONTEND NEEDRESTART_SUSPEND ZYPP_LOCK_TIMEOUT
has() { command -v "$1" >/dev/null 2>&1; }
exec </dev/null
if has apt-get; then
	apt-get -q -o DPkg::Lock::Timeout="$locked_for" update || exit
	# A question about a changed file would never be answered: the file stays as it is.
	get() { apt-get -q -y -o DPkg::Lock::Timeout="$locked_for" -o Dpkg::Options::=--force-confold "$@"; }
	if [ $# = 0 ]; then get dist-upgrade; else get install "$@"; fi
elif has dnf; then
	if [ $# = 0 ]; then dnf -q -y --refresh upgrade; else dnf -q -y install "$@"; fi
elif has yum; then
	if [ $# = 0 ]; then yum -q -y update; else yum -q -y install "$@"; fi
elif has zypper; then
	zypper -q -n refresh || exit
	if [ $# = 0 ]; then zypper -q -n update -y; else zypper -q -n install -y "$@"; fi
elif has apk; then
	apk -q --wait "$locked_for" update || exit
	if [ $# = 0 ]; then apk -q --wait "$locked_for" upgrade; else apk -q --wait "$locked_for" add "$@"; fi
else
	exit 69
fi

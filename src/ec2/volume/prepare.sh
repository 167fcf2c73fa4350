# Finds the device of a volume by its id, and prints its path; makes a file system on it, and mounts it, if that is asked for. For any
# POSIX shell. Exits with 70 where the machine can't have such devices, 71 where it hasn't this one, 72 where it would destroy something.
set -u
id=$1 within=$2 fs_type=$3 path=$4 options=$5
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH LC_ALL=C
serial=vol${id#vol-}

fail() {
	echo "ec2-harness: $2" >&2
	exit "$1"
}

find_device() {
	device=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$serial
	if [ -b "$device" ]; then
		device=$(readlink -f "$device")
		return
	fi
	for file in /sys/block/nvme*/device/serial; do
		if [ -r "$file" ] && [ "$(tr -d ' \n-' <"$file")" = "$serial" ]; then
			device=${file#/sys/block/} device=/dev/${device%%/*}
			if [ -b "$device" ]; then return; fi
		fi
	done
	device=
}

find_device
while [ -z "$device" ]; do
	any=
	for file in /sys/block/nvme* /sys/block/loop* /dev/disk/by-id/nvme-*; do
		if [ -e "$file" ]; then any=yes; fi
	done
	if [ "$within" -le 0 ] || { [ -z "$any" ] && [ "$within" -le 55 ]; }; then
		[ -n "$any" ] || fail 70 "this machine has no volumes as block devices that could be told apart: it isn't of Nitro, or a local one that root hasn't started"
		fail 71 "EC2 shows it as attached, but no device here is it"
	fi
	within=$((within - 1))
	sleep 1
	find_device
done

if [ -n "$fs_type" ]; then
	command -v blkid >/dev/null 2>&1 || fail 127 "there is no blkid to see whether anything is on it; install util-linux"
	found=$(blkid -p "$device" 2>&1)
	case $? in
	0)
		found=$(blkid -p -o value -s TYPE "$device")
		[ "$found" = "$fs_type" ] || fail 72 "there is ${found:-a partition table} on $device already, and it is left as it is"
		;;
	2)
		command -v "mkfs.$fs_type" >/dev/null 2>&1 || fail 127 "there is no mkfs.$fs_type on this machine; install it"
		"mkfs.$fs_type" "$device" >&2 </dev/null || exit
		;;
	*) fail 72 "it can't be told whether anything is on $device, and it is left as it is: $found" ;;
	esac
fi

if [ -n "$path" ]; then
	mounted=
	while read -r from at rest; do
		if [ "$(printf '%b' "$at")" = "$path" ]; then mounted=$from; fi
	done </proc/self/mounts
	if [ -z "$mounted" ]; then
		mkdir -p "$path" || exit
		mount ${fs_type:+-t "$fs_type"} ${options:+-o "$options"} "$device" "$path" >&2 || exit
	elif [ "$(readlink -f "$mounted")" != "$device" ]; then
		fail 72 "$mounted is mounted at $path already"
	fi
fi
printf '%s\n' "$device"

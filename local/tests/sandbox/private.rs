//! Files below the directories that machines share with their host which not everybody on the host may read.

use crate::fixture::{Disk, FIRST_BOOT, Running};
use std::{
    env, fs,
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

/// What stands in all of them.
const SECRET: &str = "ec2-local-test: for its owner alone";
/// What everybody may read stands beside them.
const PUBLIC: &str = "ec2-local-test: for everybody";
/// Tells the tests that run as another user where root has planted them.
pub const VARIABLE: &str = "EC2_LOCAL_TEST_PRIVATE";
/// A group that every distribution has, and nobody's own.
const ADM: u32 = 4;

/// Has the host's programs on an overlay, as they are in a container; for the shell, in a mount namespace of its own.
pub const OVERLAY: &str = "mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
    mount -t overlay -o lowerdir=/usr,upperdir=/mnt/upper,workdir=/mnt/work none /usr";

/// Where they are planted, as far as this host has it.
const PLACES: [&str; 5] = ["/usr/local/etc", "/usr/lib", "/usr/share", "/var/lib/dpkg", "/etc/alternatives"];

/// Planted files, which are gone when this is dropped.
pub struct Private {
    directories: Vec<PathBuf>,
}

impl Private {
    /// Plants those of a user; only root can.
    pub fn plant(owner: u32) -> Self {
        let mut planted = Self { directories: Vec::new() };
        for place in PLACES.iter().filter(|place| Path::new(place).is_dir()) {
            let directory = Path::new(place).join(format!("ec2-local-test-{}-{owner}", std::process::id()));
            planted.directories.push(directory.clone());
            plant_below(&directory, owner).unwrap();
        }
        planted
    }

    /// For [`VARIABLE`].
    pub fn variable(&self) -> std::ffi::OsString {
        env::join_paths(&self.directories).unwrap()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        for directory in &self.directories {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

fn plant_below(top: &Path, owner: u32) -> io::Result<()> {
    let directory = |name: &str, group: u32, mode: u32| {
        let path = top.join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        chown(&path, Some(owner), Some(group))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    };
    let file = |name: &str, group: u32, mode: u32, text: &str| {
        let path = top.join(name);
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?.write_all(text.as_bytes())?;
        chown(&path, Some(owner), Some(group))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map(|()| path)
    };
    directory("", owner, 0o755)?;
    file("public", owner, 0o644, PUBLIC)?;
    file("0600", owner, 0o600, SECRET)?;
    file("0640", ADM, 0o640, SECRET)?;
    file("4711", owner, 0o4711, SECRET)?;
    // Anyone who is named may read it, and nobody else: the mode's bits for the group are the list's mask (acl(5)).
    let listed = file("listed", owner, 0o640, SECRET)?;
    let entries = [(1u16, 6u16, u32::MAX), (2, 4, 1), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let list: Vec<u8> = 2u32
        .to_le_bytes()
        .into_iter()
        .chain(entries.iter().flat_map(|(tag, permission, id)| {
            [&tag.to_le_bytes()[..], &permission.to_le_bytes()[..], &id.to_le_bytes()[..]].concat()
        }))
        .collect();
    let name = std::ffi::CString::new(listed.as_os_str().as_bytes())?;
    let list_name = c"system.posix_acl_access".as_ptr();
    // SAFETY: the pointers live through the call. Where there are no such lists the mode alone says it.
    unsafe { libc::setxattr(name.as_ptr(), list_name, list.as_ptr().cast(), list.len(), 0) };
    for (name, group, mode) in [("0700", owner, 0o700), ("2750", ADM, 0o2750), ("0711", owner, 0o711)] {
        directory(name, group, mode)?;
        file(&format!("{name}/secret"), owner, if name == "0711" { 0o600 } else { 0o644 }, SECRET)?;
        directory(&format!("{name}/below"), owner, 0o755)?;
        file(&format!("{name}/below/file"), owner, 0o644, if name == "0711" { PUBLIC } else { SECRET })?;
    }
    Ok(())
}

/// What root does inside to read a directory with such files; the first argument is the directory.
const TRIES: &str = r#"
exec 2>/dev/null
try() { cat $1/0600 $1/0640 $1/4711 $1/listed $1/*/secret $1/*/below/file $1/0700/secret $1/2750/below/file; grep -r . $1; }
try $1
mkdir -p /tmp/try; mount --bind $1 /tmp/try && try /tmp/try; umount /tmp/try
mount -o remount,bind,rw / ; mount --rbind / /tmp/try && try /tmp/try$1; umount -l /tmp/try
mkdir /tmp/memory; mount -t tmpfs none /tmp/memory; mkdir /tmp/memory/upper /tmp/memory/work
mount -t overlay -o lowerdir=$1,upperdir=/tmp/memory/upper,workdir=/tmp/memory/work,userxattr none /tmp/try && { try /tmp/try; chmod -R 777 /tmp/try; try /tmp/try; }
umount /tmp/try /tmp/memory
unshare -Ur cat $1/0600
setpriv --reuid 2 --regid 4 --clear-groups cat $1/0600 $1/0640
sh $1/4711; tar -C $1 -cf - .; cp -a $1 /tmp/copy; try /tmp/copy
for link in /proc/*/fd/* /proc/*/cwd /proc/*/root; do try $link$1; done
ln $1/0600 $1/linked; cat $1/linked
chmod -R 777 $1; try $1
chown -R 0:0 $1; try $1; echo more >>$1/0600; truncate -s 5000 $1/0640; try $1
mv $1 $1.moved; try $1.moved
"#;

fn reads_none_below(directories: &[PathBuf]) {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    for directory in directories {
        let place = directory.display();
        let public = machine.run(&format!("cat {place}/public; cat {place}/0711/below/file 2>&1"));
        let tried = machine.run(&format!("set -- {place}\n{TRIES}"));
        // Not every directory of `/etc` is a layer.
        if directory.starts_with("/usr") || public.contains(PUBLIC) {
            assert!(public.starts_with(PUBLIC), "{place}: {public}");
            // Elsewhere the endpoint may have looked for what is private, and cover what can't be listed as a whole.
            let whole = public == format!("{PUBLIC}{PUBLIC}exit 0\n");
            assert!(whole || !rustix::process::geteuid().is_root(), "{place}: {public}");
            assert!(tried.contains(PUBLIC), "{place}: {tried}");
        }
        assert!(!tried.contains(SECRET), "{place}: {tried}");
    }
    machine.end();
    disk.remove();
}

#[test]
fn its_root_reads_what_everybody_may_and_nothing_else() {
    if let Some(planted) = env::var_os(VARIABLE) {
        return reads_none_below(&env::split_paths(&planted).collect::<Vec<_>>());
    }
    if !rustix::process::geteuid().is_root() {
        let skipped = "only root can plant files of its own below /usr";
        assert!(env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "{skipped}");
        return eprintln!("skipped: {skipped}");
    }
    // 2 is a service's.
    let planted = [0, 2].map(Private::plant);
    let directories: Vec<_> = planted.iter().flat_map(|private| private.directories.clone()).collect();
    reads_none_below(&directories);
}

#[test]
fn sees_nothing_that_became_private_or_came_while_it_ran() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can plant files of its own below /usr");
    }
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    // 3 is a service's, too, so that the other test's are of another name.
    let planted = Private::plant(3);
    let directory = planted.directories[0].display();
    let public = planted.directories[0].join("public");
    assert_eq!(machine.run(&format!("cat {directory}/public")), format!("{PUBLIC}exit 0\n"));
    fs::set_permissions(&public, fs::Permissions::from_mode(0o600)).unwrap();
    let answer = machine.run(&format!("cat {directory}/public; set -- {directory}\n{TRIES}"));
    assert!(!answer.contains(SECRET), "{answer}");
    machine.end();
    disk.remove();
}

/// Has the machines' disks on an overlay, which can't take the writable layer of another one; for the shell, as [`OVERLAY`].
pub const DISKS_ON_OVERLAY: &str =
    "mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work; chown --reference=$TMPDIR /mnt/upper
    mount -t overlay -o lowerdir=$TMPDIR,upperdir=/mnt/upper,workdir=/mnt/work none $TMPDIR";

#[test]
fn what_is_read_only_its_root_makes_no_more_than_that() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    machine.collect_console();
    let notes = machine.console.lines().filter_map(|line| line.split_once(" is read-only: ")?.0.split(' ').next_back());
    let read_only: Vec<&str> = notes.collect();
    if read_only.is_empty() {
        eprintln!("skipped: this machine may write to all of its directories");
    }
    for directory in read_only {
        let answer = machine.run(&format!(
            "mount -o remount,bind,rw {directory}; mount -o remount,rw {directory}; mount --bind {directory} /mnt
             mount -o remount,bind,rw /mnt; for place in $(find {directory} /mnt -name 'ec2-local-test-*' 2>/dev/null); do
             echo looked; (echo x >$place/written) 2>/dev/null && echo \"$place was written to\"; done; umount /mnt"
        ));
        assert!(!answer.contains("was written to"), "{answer}");
    }
    machine.end();
    disk.remove();
}

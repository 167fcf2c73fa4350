//! Tables that the host's kernel has once for everybody: what a machine takes of them leaves the host and others theirs.

use crate::fixture::{Disk, FIRST_BOOT, PATIENCE, Running, specification};
use ec2_local::machine::{Event, Hypervisor, sandbox::Sandbox};
use rustix::{
    fs::inotify,
    process::{Resource, getrlimit},
    pty::{OpenptFlags, openpt},
};
use std::{fs, thread, time::Duration};
use tokio::sync::mpsc::unbounded_channel;

fn number(path: &str) -> u64 {
    fs::read_to_string(path).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// The number in a line of an answer that begins with this word.
fn told(answer: &str, word: &str) -> u64 {
    let line = answer.lines().find_map(|line| line.strip_prefix(word)).expect(answer);
    line.trim().parse().expect(answer)
}

#[test]
pub fn has_a_share_of_the_process_ids() {
    let disk = Disk::new();
    let mut large = specification(&disk.path(), FIRST_BOOT);
    large.machine.memory_mib = 64 << 10;
    let mut machine = Running::until_ready(large);
    machine.collect_console();
    let most = told(&machine.run("echo processes $(prlimit --nproc --noheadings --output HARD)"), "processes");
    // A process can hold three: its own, and those of the leaders of its group and session, which are gone.
    let ids = number("/proc/sys/kernel/pid_max");
    assert!(most * 3 <= ids / 4 || most <= 512, "{most} processes of {ids} ids");
    let usual = 32768;
    assert_eq!(most < usual, machine.console.contains("processes rather than 32768"), "{}", machine.console);
    machine.end();
    disk.remove();
}

#[test]
pub fn leaves_inotify_to_the_host() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let init = if cfg!(target_arch = "x86_64") { 294 } else { 26 };
    // By each of its users, as far as it has several, in all namespaces that it can make.
    let script = format!(
        r#"cat >/tmp/take <<'END'
        my $count = 0; while ($count < 100000 && syscall({init}, 0) >= 0) {{ $count++ }}
        print "taken $count\n"; sleep 1000;
END
        chmod 0644 /tmp/take; exec 2>/dev/null
        for user in 0 1000 1001 1002; do setpriv --reuid $user --clear-groups perl /tmp/take >/tmp/said.$user & done
        for nested in 1 2 3; do unshare --user --map-root-user perl /tmp/take >/tmp/said.$nested & done
        sleep 2; cat /tmp/said.* | awk '{{ all += $2 }} END {{ print "all " all }}'"#
    );
    // perl buffers what it says to a file.
    let script = script.replace("my $count", "$| = 1; my $count");
    let all = told(&machine.run(&script), "all");
    let most = number("/proc/sys/user/max_inotify_instances");
    assert!(all >= 1 && all <= most, "{all} of {most}");
    let held: Vec<_> = (0..most / 2).map_while(|_| inotify::init(inotify::CreateFlags::CLOEXEC).ok()).collect();
    assert!(held.len() as u64 >= most / 2, "the machine took {all} of {most}, the host had {}", held.len());
    drop(held);
    machine.end();
    disk.remove();
}

#[test]
pub fn takes_no_asynchronous_io_and_no_huge_pages_of_the_host() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let (io_setup, memfd, mmap, shmget) =
        if cfg!(target_arch = "x86_64") { (206, 319, 9, 29) } else { (0, 279, 222, 194) };
    let before = number("/proc/sys/fs/aio-nr");
    let script = format!(
        "perl -e '$| = 1; my $context = pack(\"Q\", 0);
        sub result {{ my ($name, $result) = @_; print $name, \" \", ($result == -1 ? $! + 0 : \"had\"), \"\\n\" }}
        result(\"aio\", syscall({io_setup}, 60000, $context)); my $name = \"huge\";
        result(\"memfd\", syscall({memfd}, $name, 4)); result(\"plain\", syscall({memfd}, $name, 1));
        result(\"mmap\", syscall({mmap}, 0, 2 << 20, 3, 0x40022, -1, 0)); result(\"small\", syscall({mmap}, 0, 2 << 20, 3, 0x22, -1, 0));
        result(\"shm\", syscall({shmget}, 0, 2 << 20, 04000 | 0600)); sleep 1'"
    );
    // As many as the machine could take, if the host lets us have them.
    let reserved = Setting::change("/proc/sys/vm/nr_hugepages", |before| before + 4);
    let answer = machine.run(&script);
    assert!(answer.contains(&format!("aio {}", libc::ENOSYS)), "{answer}");
    assert!(answer.contains("plain had") && answer.contains("small had"), "{answer}");
    for denied in ["memfd", "mmap", "shm"] {
        assert!(!answer.contains(&format!("{denied} had")) && answer.contains(denied), "{answer}");
    }
    drop(reserved);
    assert!(number("/proc/sys/fs/aio-nr") < before + 60000);
    machine.end();
    disk.remove();
}

/// A setting of the host's, put back on drop.
struct Setting(&'static str, String);

impl Setting {
    /// None where the host doesn't let us change it.
    fn change(path: &'static str, change: impl Fn(u64) -> u64) -> Option<Self> {
        let before = fs::read_to_string(path).ok()?;
        fs::write(path, change(before.trim().parse().ok()?).to_string()).ok()?;
        Some(Self(path, before))
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        fs::write(self.0, &self.1).unwrap();
    }
}

#[test]
pub fn leaves_terminals_to_the_host_and_to_others() {
    // A mount of its own has no bound but the host's; each process has some of them.
    let take = "mkdir -p /mnt/pts; mount -t devpts -o newinstance,ptmxmode=0666 none /mnt/pts
        for process in 1 2 3 4; do
            perl -e 'my @all; while (open my $one, \"+<\", \"/mnt/pts/ptmx\") { push @all, $one } sleep 1000' &
        done; exec sleep 1000";
    loses_its_power(take, "pseudo terminals");
    openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
}

#[test]
pub fn leaves_open_files_to_the_host_and_to_others() {
    if std::env::var_os("EC2_LOCAL_TEST_FILE_MAX").is_none() {
        return eprintln!(
            "skipped: it lowers the host's fs.file-max, for seconds; set EC2_LOCAL_TEST_FILE_MAX to have it"
        );
    }
    let Some(lowered) = Setting::change("/proc/sys/fs/file-max", |_| number("/proc/sys/fs/file-nr") + 50_000) else {
        return eprintln!("skipped: only root may lower the host's fs.file-max");
    };
    let open = "my @all; while (open my $one, \"<\", \"/dev/null\") { push @all, $one } sleep 1000";
    loses_its_power(
        &format!(
            "ulimit -n $(ulimit -Hn); for process in 1 2 3 4 5 6 7 8; do perl -e '{open}' & done; exec sleep 1000"
        ),
        "open files",
    );
    drop(lowered);
}

#[test]
pub fn finds_who_passes_terminals_on() {
    // The process that has some of them ends all the time, after a child has them, too.
    let take = "mkdir -p /mnt/pts; mount -t devpts -o newinstance,ptmxmode=0666 none /mnt/pts
        for process in 1 2 3 4; do
            perl -e 'my @all; while (open my $one, \"+<\", \"/mnt/pts/ptmx\") { push @all, $one } while (1) { fork and exit }' &
        done; exec sleep 1000";
    loses_its_power(take, "pseudo terminals");
}

#[test]
pub fn leaves_queues_and_signals_to_the_host() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let (timer_create, mq_open) = if cfg!(target_arch = "x86_64") { (222, 240) } else { (107, 180) };
    // A timer has a signal that waits; a queue has 10 messages of 8 KiB.
    let answer = machine.run(&format!(
        "perl -e 'my $id = pack \"i\", 0; my $count = 0; $count++ while syscall({timer_create}, 1, 0, $id) == 0;
         print \"timers $count\\n\"; $count = 0;
         while (1) {{ my $name = \"q$count\"; syscall({mq_open}, $name, 0102, 0600, 0) < 0 and last; $count++ }}
         print \"queues $count\\n\"'"
    ));
    let part = if rustix::process::geteuid().is_root() { 1 } else { 4 };
    let most = |resource| getrlimit(resource).current.map(|most| most / part);
    let (timers, queues) = (told(&answer, "timers"), told(&answer, "queues"));
    assert!(timers >= 1 && most(Resource::Sigpending).is_none_or(|most| timers <= most), "{answer}");
    assert!(queues >= 1 && most(Resource::Msgqueue).is_none_or(|most| queues * (80 << 10) <= most), "{answer}");
    machine.end();
    disk.remove();
}

#[test]
pub fn has_namespaces_for_what_is_counted_by_them() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let size = 4096 + std::process::id();
    let answer = machine.run(&format!(
        "readlink /proc/self/ns/ipc /proc/self/ns/mnt /proc/self/ns/net
         perl -e 'for (1 .. 50) {{ shmget(0, {size}, 0600) // die }}'; echo segments $(grep -c ' {size} ' /proc/sysvipc/shm)"
    ));
    for namespace in ["ipc", "mnt", "net"] {
        let its = answer.lines().find(|line| line.starts_with(&format!("{namespace}:"))).expect(&answer);
        let own = fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        assert_ne!(Some(its), own.to_str());
    }
    assert_eq!(told(&answer, "segments"), 50);
    assert!(!fs::read_to_string("/proc/sysvipc/shm").unwrap().contains(&format!(" {size} ")));
    machine.end();
    disk.remove();
}

/// Tells the tests that run as another user that the user owns their cgroup of version 2.
pub const VARIABLE: &str = "EC2_LOCAL_TEST_OWN_CGROUP";

#[test]
pub fn makes_so_many_cgroups() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let answer = machine.run(
        "mkdir -p /mnt/all; count=0; mount -t cgroup2 none /mnt/all && cd /mnt/all &&
            while [ $count -lt 2000 ] && mkdir $count; do count=$((count + 1)); done 2>/dev/null; echo cgroups $count",
    );
    let made = told(&answer, "cgroups");
    let is_owner = std::env::var_os(VARIABLE).is_some();
    assert!(if is_owner { (1000..=1024).contains(&made) } else { made <= 1024 }, "{answer}");
    machine.end();
    disk.remove();
}

/// Has two machines of an endpoint, of which the one that runs this loses its power, and the other one doesn't.
fn loses_its_power(take: &str, entries: &str) {
    let (disk, other) = (Disk::new(), Disk::new());
    let (mut greedy, mut modest) = (specification(&disk.path(), FIRST_BOOT), specification(&other.path(), FIRST_BOOT));
    greedy.machine.instance = "i-greedy".to_owned();
    modest.machine.instance = "i-modest".to_owned();
    let (plug, _plugged) = std::sync::mpsc::channel();
    let hypervisor = Sandbox::with_plug(move |nic, frames| Box::new(plug.send((nic, frames))));
    let (sender, mut events) = unbounded_channel();
    let neighbour = hypervisor.clone().program(["sleep", "1000"]).start(modest, sender.clone()).unwrap();
    let machine = hypervisor.program(["/bin/sh", "-c", take]).start(greedy, sender).unwrap();
    let mut next = || {
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < deadline {
            match events.try_recv() {
                Ok((_, Event::Console(_) | Event::Started)) => {}
                Ok(said) => return said,
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
        panic!("the machine keeps {entries}")
    };
    let (instance, event) = next();
    assert_eq!(instance, "i-greedy");
    assert!(matches!(&event, Event::Failed(why) if why.contains(&format!("leave {entries} to the host"))), "{event:?}");
    drop(machine);
    neighbour.power_off();
    assert_eq!(next(), ("i-modest".to_owned(), Event::PoweredOff));
    disk.remove();
    other.remove();
}

//! What a machine may take of its host, each of its processes and all of them together.

use crate::fixture::{Disk, FIRST_BOOT, PATIENCE, Running, cgroups_of, specification};
use ec2_local::machine::{Event, sandbox::clear_remains};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Starts processes until no more can be had, says how many there are, ends them, and waits until they have gone, so that anyone who
/// has it run can start some again; the shell's own words start none.
const FORK_BOMB: &str = "(while :; do sleep 1000 & done) 2>/dev/null
    for user in 1000 1001 1002; do
        [ $users = 1 ] || setpriv --reuid $user --clear-groups sh -c 'while :; do sleep 1000 & done' 2>/dev/null
    done
    set -- /proc/[0-9]*; echo $#
    # Again and again: some are only about to become it.
    while set -- /proc/[0-9]*; [ $# -gt 100 ]; do
        for process; do
            read name <$process/comm && [ \"$name\" = sleep ] && kill -9 ${process#/proc/}
        done 2>/dev/null
    done";

/// How many processes a machine of 64 MiB may have, and a few of its own.
const MOST: usize = 520;

#[test]
pub fn a_fork_bomb_is_its_own_affair() {
    let (disk, other) = (Disk::new(), Disk::new());
    let mut small = specification(&disk.path(), FIRST_BOOT);
    small.machine.memory_mib = 64;
    let mut machine = Running::until_ready(small);
    let neighbour = Running::booted(&other.path(), FIRST_BOOT);
    let root = rustix::process::geteuid().is_root();
    // All users of a machine share one bound.
    let users = "users=$(awk '{ all += $3 } END { print all }' /proc/self/uid_map)";
    let bomb = format!("{users}\n{FORK_BOMB}");
    if root && is_bounded(&mut machine, "memory") {
        // Its memory is used up before it has so many, and the process that shall count is ended as likely as any other.
        let before = time_to_answer(&neighbour);
        machine.send_job(&bomb);
        let owner = fs::metadata(machine.file("etc/passwd")).unwrap().uid();
        let most = (0..20).map(|_| processes_of(owner)).inspect(|_| thread::sleep(Duration::from_millis(50))).max();
        assert!((10..=MOST).contains(&most.unwrap()), "{most:?}");
        let during = time_to_answer(&neighbour);
        assert!(during < before * 50, "{before:?}, with the bomb {during:?}");
        machine.machine.kill();
        while machine.next().is_some() {}
    } else {
        let bomb = machine.run(&bomb);
        let processes: usize = bomb.lines().find_map(|line| line.parse().ok()).expect(&bomb);
        assert!((100..=MOST).contains(&processes), "{bomb}");
        assert_eq!(neighbour.run("echo $(echo alive)"), "alive\nexit 0\n");
        machine.end();
    }
    neighbour.end();
    disk.remove();
    other.remove();
}

/// The longest of some answers.
fn time_to_answer(machine: &Running) -> Duration {
    let time = |_| {
        let since = Instant::now();
        assert_eq!(machine.run("echo $(echo alive)"), "alive\nexit 0\n");
        since.elapsed()
    };
    (0..10).map(time).max().unwrap()
}

/// How many processes there are of a machine's users.
fn processes_of(first: u32) -> usize {
    let owner = |entry: fs::DirEntry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some(entry.metadata().ok()?.uid())
    };
    let owners = fs::read_dir("/proc").unwrap().filter_map(|entry| owner(entry.ok()?));
    owners.filter(|owner| (first..first + 65536).contains(owner)).count()
}

#[test]
fn its_console_calls_nothing_unbounded_that_the_kernel_bounds() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    machine.collect_console();
    let note = machine.console.lines().find(|line| line.contains("not bounded in")).unwrap_or_default();
    // Since Linux 5.14 a user namespace has the bound of its maker, without any cgroup: see the test above.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let version: Vec<u32> = release.split(['.', '-']).map_while(|number| number.parse().ok()).take(2).collect();
    assert!(version < vec![5, 14] || !note.contains("processes"), "{note}");
    machine.end();
    disk.remove();
}

#[test]
pub fn takes_no_more_than_its_share() {
    let (disk, other) = (Disk::new(), Disk::new());
    let mut small = specification(&disk.path(), FIRST_BOOT);
    small.machine.memory_mib = 64;
    let machine = Running::until_ready(small);
    let neighbour = Running::booted(&other.path(), FIRST_BOOT);
    let answer = machine.run("perl -e '$all = \"x\" x (300 << 20)'");
    assert!(!answer.ends_with("exit 0\n"), "{answer}");
    for directory in ["/tmp", "/run", "/dev/shm", "/dev"] {
        let answer = machine.run(&format!("head -c 64M /dev/zero >{directory}/much; rm {directory}/much"));
        assert!(answer.contains("No space left"), "{directory}: {answer}");
    }
    assert_eq!(machine.run("cat /proc/self/oom_score_adj"), "1000\nexit 0\n");
    assert_eq!(neighbour.run("echo $(echo alive)"), "alive\nexit 0\n");
    machine.end();
    neighbour.end();
    disk.remove();
    other.remove();
}

#[test]
pub fn says_whether_it_can_take_back_that_it_is_ended_first() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    let answer = machine.run("{ echo 0 >/proc/self/oom_score_adj; } 2>/dev/null; cat /proc/self/oom_score_adj");
    machine.collect_console();
    let said = machine.console.contains("root inside can take back that the host ends this machine first");
    assert_eq!(answer, format!("{}\nexit 0\n", if said { "0" } else { "1000" }), "{}", machine.console);
    machine.end();
    disk.remove();
}

/// Whether the machine's cgroup bounds this; where the host doesn't let us make one, the console says so.
fn is_bounded(machine: &mut Running, what: &str) -> bool {
    machine.collect_console();
    let note = machine.console.lines().find(|line| line.contains("the machine as a whole is not bounded in"));
    let missing = note.is_some_and(|note| note.contains(what));
    if missing {
        eprintln!("skipped: {}", note.unwrap_or_default());
    }
    !missing
}

#[test]
pub fn all_its_processes_share_its_memory() {
    let (disk, other) = (Disk::new(), Disk::new());
    let mut small = specification(&disk.path(), FIRST_BOOT);
    small.machine.memory_mib = 256;
    let mut machine = Running::until_ready(small);
    let neighbour = Running::booted(&other.path(), FIRST_BOOT);
    if is_bounded(&mut machine, "memory") {
        // Each of them may have that much; together they may not, and what is in file systems in memory counts.
        let script = "exec 2>/dev/null; cd /root; head -c 100M /dev/zero >/dev/shm/much; all=
            for one in 1 2 3 4 5; do
                perl -e '$all = \"x\"; $all x= 60 << 20; open F, \">full.$$\"; sleep 1000' & all=\"$all $!\"
            done
            settled() { for one in $all; do [ -e full.$one ] || ! kill -0 $one || return; done; }
            until settled; do sleep 0.1; done
            alive=0; for one in $all; do kill -0 $one && alive=$((alive + 1)); done
            rm /dev/shm/much; kill $all; echo \"alive: $alive\"";
        let answer = machine.run(script);
        let alive = answer.lines().find_map(|line| line.strip_prefix("alive: ")?.parse::<u32>().ok()).expect(&answer);
        assert!(alive <= 2, "{answer}");
        assert_eq!(neighbour.run("echo $(echo alive)"), "alive\nexit 0\n");
        // Nobody but the one that took too much is ended.
        machine.collect_console();
        assert!(!machine.console.contains("starting it again"), "{}", machine.console);
    }
    machine.end();
    neighbour.end();
    disk.remove();
    other.remove();
}

/// How much waits in all of the host's sockets of TCP and UDP.
fn waiting_in_sockets() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap();
    let pages = text.lines().filter(|line| line.starts_with("TCP:") || line.starts_with("UDP:"));
    let pages =
        pages.map(|line| line.rsplit_once(" mem ").unwrap().1.split(' ').next().unwrap().parse::<u64>().unwrap());
    // Pages are larger on some machines, and then this tells less.
    pages.sum::<u64>() * 4096
}

#[test]
pub fn what_waits_in_its_sockets_is_bounded() {
    let disk = Disk::new();
    let mut small = specification(&disk.path(), FIRST_BOOT);
    small.machine.memory_mib = 256;
    let mut machine = Running::until_ready(small);
    if is_bounded(&mut machine, "memory") {
        let before = waiting_in_sockets();
        for kind in ["SOCK_DGRAM", "SOCK_STREAM"] {
            let script = format!(
                r#"cat >/tmp/fill <<'END'
                use Socket; use Fcntl; my @all;
                my $datagrams = {kind} == SOCK_DGRAM; my $text = "x" x 50000;
                socket my $listener, AF_INET, {kind}, 0; bind $listener, sockaddr_in(0, INADDR_LOOPBACK); listen $listener, 100;
                for (1 .. 2000) {{
                    socket my $one, AF_INET, {kind}, 0 or last;
                    my $to = $listener;
                    if ($datagrams) {{ bind $one, sockaddr_in(0, INADDR_LOOPBACK); $to = $one }}
                    connect $one, getsockname $to or last;
                    if (!$datagrams) {{ accept my $other, $listener or last; push @all, $other }}
                    fcntl $one, F_SETFL, O_NONBLOCK;
                    for (1 .. 20) {{ send $one, $text, 0 or last }}
                    push @all, $one;
                }}
                print scalar @all, "
"; open my $told, ">", "/root/told"; close $told; sleep 1000;
END
                ulimit -n 8192; rm -f /root/told; exec 2>/dev/null; perl /tmp/fill & echo $! >/tmp/filler
                until [ -e /root/told ] || ! kill -0 $!; do sleep 0.05; done"#
            );
            machine.run(&script);
            let taken = waiting_in_sockets().saturating_sub(before);
            machine
                .run("kill -9 $(cat /tmp/filler); while kill -0 $(cat /tmp/filler) 2>/dev/null; do sleep 0.05; done");
            assert!((1 << 20..=256 << 20).contains(&taken), "{kind}: {taken}");
        }
    }
    machine.end();
    disk.remove();
}

#[test]
pub fn has_no_more_processors_than_its_type() {
    if thread::available_parallelism().unwrap().get() == 1 {
        return eprintln!("skipped: this host has one processor");
    }
    let disk = Disk::new();
    let mut small = specification(&disk.path(), FIRST_BOOT);
    small.machine.vcpus = 1;
    let mut machine = Running::until_ready(small);
    if is_bounded(&mut machine, "CPU") {
        let script = "perl -e 'use Time::HiRes \"time\"; my $since = time; my @all = map { fork || do { 1 while time < $since + 2; exit } } 1 .. 4;
            waitpid $_, 0 for @all; my $taken = time - $since; my (undef, undef, $user, $system) = times; print +($user + $system) / $taken, \"\\n\"'";
        let answer = machine.run(script);
        let processors: f64 = answer.lines().next().unwrap().parse().expect(&answer);
        // The rest is what a period is off by.
        assert!(processors < 1.3, "{answer}");
    }
    machine.end();
    disk.remove();
}

#[test]
fn reaches_no_cgroup_but_its_own() {
    let disk = Disk::new();
    let mut machine = Running::until_ready(specification(&disk.path(), FIRST_BOOT));
    let has_own = is_bounded(&mut machine, "memory");
    let answer = machine.run("cat /proc/self/cgroup /proc/1/cgroup; ls -A /sys/fs/cgroup");
    for line in answer.lines().filter(|line| !line.starts_with("exit ")) {
        assert!(line.ends_with(":/"), "{answer}");
    }
    // Whatever it may mount, it finds itself at the top, and nothing there that it could change or leave by. Where it has no
    // cgroup of its own, the top is its endpoint's.
    let answer = machine.run(
        "mkdir -p /mnt/memory /mnt/all; mount -t cgroup -o memory none /mnt/memory; mount -t cgroup2 none /mnt/all
         cd /mnt; exec 2>/dev/null; find . -name 'ec2-local.*'; for limit in */memory.limit_in_bytes */memory.max */pids.max; do
         echo 9000000000 >$limit && cat $limit; done; echo looked",
    );
    let after = answer.rsplit_once("looked").unwrap().0;
    assert!(!after.contains("9000000000"), "{answer}");
    assert!(!has_own || !after.contains("ec2-local."), "{answer}");
    machine.end();
    disk.remove();
}

#[test]
fn leaves_no_cgroup() {
    let disk = Disk::new();
    let mut unlike = specification(&disk.path(), FIRST_BOOT);
    unlike.machine.instance = format!("i-cgroups-{}", std::process::id());
    let gone = |machine: &mut Running| {
        assert!(matches!(machine.next(), Some(Event::PoweredOff | Event::Failed(_))), "{}", machine.console);
        assert_eq!(cgroups_of(&unlike.machine.instance), [] as [PathBuf; 0]);
    };
    let mut machine = Running::until_ready(unlike.clone());
    let bounded = is_bounded(&mut machine, "memory");
    assert_eq!(bounded, !cgroups_of(&unlike.machine.instance).is_empty());
    if rustix::process::geteuid().is_root() {
        // As a machine may whose root owns its cgroup.
        for cgroup in cgroups_of(&unlike.machine.instance).iter().filter(|cgroup| cgroup.join("machine").is_dir()) {
            fs::create_dir_all(cgroup.join("machine/made/below")).unwrap();
            fs::create_dir(cgroup.join("machine/beside")).unwrap();
        }
    }
    // Not even one that is in use is taken away.
    clear_remains();
    assert_eq!(bounded, !cgroups_of(&unlike.machine.instance).is_empty());
    machine.machine.power_off();
    gone(&mut machine);

    let mut machine = Running::until_ready(unlike.clone());
    machine.machine.kill();
    gone(&mut machine);

    // Its keeper, which would have removed it.
    let mut machine = Running::until_ready(unlike.clone());
    let keeper = keeper_of(&unlike.machine.instance).filter(|_| bounded);
    if let Some(keeper) = keeper {
        assert!(Command::new("kill").args(["-9", &keeper.to_string()]).status().unwrap().success());
    } else {
        machine.machine.kill();
    }
    gone(&mut machine);
    disk.remove();
}

/// The parent of the machine's init, which is in its cgroup.
fn keeper_of(instance: &str) -> Option<u32> {
    let inside = cgroups_of(instance).first()?.join("machine/cgroup.procs");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let init = fs::read_to_string(&inside).ok()?.lines().next().map(str::to_owned);
        if let Some(init) = init {
            let stat = fs::read_to_string(format!("/proc/{init}/stat")).ok()?;
            return stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok();
        }
        assert!(Instant::now() < deadline, "nobody is in {}", inside.display());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
pub fn floods_nobody_with_its_console() {
    let disk = Disk::new();
    let mut machine = Running::booted(&disk.path(), FIRST_BOOT);
    machine.send_job("cat /dev/zero >/dev/console");
    // Nobody reads what is told of it meanwhile.
    thread::sleep(Duration::from_secs(1));
    machine.machine.kill();
    let mut told = 0;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match machine.events.try_recv() {
            Ok((_, Event::Console(bytes))) => told += bytes.len(),
            Ok((_, Event::PoweredOff)) => break,
            Ok((_, event)) => panic!("{event:?}"),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
    assert!((1 << 10..100 << 20).contains(&told), "{told}");
    disk.remove();
}

#[test]
pub fn leaves_no_cores_to_the_host() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    // The one limit that also keeps a core from the program to which the host gives them; programs believe it was set.
    let script =
        "(ulimit -c 0) && (ulimit -Sc unlimited); perl -e '$none = pack q(QQ), 0, 0; exit(syscall(%d, 0, 4, $none, 0) != 0)' &&
        grep 'core file' /proc/self/limits; ulimit -n; prlimit --core --noheadings --output SOFT,HARD"
            .replace("%d", if cfg!(target_arch = "x86_64") { "302" } else { "261" });
    let answer = machine.run(&script);
    let limits: Vec<&str> = answer.lines().flat_map(str::split_whitespace).collect();
    assert!(
        answer.contains("core file size") && limits.windows(2).filter(|pair| *pair == ["1", "1"]).count() == 2,
        "{answer}"
    );
    machine.end();
    disk.remove();
}

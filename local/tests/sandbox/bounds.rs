//! The docs' tables of what a machine may take, row by row: each names here the tests that show it.

use crate::{
    containment, descriptors,
    fixture::{Disk, FIRST_BOOT, Running},
    share, tables, volume,
};
use std::collections::BTreeSet;

const DOCS: &str = include_str!("../../../docs/local-ec2.md");
/// How the tables begin.
const HEADS: [&str; 2] = ["| what | how much | by |", "| table | the machine's share | by |"];

/// A row, and the tests that show it.
type Row = (&'static str, &'static [fn()]);

/// The rows, as far as a machine by itself shows them.
const SHOWN: [Row; 21] = [
    ("processes and threads of a machine", &[share::a_fork_bomb_is_its_own_affair]),
    ("memory of a process", &[share::takes_no_more_than_its_share]),
    ("`/tmp`, `/run`, `/dev/shm`", &[share::takes_no_more_than_its_share]),
    ("memory of a machine", &[share::all_its_processes_share_its_memory, share::what_waits_in_its_sockets_is_bounded]),
    ("CPU of a machine", &[share::has_no_more_processors_than_its_type]),
    ("the host's own memory", &[share::takes_no_more_than_its_share]),
    (
        "open files, cores",
        &[
            share::leaves_no_cores_to_the_host,
            tables::leaves_open_files_to_the_host_and_to_others,
            descriptors::lets_other_machines_of_its_user_start,
        ],
    ),
    ("terminals", &[has_so_many_terminals]),
    ("asynchronous I/O of the kernel's (`io_setup`), huge pages", &[NO_AIO]),
    ("real-time and raised priorities", &[raises_no_priority]),
    ("console", &[share::floods_nobody_with_its_console]),
    ("disk", &[volume::ends_where_the_volume_does]),
    (
        "the host's disk",
        &[
            volume::loses_its_power_before_the_host_has_no_room,
            volume::loses_its_power_before_the_host_has_no_inodes,
            volume::keeps_its_power_though_it_took_more_before_another_fills_the_disk,
            volume::loses_its_power_for_what_it_has_open_without_a_name,
            volume::loses_its_power_for_what_it_has_mapped_without_a_name,
        ],
    ),
    (
        "process ids (`kernel.pid_max`), `kernel.threads-max`, cgroups above the endpoint's, `ulimit -u` of a user",
        &[tables::has_a_share_of_the_process_ids],
    ),
    ("open files (`fs.file-max`)", &[tables::leaves_open_files_to_the_host_and_to_others]),
    (
        "pseudo terminals (`kernel.pty.max`)",
        &[tables::leaves_terminals_to_the_host_and_to_others, tables::finds_who_passes_terminals_on],
    ),
    (
        "message queues, pending signals and POSIX timers, locked shared memory (`ulimit -q`, `-i`, `-l`)",
        &[tables::leaves_queues_and_signals_to_the_host],
    ),
    (
        "System V IPC, POSIX message queues by number, mounts, connection tracking",
        &[tables::has_namespaces_for_what_is_counted_by_them],
    ),
    (
        // Run by users::bounds_the_cgroups_of_an_ordinary_user_who_has_their_own.
        "cgroups, where the machine's root is their owner (version 2, as a user)",
        &[tables::makes_so_many_cgroups],
    ),
    ("what is counted by user (`user.max_*`: inotify, fanotify, namespaces)", &[tables::leaves_inotify_to_the_host]),
    (
        "keys, `perf_event_open`, `bpf`, `io_uring`, asynchronous I/O (`fs.aio-max-nr`), reserved huge pages",
        &[containment::finds_no_key_of_the_hosts, containment::its_root_does_nothing_to_the_host, NO_AIO],
    ),
];
const NO_AIO: fn() = tables::takes_no_asynchronous_io_and_no_huge_pages_of_the_host;

/// The others.
const ELSEWHERE: [(&str, &str); 4] = [
    (
        "connections to the name server and to the metadata service",
        "network, metadata::a_machine_that_hoards_connections_harms_nobody_but_itself",
    ),
    (
        "questions to the name server and the DHCP server that wait",
        "lib, network::services::tests::sixteen_that_flood_lose_their_own_questions_and_a_seventeenth_has_its_turn",
    ),
    ("connections that security groups track", "lib, network::filter::tests::nobody_outside_has_all_the_room"),
    (
        "time that a machine's kernel takes to receive a frame (packet sockets, nftables, bridges), which is the switch's and in \
         no cgroup",
        "network, slow::a_machine_that_takes_its_frames_slowly_holds_up_nobody_else",
    ),
];

#[test]
fn each_row_of_the_docs_names_what_shows_it() {
    let rows: BTreeSet<&str> = HEADS
        .iter()
        .flat_map(|head| {
            let (_, table) = DOCS.split_once(head).expect(head);
            table.lines().skip(2).map_while(|line| line.strip_prefix("| ")?.split(" | ").next())
        })
        .collect();
    let shown = SHOWN.iter().map(|(row, _)| *row).chain(ELSEWHERE.iter().map(|(row, _)| *row));
    assert_eq!(rows, shown.collect());
}

#[test]
fn has_so_many_terminals() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let script =
        "perl -e 'my @all; while (open my $one, q(+<), q(/dev/ptmx)) { push @all, $one } print scalar @all, qq(\\n)'";
    let answer = machine.run(&format!("ulimit -n 4096; {script}"));
    assert_eq!(answer, "256\nexit 0\n");
    machine.end();
    disk.remove();
}

#[test]
fn raises_no_priority() {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let answer =
        machine.run("prlimit --nice --rtprio --noheadings --output HARD; nice -n -5 true; echo $?; chrt -f 1 true");
    let said: Vec<&str> = answer.lines().map(str::trim).collect();
    assert_eq!(said[..2], ["0", "0"], "{answer}");
    assert!(answer.contains("cannot set niceness") && answer.contains("failed to set pid 0's policy"), "{answer}");
    machine.end();
    disk.remove();
}

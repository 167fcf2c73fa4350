//! System calls that a machine's root asks for, and that its filter refuses.

use crate::fixture::{Disk, FIRST_BOOT, Running};

/// What each call in this script of perl's answers, as a line: an error's number, or what was had.
fn answers(script: &str) -> String {
    let disk = Disk::new();
    let machine = Running::booted(&disk.path(), FIRST_BOOT);
    let result =
        "sub result { my ($name, $result) = @_; print $name, \" \", ($result < 0 ? $! + 0 : \"had\"), \"\\n\" }";
    let answer = machine.run(&format!("perl -e '{result} {script}'"));
    machine.end();
    disk.remove();
    answer
}

#[test]
fn has_no_sockets_that_cost_the_host_memory_or_threads() {
    // AF_XDP's are raw, and AF_RXRPC's are datagrams over IPv4.
    let script = "result(\"xdp\", socket(S, 44, 3, 0) ? 0 : -1); result(\"rxrpc\", socket(S, 33, 2, 2) ? 0 : -1);
        result(\"packet\", socket(S, 17, 3, 0) ? 0 : -1)";
    let refused = libc::EAFNOSUPPORT;
    assert_eq!(answers(script), format!("xdp {refused}\nrxrpc {refused}\npacket had\nexit 0\n"));
}

#[test]
fn keeps_the_host_from_no_hibernation() {
    assert_eq!(
        answers("result(\"memfd_secret\", syscall(447, 0))"),
        format!("memfd_secret {}\nexit 0\n", libc::ENOSYS)
    );
}

#[test]
fn is_not_told_which_pages_the_host_has_read() {
    let (mmap, mincore, preadv2) = if cfg!(target_arch = "x86_64") { (9, 27, 327) } else { (222, 232, 286) };
    let script = format!(
        "open F, q(<), q(/usr/bin/env); my $space = qq(\\0) x 4096; my $range = pack q(QQ), 0, 4096;
         my $map = syscall({mmap}, 0, 4096, 1, 2, fileno F, 0);
         result(\"mincore\", syscall({mincore}, $map, 4096, $space));
         result(\"cachestat\", syscall(451, fileno F, $range, $space, 0));
         my $vector = pack q(PQ), $space, 4096;
         result(\"nowait\", syscall({preadv2}, fileno F, $vector, 1, 0, 0, 8));
         result(\"wait\", syscall({preadv2}, fileno F, $vector, 1, 0, 0, 0))"
    );
    let (missing, unsupported) = (libc::ENOSYS, libc::EOPNOTSUPP);
    assert_eq!(
        answers(&script),
        format!("mincore {missing}\ncachestat {missing}\nnowait {unsupported}\nwait had\nexit 0\n")
    );
}

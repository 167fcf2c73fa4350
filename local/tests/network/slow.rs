//! Machines that take their frames slowly.

use crate::{
    lab::{Lab, nic},
    machine::Machine,
};
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PATIENCE: Duration = Duration::from_secs(10);
/// How many packet sockets look at each frame, each with a filter that goes through its payload so often.
const SOCKETS: usize = 80;
const TIMES: usize = 500;
/// Where the payload of a UDP datagram begins in a frame, and one that has a lot of attributes (`struct nlattr`): of four bytes
/// and type 1.
const START: u32 = 14 + 20 + 8;
const PAYLOAD: [u8; 1400] = {
    let mut payload = [0; 1400];
    let mut at = 0;
    while at < payload.len() {
        [payload[at], payload[at + 1], payload[at + 2], payload[at + 3]] = 0x0001_0004u32.to_ne_bytes();
        at += 4;
    }
    payload
};
/// Finds an attribute of the type in X from A on (linux/filter.h); the library has it as a signed number.
const FIND: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR).cast_unsigned();
const PINGS: usize = 100;

/// Lets a packet socket look at each frame for a while, and take none: it looks for what isn't there.
fn look_long(socket: &OwnedFd) {
    let step = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut steps = vec![step(libc::BPF_LDX | libc::BPF_IMM, 2)];
    for _ in 0..TIMES {
        steps.push(step(libc::BPF_LD | libc::BPF_IMM, START));
        steps.push(step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, FIND));
    }
    steps.push(step(libc::BPF_RET | libc::BPF_K, 0));
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the program and its steps live through the call, which takes a pointer to such a structure, and its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as u32,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// How long a machine's ping to its router takes: one of the quicker ones, since others may have the processor.
fn ping(machine: &Machine) -> Duration {
    let socket = machine.ping();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(SocketAddrV4::new(ROUTER, 0)).unwrap();
    let mut taken: Vec<_> = (0..PINGS)
        .map(|number| {
            let begun = Instant::now();
            socket.send(&[8, 0, 0, 0, 0, 0, 0, number as u8]).unwrap();
            assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 8);
            let taken = begun.elapsed();
            thread::sleep(Duration::from_millis(2));
            taken
        })
        .collect();
    taken.sort_unstable();
    taken[PINGS * 2 / 5]
}

#[test]
fn a_machine_that_takes_its_frames_slowly_holds_up_nobody_else() {
    let lab = Lab::new();
    let [(bystander, _bystander), (flooder, _flooder), (plain, _plain), (slow, _slow)] =
        [5, 6, 7, 8].map(|last| lab.machine(&nic("vpc-1", [10, 0, 0, last])));
    let sockets: Vec<_> = (0..SOCKETS).map(|_| slow.frames()).collect();
    sockets.iter().for_each(look_long);
    let beside_a_flood_to = |to: &Machine| {
        let (socket, over) = (flooder.udp(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Its own queue may be full.
                    let _ = socket.send_to(&PAYLOAD, (to.address, 9));
                }
            });
            thread::sleep(Duration::from_millis(300));
            let taken = ping(&bystander);
            over.store(true, Ordering::Relaxed);
            taken
        })
    };
    let [plain, slow] = [&plain, &slow].map(beside_a_flood_to);
    assert!(
        slow < 20 * plain,
        "a ping takes {slow:?} beside a flood to a slow machine, {plain:?} beside one to another"
    );
}

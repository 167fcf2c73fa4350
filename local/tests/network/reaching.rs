//! From the host into a machine's TCP ports.

use crate::lab::{Lab, eventually, nic, raise_limit_of_files, wait};
use crate::machine::Machine;
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

#[test]
fn a_connection_comes_from_outside_and_carries_bytes_both_ways() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(22);
    let mut host = lab.reach(&nic, 22).unwrap();
    let (mut guest, from) = listener.accept().unwrap();
    assert!(from.ip().to_string().starts_with("203.0.113."), "{from}");
    guest.write_all(b"SSH-2.0-banner\r\n").unwrap();
    assert_eq!(read(&mut host, 16), b"SSH-2.0-banner\r\n");
    host.write_all(b"hello").unwrap();
    assert_eq!(read(&mut guest, 5), b"hello");
}

#[test]
fn a_closed_port_refuses() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (_machine, _attached) = lab.machine(&nic);
    for port in [22, 0, 65535] {
        let error = lab.reach(&nic, port).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        assert!(error.to_string().contains("nothing listens there"), "{error}");
    }
}

#[test]
fn an_unknown_nic_is_not_connected() {
    let error = Lab::new().reach(&nic("vpc-1", [10, 0, 0, 5]), 22).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
}

#[test]
fn a_machine_that_never_comes_up_times_out() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let mut machine = Machine::powered_off(&nic);
    let _attached = lab.attach(&nic, &mut machine);
    let error = lab.reach(&nic, 22).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[test]
fn a_booting_machine_is_reached_as_soon_as_it_is_up() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let mut machine = Machine::powered_off(&nic);
    let _attached = lab.attach(&nic, &mut machine);
    let (switch, id) = (lab.switch.clone(), nic.id.clone());
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let connecting = thread::spawn(move || wait(switch.connect(&id, 22, theirs)));
    thread::sleep(Duration::from_millis(200));
    assert!(!connecting.is_finished());
    let listener = machine.listen(22);
    machine.configure();
    connecting.join().unwrap().unwrap();
    listener.accept().unwrap();
}

#[test]
fn half_closes_pass_both_ways() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(80);

    let mut host = lab.reach(&nic, 80).unwrap();
    let (mut guest, _) = listener.accept().unwrap();
    host.write_all(b"question").unwrap();
    host.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut guest), b"question");
    thread::sleep(Duration::from_millis(20));
    guest.write_all(b"answer").unwrap();
    drop(guest);
    assert_eq!(read_all(&mut host), b"answer");

    let mut host = lab.reach(&nic, 80).unwrap();
    let (mut guest, _) = listener.accept().unwrap();
    guest.write_all(b"greeting").unwrap();
    guest.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut host), b"greeting");
    host.write_all(b"late").unwrap();
    drop(host);
    assert_eq!(read_all(&mut guest), b"late");
}

#[test]
fn megabytes_pass_unharmed_in_both_directions_at_once() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(80);
    let host = lab.reach(&nic, 80).unwrap();
    let (guest, _) = listener.accept().unwrap();
    const LENGTH: usize = 48 * 1024 * 1024;
    let writers = [
        writer(host.try_clone().unwrap(), 1, LENGTH, |host| host.shutdown(Shutdown::Write)),
        writer(guest.try_clone().unwrap(), 2, LENGTH, |guest| guest.shutdown(Shutdown::Write)),
    ];
    let reader = thread::spawn(move || check(guest, 1, LENGTH));
    check(host, 2, LENGTH);
    reader.join().unwrap();
    for writer in writers {
        writer.join().unwrap();
    }
}

#[test]
fn a_reader_that_is_slow_holds_the_writer_back_and_loses_nothing() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(80);
    let host = lab.reach(&nic, 80).unwrap();
    let (guest, _) = listener.accept().unwrap();

    // The machine writes, nobody reads: the writing stops, so it is held somewhere bounded.
    guest.set_nonblocking(true).unwrap();
    let mut written = 0;
    let mut idle = 0;
    while idle < 20 {
        match (&guest).write(&pattern(2, written, 64 * 1024)) {
            Ok(length) => (written, idle) = (written + length, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(10));
                idle += 1;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(written < 64 * 1024 * 1024, "nothing holds the writer back");
    }
    guest.shutdown(Shutdown::Write).unwrap();
    check(host, 2, written);
}

#[test]
fn a_reset_ends_the_hosts_stream() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(80);
    let mut host = lab.reach(&nic, 80).unwrap();
    let (guest, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&guest, Some(Duration::ZERO)).unwrap();
    drop(guest);
    ends(&mut host);
    eventually("writing fails", || host.write_all(b"x").is_err());
}

#[test]
fn a_host_that_goes_away_in_the_midst_resets_the_machine() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(80);
    let host = lab.reach(&nic, 80).unwrap();
    let (mut guest, _) = listener.accept().unwrap();
    drop(host);
    let chunk = [0; 64 * 1024];
    let error = (0..1000).find_map(|_| guest.write_all(&chunk).err()).expect("an error");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

#[test]
fn unplugging_ends_what_is_open_and_what_is_being_opened() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, attached) = lab.machine(&nic);
    let listener = machine.listen(80);
    let mut host = lab.reach(&nic, 80).unwrap();
    let (_guest, _) = listener.accept().unwrap();
    let busy = writer(host.try_clone().unwrap(), 1, usize::MAX, |_| Ok(()));
    thread::sleep(Duration::from_millis(50));
    drop(attached);
    ends(&mut host);
    assert!(busy.join().is_err(), "the writer must have been told");
    assert_eq!(lab.reach(&nic, 80).unwrap_err().kind(), ErrorKind::NotConnected);

    let mut machine = Machine::powered_off(&nic);
    let attached = lab.attach(&nic, &mut machine);
    let (switch, id) = (lab.switch.clone(), nic.id.clone());
    let opening = thread::spawn(move || wait(switch.open(&id, 22)).map(drop).unwrap_err().kind());
    thread::sleep(Duration::from_millis(50));
    drop(attached);
    assert_eq!(opening.join().unwrap(), ErrorKind::NotConnected);
}

#[test]
fn connections_to_a_machine_are_bounded() {
    const MOST: usize = 1024;
    raise_limit_of_files();
    let lab = Lab::new();
    let (near, other) = (nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6]));
    let [(machine, _near), (bystander, _other)] = [&near, &other].map(|nic| lab.machine(nic));
    let listener = machine.listen(22);
    let (sender, accepted) = std::sync::mpsc::channel();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = sender.send(stream);
        }
    });
    let hoard: Vec<UnixStream> = (0..MOST).map(|_| lab.reach(&near, 22).unwrap()).collect();
    let error = lab.reach(&near, 22).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}");
    assert!(error.to_string().contains("1024"), "{error}");
    // Another machine has a bound of its own.
    let _listener = bystander.listen(22);
    lab.reach(&other, 22).unwrap();
    // A connection is one until both have ended it.
    drop(hoard);
    assert_eq!(accepted.iter().take(MOST).count(), MOST);
    eventually("there is room again", || lab.reach(&near, 22).is_ok());
}

#[test]
fn nothing_is_said_before_the_connection_is_joined() {
    let lab = Lab::new();
    let nic = nic("vpc-1", [10, 0, 0, 5]);
    let (machine, _attached) = lab.machine(&nic);
    let listener = machine.listen(22);
    let connection = wait(lab.switch.open(&nic.id, 22)).unwrap();
    let (mut guest, _) = listener.accept().unwrap();
    guest.write_all(b"banner").unwrap();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    thread::sleep(Duration::from_millis(20));
    theirs.write_all(b"ok ").unwrap();
    connection.join(theirs);
    assert_eq!(read(&mut ours, 9), b"ok banner");

    let connection = wait(lab.switch.open(&nic.id, 22)).unwrap();
    let (mut guest, _) = listener.accept().unwrap();
    drop(connection);
    assert_eq!(guest.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// Bytes that tell their place.
fn pattern(seed: usize, from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| ((at / 251).wrapping_mul(31) ^ at ^ seed) as u8).collect()
}

fn writer<W: Write + Send + 'static>(
    mut to: W,
    seed: usize,
    length: usize,
    end: impl FnOnce(W) -> std::io::Result<()> + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut at = 0;
        while at < length {
            let chunk = pattern(seed, at, (length - at).min(100_000));
            to.write_all(&chunk).unwrap();
            at += chunk.len();
        }
        end(to).unwrap();
    })
}

fn check(mut from: impl Read, seed: usize, length: usize) {
    let mut at = 0;
    let mut buffer = vec![0; 70_000];
    loop {
        match from.read(&mut buffer).unwrap() {
            0 => break,
            read => {
                assert!(buffer[..read] == pattern(seed, at, read), "wrong bytes after {at}");
                at += read;
            }
        }
    }
    assert_eq!(at, length);
}

fn read(from: &mut impl Read, length: usize) -> Vec<u8> {
    let mut buffer = vec![0; length];
    from.read_exact(&mut buffer).unwrap();
    buffer
}

fn read_all(from: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).unwrap();
    all
}

/// Reads until the stream ends, in whichever way.
fn ends(stream: &mut UnixStream) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{error}"),
        }
    }
}

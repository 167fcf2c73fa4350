//! Machines for these tests: a network namespace with a TAP device in it, and sockets that live there.
//!
//! A child process enters a user and a network namespace, makes the device, and hands its descriptor out. A socket
//! belongs to the namespace that it was made in, so the child makes sockets on demand and hands them out as well: what
//! the test then does with them happens on the machine.

use ec2_local::network::Nic;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use rustix::{io::Errno, net::sockopt::Timeout};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    time::Duration,
};

const ROLE: &str = "NETWORK_TEST_MACHINE";
const DEVICE: &[u8] = b"eth0";

/// What the child is asked for.
const CONFIGURE: u8 = b'c';
const STREAM: u8 = b's';
const DATAGRAM: u8 = b'd';
const STREAM6: u8 = b'S';
const DATAGRAM6: u8 = b'D';
const FRAMES: u8 = b'f';
const PING: u8 = b'p';
const GROW: u8 = b'g';

/// A machine: a network namespace that is held by a process.
pub struct Machine {
    pub address: Ipv4Addr,
    child: Child,
    control: UnixStream,
    tap: Option<OwnedFd>,
}

impl Machine {
    /// A machine that is up, at its NIC's addresses, with a default route to the subnet's router.
    pub fn start(nic: &Nic) -> Self {
        let machine = Self::powered_off(nic);
        machine.configure();
        machine
    }

    /// A machine whose device is still down, and has no address.
    pub fn powered_off(nic: &Nic) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let subnet = Ipv4Addr::from_bits(nic.subnet.0.to_bits() + 1);
        let mac = nic.mac.map(|byte| format!("{byte:02x}")).join(":");
        let addresses = nic.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let addresses6 = nic.ipv6.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let prefix6 = nic.subnet6.map_or(128, |(_, prefix)| prefix);
        let role = format!("{mac} {addresses} {} {subnet} {addresses6} {prefix6}", nic.subnet.1);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "machine_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null());
        enter_namespaces(&mut command);
        let child =
            command.spawn().expect("these tests need user and network namespaces, which this system doesn't allow");
        let mut machine = Self { address: nic.addresses[0], child, control: ours, tap: None };
        machine.tap = Some(machine.receive().expect("these tests need a TAP device, which this system doesn't allow"));
        machine
    }

    /// Brings the device up and gives it its address.
    pub fn configure(&self) {
        self.send(CONFIGURE);
        assert!(self.receive().is_none());
    }

    /// The TAP device, once.
    pub fn take_tap(&mut self) -> OwnedFd {
        self.tap.take().expect("taken once")
    }

    /// Listens on a TCP port of the machine.
    pub fn listen(&self, port: u16) -> TcpListener {
        let socket = self.socket(STREAM);
        let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        rustix::net::listen(&socket, 512).unwrap();
        TcpListener::from(socket)
    }

    /// The same by IPv6.
    pub fn listen6(&self, port: u16) -> TcpListener {
        let socket = self.socket(STREAM6);
        rustix::net::sockopt::set_ipv6_v6only(&socket, true).unwrap();
        rustix::net::bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0)).unwrap();
        rustix::net::listen(&socket, 512).unwrap();
        TcpListener::from(socket)
    }

    /// Connects from the machine.
    pub fn connect(&self, to: impl Into<SocketAddr>) -> std::io::Result<TcpStream> {
        let to = to.into();
        let socket = self.stream_to(to);
        rustix::net::connect(&socket, &to)?;
        Ok(TcpStream::from(socket))
    }

    fn stream_to(&self, to: SocketAddr) -> OwnedFd {
        self.socket(if to.is_ipv4() { STREAM } else { STREAM6 })
    }

    /// Connects from the machine, for so long at most: `TimedOut` then.
    pub fn connect_within(&self, patience: Duration, to: impl Into<SocketAddr>) -> std::io::Result<TcpStream> {
        let to = to.into();
        let socket = self.stream_to(to);
        // Linux takes the send timeout for that of a connect, too.
        rustix::net::sockopt::set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
        match rustix::net::connect(&socket, &to) {
            Ok(()) => Ok(TcpStream::from(socket)),
            Err(Errno::INPROGRESS) => Err(std::io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// A UDP socket of the machine.
    pub fn udp(&self) -> UdpSocket {
        UdpSocket::from(self.socket(DATAGRAM))
    }

    /// A UDP socket of IPv6.
    pub fn udp6(&self) -> UdpSocket {
        UdpSocket::from(self.socket(DATAGRAM6))
    }

    /// A socket for ICMP echo.
    pub fn ping(&self) -> UdpSocket {
        UdpSocket::from(self.socket(PING))
    }

    /// A socket that sends and receives whole frames on the device.
    pub fn frames(&self) -> OwnedFd {
        self.socket(FRAMES)
    }

    /// Lets its device carry packets that are larger than any of EC2's, as the machine's root may.
    pub fn grow(&self) {
        self.send(GROW);
        assert!(self.receive().is_none());
    }

    fn socket(&self, kind: u8) -> OwnedFd {
        self.send(kind);
        self.receive().expect("a socket")
    }

    fn send(&self, request: u8) {
        rustix::io::write(&self.control, &[request]).unwrap();
    }

    fn receive(&self) -> Option<OwnedFd> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut buffers = [IoSliceMut::new(&mut byte)];
        let got = rustix::net::recvmsg(&self.control, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
        assert_eq!(got.bytes, 1, "the machine's process has ended; its own words stand above");
        ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its process ends when the control stream does.
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

/// Lets a command run in a network namespace of its own, as root of it: root as before, anybody else in a user namespace.
pub fn enter_namespaces(command: &mut Command) {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    // SAFETY: the closure runs in the forked child, and only makes system calls.
    unsafe {
        command.pre_exec(move || {
            if user == 0 && libc::unshare(libc::CLONE_NEWNET) == 0 {
                return Ok(());
            }
            if libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
            std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
        })
    };
}

/// What the child does.
pub fn run() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let role: Vec<&str> = role.split(' ').collect();
    let stdin = std::io::stdin();
    let control = stdin.as_fd();
    let mac: Vec<u8> = role[0].split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let tap = make_tap(&mac);
    reply(control, Some(tap.as_fd()));
    drop(tap);
    let mut request = [0];
    while let Ok(1) = rustix::io::read(control, &mut request) {
        use rustix::net::{AddressFamily, SocketType, ipproto, socket};
        let made = match request[0] {
            CONFIGURE => {
                let addresses: Vec<Ipv4Addr> = role[1].split(',').map(|address| address.parse().unwrap()).collect();
                configure(&addresses, role[2].parse().unwrap(), role[3].parse().unwrap());
                let addresses: Vec<Ipv6Addr> = role[4].split(',').filter_map(|address| address.parse().ok()).collect();
                if !addresses.is_empty() {
                    configure6(&addresses, role[5].parse().unwrap(), Nic::ROUTER6);
                }
                None
            }
            STREAM => Some(socket(AddressFamily::INET, SocketType::STREAM, None).unwrap()),
            DATAGRAM => Some(socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap()),
            STREAM6 => Some(socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap()),
            DATAGRAM6 => Some(socket(AddressFamily::INET6, SocketType::DGRAM, None).unwrap()),
            PING => Some(socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP)).unwrap()),
            FRAMES => Some(packet_socket()),
            GROW => {
                set_mtu(40_000);
                None
            }
            other => panic!("no such request: {other}"),
        };
        reply(control, made.as_ref().map(AsFd::as_fd));
    }
}

fn reply(control: BorrowedFd<'_>, descriptor: Option<BorrowedFd<'_>>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    rustix::net::sendmsg(control, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty()).unwrap();
}

/// Makes the device `eth0` of this process's network namespace; frames go in and out of what it returns.
pub fn make_tap(mac: &[u8]) -> OwnedFd {
    let tap = std::fs::File::options().read(true).write(true).open("/dev/net/tun").expect("open /dev/net/tun");
    let mut request = interface(DEVICE);
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;
    control(tap.as_fd(), libc::TUNSETIFF as _, &mut request);
    let mut request = interface(DEVICE);
    // SAFETY: all zeros is an address.
    let mut address: libc::sockaddr = unsafe { std::mem::zeroed() };
    address.sa_family = libc::ARPHRD_ETHER;
    for (to, from) in address.sa_data.iter_mut().zip(mac) {
        *to = *from as _;
    }
    request.ifr_ifru.ifru_hwaddr = address;
    on_any_socket(libc::SIOCSIFHWADDR as _, &mut request);
    set_mtu(9001);
    tap.into()
}

fn set_mtu(bytes: i32) {
    let mut request = interface(DEVICE);
    request.ifr_ifru.ifru_mtu = bytes;
    on_any_socket(libc::SIOCSIFMTU as _, &mut request);
}

/// Brings up this process's network namespace, with these addresses and a default route.
pub fn configure(addresses: &[Ipv4Addr], prefix: u32, router: Ipv4Addr) {
    // Anybody may ping: whether ICMP sockets work is this file's setting.
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
    // Nobody else has its addresses: those of IPv6, too, hold at once.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{}/accept_dad", str::from_utf8(DEVICE).unwrap()), "0");
    bring_up(b"lo");
    for (index, address) in addresses.iter().enumerate() {
        let prefix = if index == 0 { prefix } else { 32 };
        let mask = Ipv4Addr::from_bits(u32::MAX << (32 - prefix));
        for (code, address) in [(libc::SIOCSIFADDR, *address), (libc::SIOCSIFNETMASK, mask)] {
            let name = if index == 0 { DEVICE.to_vec() } else { format!("eth0:{index}").into_bytes() };
            let mut request = interface(&name);
            request.ifr_ifru.ifru_addr = socket_address(address);
            on_any_socket(code as _, &mut request);
        }
    }
    bring_up(DEVICE);
    // SAFETY: all zeros is a route.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(router);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    on_any_socket(libc::SIOCADDRT as _, &mut route);
}

/// An address of a device (`struct in6_ifreq` of `linux/ipv6.h`).
#[repr(C)]
struct Address6 {
    address: libc::in6_addr,
    prefix: u32,
    index: libc::c_int,
}

/// A route (`struct in6_rtmsg` of `linux/ipv6_route.h`).
#[repr(C)]
struct Route6 {
    destination: libc::in6_addr,
    source: libc::in6_addr,
    gateway: libc::in6_addr,
    kind: u32,
    destination_prefix: u16,
    source_prefix: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    index: libc::c_int,
}

/// Gives the device of this process's network namespace these addresses of IPv6 too, and a default route.
pub fn configure6(addresses: &[Ipv6Addr], prefix: u32, router: Ipv6Addr) {
    let raw = |address: Ipv6Addr| libc::in6_addr { s6_addr: address.octets() };
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let mut device = interface(DEVICE);
    control(socket.as_fd(), libc::SIOCGIFINDEX as _, &mut device);
    // SAFETY: the call above has filled in the index.
    let index = unsafe { device.ifr_ifru.ifru_ifindex };
    for (number, address) in addresses.iter().enumerate() {
        let prefix = if number == 0 { prefix } else { 128 };
        let mut request = Address6 { address: raw(*address), prefix, index };
        control(socket.as_fd(), libc::SIOCSIFADDR as _, &mut request);
    }
    let mut route = Route6 {
        destination: raw(Ipv6Addr::UNSPECIFIED),
        source: raw(Ipv6Addr::UNSPECIFIED),
        gateway: raw(router),
        kind: 0,
        destination_prefix: 0,
        source_prefix: 0,
        metric: 1,
        info: 0,
        flags: (libc::RTF_UP | libc::RTF_GATEWAY).into(),
        index,
    };
    control(socket.as_fd(), libc::SIOCADDRT as _, &mut route);
    // The kernel takes a moment to find that nobody is asked about them; before, it would speak as another of its addresses.
    while std::fs::read_to_string("/proc/net/if_inet6").unwrap().lines().any(is_tentative) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a line of `/proc/net/if_inet6` is of an address that doesn't hold yet (`linux/if_addr.h`).
fn is_tentative(line: &str) -> bool {
    let flags = line.split_whitespace().nth(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
    flags.is_some_and(|flags| flags & libc::IFA_F_TENTATIVE != 0)
}

fn bring_up(name: &[u8]) {
    let mut request = interface(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    on_any_socket(libc::SIOCSIFFLAGS as _, &mut request);
}

fn packet_socket() -> OwnedFd {
    let all = i32::from((libc::ETH_P_ALL as u16).to_be());
    // SAFETY: the call takes no pointers.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, all) };
    assert!(socket >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: it was just opened, and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let mut request = interface(DEVICE);
    control(socket.as_fd(), libc::SIOCGIFINDEX as _, &mut request);
    // SAFETY: all zeros is an address, and the call above has filled in the index.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: the call above has filled in the index.
    address.sll_ifindex = unsafe { request.ifr_ifru.ifru_ifindex };
    // SAFETY: address and length are those of a live value.
    let bound =
        unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    socket
}

fn interface(name: &[u8]) -> libc::ifreq {
    // SAFETY: all zeros is a request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = *from as _;
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: all zeros is an address.
    let mut raw: libc::sockaddr = unsafe { std::mem::zeroed() };
    raw.sa_family = libc::AF_INET as u16;
    for (to, from) in raw.sa_data[2..].iter_mut().zip(address.octets()) {
        *to = from as _;
    }
    raw
}

fn on_any_socket<T>(code: libc::c_ulong, request: &mut T) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    control(socket.as_fd(), code, request);
}

fn control<T>(descriptor: BorrowedFd<'_>, code: libc::c_ulong, request: &mut T) {
    // SAFETY: each caller passes the structure that its request takes.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), code as _, std::ptr::from_mut(request)) };
    assert!(result >= 0, "ioctl {code:#x}: {}", std::io::Error::last_os_error());
}

use super::*;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

const OWN: Ipv4Addr = Ipv4Addr::new(10, 1, 6, 5);
const SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 6, 1);

fn nic() -> Nic {
    Nic {
        id: "eni-1".to_owned(),
        vpc: "vpc-1".to_owned(),
        mac: [2, 0, 0, 0, 0, 5],
        addresses: vec![OWN, Ipv4Addr::new(10, 1, 6, 50)],
        subnet: (Ipv4Addr::new(10, 1, 6, 0), 23),
        ipv6: Vec::new(),
        subnet6: None,
    }
}

fn message(kind: u8, flags: u8, current: Ipv4Addr, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = vec![0; FIXED];
    message[..3].copy_from_slice(&[REQUEST, 1, 6]);
    message[4..8].copy_from_slice(&[1, 2, 3, 4]);
    message[10] = flags;
    message[12..16].copy_from_slice(&current.octets());
    message[28..34].copy_from_slice(&nic().mac);
    message.extend(COOKIE);
    for (code, value) in [(option::KIND, &[kind][..])].iter().chain(options) {
        message.extend([*code, value.len() as u8]);
        message.extend(*value);
    }
    message.push(option::END);
    message
}

/// What an answer says: kind, the address that it gives, to whom it goes, and the options.
struct Said {
    kind: u8,
    given: Ipv4Addr,
    to: ([u8; 6], Ipv4Addr),
    options: Vec<(u8, Vec<u8>)>,
}

impl Said {
    fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(of, _)| *of == code).map(|(_, value)| value.as_slice())
    }
}

fn ask(message: &[u8]) -> Option<Said> {
    say(answer(&nic(), &DhcpOptions::amazon("ec2.internal"), message)?)
}

/// What a frame says.
fn say(frame: Vec<u8>) -> Option<Said> {
    let packet = SlicedPacket::from_ethernet(&frame).unwrap();
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport) else { panic!() };
    assert_eq!((ip.header().source_addr(), udp.source_port(), udp.destination_port()), (SERVER_ADDRESS, 67, 68));
    let reply = udp.payload();
    assert!(reply.len() >= 300 && reply[4..8] == [1, 2, 3, 4] && reply[28..34] == nic().mac);
    let mut options = Vec::new();
    let mut rest = &reply[FIXED + 4..];
    while rest[0] != option::END {
        let length = usize::from(rest[1]);
        options.push((rest[0], rest[2..2 + length].to_vec()));
        rest = &rest[2 + length..];
    }
    let given = Ipv4Addr::from(*reply[16..20].first_chunk::<4>().unwrap());
    let to = (*frame[..6].first_chunk().unwrap(), ip.header().destination_addr());
    let mut said = Said { kind: 0, given, to, options };
    said.kind = said.option(option::KIND).unwrap()[0];
    Some(said)
}

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ALL: ([u8; 6], Ipv4Addr) = ([0xff; 6], Ipv4Addr::BROADCAST);

#[test]
fn a_machine_is_offered_and_given_what_its_interface_has() {
    let offer = ask(&message(1, 0, NOBODY, &[])).unwrap();
    assert_eq!((offer.kind, offer.given, offer.to), (2, OWN, (nic().mac, OWN)));
    let wanted: [(u8, &[u8]); 2] = [(option::WANTED, &OWN.octets()), (option::SERVER, &SERVER_ADDRESS.octets())];
    let given = ask(&message(3, BROADCAST, NOBODY, &wanted)).unwrap();
    assert_eq!((given.kind, given.given, given.to), (5, OWN, ALL));
    for (code, value) in [
        (option::MASK, &[255, 255, 254, 0][..]),
        (option::BROADCAST, &[10, 1, 7, 255]),
        (option::ROUTER, &[10, 1, 6, 1]),
        (option::SERVER, &[10, 1, 6, 1]),
        (option::NAME_SERVER, &[10, 1, 6, 2]),
        (option::DOMAIN, b"ec2.internal"),
        (option::HOST_NAME, b"ip-10-1-6-5"),
        (option::MTU, &9001u16.to_be_bytes()),
        (option::LEASE, &3600u32.to_be_bytes()),
        (option::RENEWAL, &1800u32.to_be_bytes()),
        (option::REBINDING, &3150u32.to_be_bytes()),
    ] {
        assert_eq!(given.option(code), Some(value), "{code}");
    }
}

#[test]
fn a_vpc_may_have_options_of_its_own() {
    let servers = [[10, 2, 5, 1].into(), [10, 2, 5, 2].into()];
    let told = DhcpOptions {
        domain: None,
        name_servers: vec![Some(servers[0]), None],
        time_servers: servers.to_vec(),
        netbios_servers: vec![servers[1]],
        netbios_node: Some(2),
    };
    let given = say(answer(&nic(), &told, &message(1, 0, NOBODY, &[])).unwrap()).unwrap();
    for (code, value) in [
        (option::NAME_SERVER, Some(&[10, 2, 5, 1, 10, 1, 6, 2][..])),
        (option::TIME_SERVER, Some(&[10, 2, 5, 1, 10, 2, 5, 2])),
        (option::NETBIOS_SERVER, Some(&[10, 2, 5, 2])),
        (option::NETBIOS_NODE, Some(&[2])),
        (option::DOMAIN, None),
    ] {
        assert_eq!(given.option(code), value, "{code}");
    }
}

#[test]
fn a_lease_is_renewed_where_the_machine_is() {
    let renewed = ask(&message(3, 0, OWN, &[])).unwrap();
    assert_eq!((renewed.kind, renewed.given, renewed.to), (5, OWN, (nic().mac, OWN)));
}

#[test]
fn another_address_is_refused_to_all_who_hear() {
    let other = [10, 1, 6, 77];
    for (current, options) in [(NOBODY, &[(option::WANTED, &other[..])][..]), (other.into(), &[])] {
        let refused = ask(&message(3, 0, current, options)).unwrap();
        assert_eq!((refused.kind, refused.given, refused.to), (6, NOBODY, ALL));
        assert_eq!(refused.option(option::ROUTER), None);
    }
}

#[test]
fn who_only_asks_gets_no_lease() {
    let current = Ipv4Addr::new(10, 1, 6, 50);
    let told = ask(&message(8, 0, current, &[])).unwrap();
    assert_eq!((told.kind, told.given, told.to), (5, NOBODY, (nic().mac, current)));
    assert_eq!(told.option(option::LEASE), None);
    assert_eq!(told.option(option::NAME_SERVER), Some(&[10, 1, 6, 2][..]));
}

#[test]
fn what_is_not_for_this_server_is_not_answered() {
    let good = message(1, 0, NOBODY, &[]);
    let with = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] = byte;
        ask(&message).is_some()
    };
    assert!(with(4, 1));
    assert!(
        !with(0, REPLY) && !with(1, 2) && !with(28, 3) && !with(FIXED, 0) && !with(FIXED + 6, 4) && !with(FIXED + 6, 7)
    );
    assert!(ask(&message(3, 0, NOBODY, &[(option::SERVER, &[10, 1, 6, 9])])).is_none());
    assert!(ask(&good[..good.len() - 2]).is_none());
}

proptest! {
    #[test]
    fn no_message_breaks_it(
        start in prop::collection::vec(any::<u8>(), 0..60),
        options in prop::collection::vec(any::<u8>(), 0..300),
        domain in "[a-z.]{0,300}",
    ) {
        let mut broken = message(3, 0, OWN, &[]);
        broken.truncate(FIXED + 7);
        broken.extend(&options);
        let told = DhcpOptions::amazon(domain);
        let _ = answer(&nic(), &told, &broken);
        broken[..start.len()].copy_from_slice(&start);
        let _ = answer(&nic(), &told, &broken);
        let _ = answer(&nic(), &told, &options);
    }
}

use super::*;
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};
use proptest::prelude::*;
use smoltcp::time::Duration;

const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 6);
const START: Instant = Instant::from_micros_const(1000);

/// The flags of a TCP packet.
#[derive(Clone, Copy, PartialEq)]
enum Flag {
    Syn,
    SynAck,
    Ack,
    Fin,
    Rst,
}

fn tcp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), flag: Flag) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from.0.octets(), to.0.octets(), 64).tcp(from.1, to.1, 7, 1000);
    let builder = match flag {
        Flag::Syn => builder.syn(),
        Flag::SynAck => builder.syn().ack(1),
        Flag::Ack => builder.ack(1),
        Flag::Fin => builder.fin().ack(1),
        Flag::Rst => builder.rst(),
    };
    let mut packet = Vec::new();
    builder.write(&mut packet, b"").unwrap();
    packet
}

fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.0.octets(), to.0.octets(), 64).udp(from.1, to.1).write(&mut packet, b"?").unwrap();
    packet
}

fn icmp(from: Ipv4Addr, to: Ipv4Addr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).icmpv4_raw(kind, code, [0, 9, 0, 1]);
    builder.write(&mut packet, rest).unwrap();
    packet
}

fn rule(direction: Direction, traffic: Traffic, peer: Peer) -> Rule {
    Rule { direction, traffic, peer }
}

fn network(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Peer {
    Peer::Network(Ipv4Addr::new(a, b, c, d), prefix)
}

fn filter(rules: impl IntoIterator<Item = Rule>) -> Filter {
    let mut filter = Filter::default();
    filter.set(Vec::new(), rules.into_iter().collect());
    filter
}

impl Filter {
    fn enters(&mut self, packet: &[u8]) -> bool {
        self.admits(Direction::Ingress, packet, Far::ELSEWHERE, START)
    }

    fn leaves(&mut self, packet: &[u8]) -> bool {
        self.admits(Direction::Egress, packet, Far::ELSEWHERE, START)
    }
}

#[test]
fn what_no_rule_admits_is_dropped() {
    let mut filter = Filter::default();
    for packet in
        [tcp((OTHER, 1), (MACHINE, 22), Flag::Syn), udp((OTHER, 1), (MACHINE, 53)), icmp(OTHER, MACHINE, 8, 0, b"")]
    {
        assert!(!filter.enters(&packet) && !filter.leaves(&packet));
    }
}

#[test]
fn answers_pass_because_of_their_questions() {
    let mut filter = filter([rule(Direction::Ingress, Traffic::All, network(10, 0, 1, 0, 24))]);
    for (question, answer) in [
        (tcp((OTHER, 9), (MACHINE, 22), Flag::Syn), tcp((MACHINE, 22), (OTHER, 9), Flag::SynAck)),
        (udp((OTHER, 9), (MACHINE, 53)), udp((MACHINE, 53), (OTHER, 9))),
        (icmp(OTHER, MACHINE, 8, 0, b""), icmp(MACHINE, OTHER, 0, 0, b"")),
    ] {
        assert!(!filter.leaves(&answer), "nobody has asked");
        assert!(filter.enters(&question));
        assert!(filter.leaves(&answer));
        assert!(!filter.leaves(&question), "the machine may not ask");
    }
    assert!(!filter.leaves(&tcp((MACHINE, 22), (OTHER, 9), Flag::Syn)), "a connection of its own, by the same ports");
    assert!(!filter.leaves(&icmp(MACHINE, OTHER, 8, 0, b"")), "a question of its own, by the same id");
}

#[test]
fn icmp_goes_by_type_and_code() {
    let mut filter = filter([
        rule(Direction::Ingress, Traffic::Icmp(Some(8), None), network(10, 0, 0, 0, 8)),
        rule(Direction::Ingress, Traffic::Icmp(Some(5), Some(1)), network(10, 0, 0, 0, 8)),
        rule(Direction::Ingress, Traffic::Icmp(None, Some(7)), network(10, 0, 0, 0, 8)),
        rule(Direction::Ingress, Traffic::Protocol(1), network(10, 9, 9, 9, 32)),
    ]);
    assert!(filter.enters(&icmp(OTHER, MACHINE, 8, 0, b"")));
    assert!(filter.enters(&icmp(OTHER, MACHINE, 8, 3, b"")));
    assert!(filter.enters(&icmp(OTHER, MACHINE, 5, 1, b"")));
    assert!(!filter.enters(&icmp(OTHER, MACHINE, 5, 0, b"")));
    assert!(!filter.enters(&icmp(OTHER, MACHINE, 13, 0, b"")));
    assert!(filter.enters(&icmp(OTHER, MACHINE, 13, 7, b"")));
    assert!(!filter.enters(&icmp(OTHER, MACHINE, 9, 7, b"")), "what steers has to be named");
    assert!(!filter.enters(&icmp([10, 9, 9, 9].into(), MACHINE, 4, 0, b"")));
}

#[test]
fn members_of_a_group_are_known_by_it() {
    let mut filter = filter([rule(Direction::Ingress, Traffic::Tcp(22..=22), Peer::Group("sg-1".into()))]);
    let packet = tcp((OTHER, 9), (MACHINE, 22), Flag::Syn);
    let mut by = |groups: &[&str]| {
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        filter.admits(Direction::Ingress, &packet, Far { port: None, groups: &groups }, START)
    };
    assert!(!by(&[]) && !by(&["sg-2"]));
    assert!(by(&["sg-2", "sg-1"]));
}

#[test]
fn the_host_is_known_by_either_of_its_addresses() {
    let host = Ipv4Addr::new(203, 0, 113, 7);
    let admits = |peer| filter([rule(Direction::Ingress, Traffic::All, peer)]).enters(&udp((host, 9), (MACHINE, 22)));
    assert!(admits(network(203, 0, 113, 0, 24)) && admits(network(127, 0, 0, 1, 32)) && admits(network(0, 0, 0, 0, 0)));
    assert!(!admits(network(127, 0, 0, 2, 32)) && !admits(network(10, 0, 0, 0, 8)));
}

#[test]
fn a_tracked_connection_outlives_its_rule_and_a_new_one_doesnt_come() {
    let mut filter = filter([rule(Direction::Ingress, Traffic::Tcp(22..=22), network(10, 0, 0, 0, 8))]);
    assert!(filter.enters(&tcp((OTHER, 9), (MACHINE, 22), Flag::Syn)));
    filter.set(Vec::new(), Vec::new());
    for _ in 0..3 {
        assert!(filter.leaves(&tcp((MACHINE, 22), (OTHER, 9), Flag::Ack)));
        assert!(filter.enters(&tcp((OTHER, 9), (MACHINE, 22), Flag::Ack)));
    }
    assert!(!filter.enters(&tcp((OTHER, 9), (MACHINE, 22), Flag::Syn)), "a new one by the same ports");
    assert!(!filter.enters(&tcp((OTHER, 10), (MACHINE, 22), Flag::Ack)), "another one");
}

/// As AWS's page has it: open to all the world, and all may leave.
#[test]
fn an_untracked_connection_is_cut_with_its_rule() {
    let egress = rule(Direction::Egress, Traffic::All, network(0, 0, 0, 0, 0));
    let mut filter = filter([rule(Direction::Ingress, Traffic::Tcp(22..=22), network(0, 0, 0, 0, 0)), egress.clone()]);
    assert!(filter.enters(&tcp((OTHER, 9), (MACHINE, 22), Flag::Syn)));
    assert!(filter.leaves(&tcp((MACHINE, 22), (OTHER, 9), Flag::SynAck)));
    filter.set(Vec::new(), vec![egress]);
    assert!(!filter.enters(&tcp((OTHER, 9), (MACHINE, 22), Flag::Ack)));
    assert!(filter.leaves(&tcp((MACHINE, 22), (OTHER, 9), Flag::Ack)));
    assert!(!filter.enters(&tcp((OTHER, 9), (MACHINE, 22), Flag::Ack)), "what the machine says again revives it not");
}

#[test]
fn complaints_belong_to_what_they_complain_about() {
    let mut filter = filter([rule(Direction::Egress, Traffic::Udp(53..=53), network(10, 0, 1, 0, 24))]);
    let (asked, unasked) = (udp((MACHINE, 9), (OTHER, 53)), udp((MACHINE, 9), (OTHER, 54)));
    let router = Ipv4Addr::new(10, 0, 0, 1);
    assert!(filter.leaves(&asked));
    assert!(filter.enters(&icmp(router, MACHINE, 3, 3, &asked)));
    assert!(!filter.enters(&icmp(router, MACHINE, 3, 3, &unasked)));
    assert!(!filter.enters(&icmp(router, MACHINE, 3, 3, b"nonsense")));
    let mut enters = |seconds| {
        let now = START + Duration::from_secs(seconds);
        filter.admits(Direction::Ingress, &icmp(router, MACHINE, 3, 3, &asked), Far::ELSEWHERE, now)
    };
    assert!(enters(29) && !enters(30), "as long as that is remembered");
}

#[test]
fn silence_ends_a_connection() {
    let mut filter = filter([rule(Direction::Ingress, Traffic::All, network(10, 0, 0, 0, 8))]);
    let (question, answer) = (udp((OTHER, 9), (MACHINE, 53)), udp((MACHINE, 53), (OTHER, 9)));
    let at = |seconds| START + Duration::from_secs(seconds);
    assert!(filter.admits(Direction::Ingress, &question, Far::ELSEWHERE, at(0)));
    assert!(filter.admits(Direction::Egress, &answer, Far::ELSEWHERE, at(29)));
    assert!(filter.admits(Direction::Egress, &answer, Far::ELSEWHERE, at(58)), "a stream from here on");
    assert!(filter.admits(Direction::Egress, &answer, Far::ELSEWHERE, at(58 + 179)));
    assert!(!filter.admits(Direction::Egress, &answer, Far::ELSEWHERE, at(58 + 179 + 181)));
}

#[test]
fn a_finished_connection_is_soon_forgotten() {
    let at = |seconds| START + Duration::from_secs(seconds);
    for end in
        [&[(Direction::Egress, Flag::Fin), (Direction::Ingress, Flag::Fin)][..], &[(Direction::Egress, Flag::Rst)]]
    {
        let mut filter = filter([rule(Direction::Ingress, Traffic::All, network(10, 0, 0, 0, 8))]);
        assert!(filter.enters(&tcp((OTHER, 9), (MACHINE, 22), Flag::Syn)));
        assert!(filter.leaves(&tcp((MACHINE, 22), (OTHER, 9), Flag::SynAck)));
        assert!(filter.enters(&tcp((OTHER, 9), (MACHINE, 22), Flag::Ack)));
        let ack = tcp((MACHINE, 22), (OTHER, 9), Flag::Ack);
        assert!(filter.admits(Direction::Egress, &ack, Far::ELSEWHERE, at(400_000)));
        for (direction, flag) in end {
            let (from, to) = match direction {
                Direction::Ingress => ((OTHER, 9), (MACHINE, 22)),
                Direction::Egress => ((MACHINE, 22), (OTHER, 9)),
            };
            assert!(filter.admits(*direction, &tcp(from, to, *flag), Far::ELSEWHERE, at(400_000)));
        }
        assert!(!filter.admits(Direction::Egress, &ack, Far::ELSEWHERE, at(400_061)));
    }
}

#[test]
fn only_so_many_are_tracked_and_room_is_made() {
    let mut filter = filter([rule(Direction::Ingress, Traffic::All, network(10, 0, 0, 0, 8))]);
    let question = |number: u32| udp((Ipv4Addr::from_bits(0x0a01_0000 + number), 9), (MACHINE, 53));
    assert!((0..65_536).all(|number| filter.enters(&question(number))));
    assert!(!filter.enters(&question(65_536)));
    assert!(filter.enters(&question(7)), "one that is known");
    assert!(filter.admits(Direction::Ingress, &question(65_536), Far::ELSEWHERE, START + Duration::from_secs(31)));
}

/// Who asks has not got the answer yet, and may be somebody who lies about wanting one.
#[test]
fn a_connection_is_half_open_until_the_one_who_opens_it_answers_the_answer() {
    let at = |seconds| START + Duration::from_secs(seconds);
    let inwards = |flag| tcp((OTHER, 9), (MACHINE, 22), flag);
    let outwards = |flag| tcp((MACHINE, 22), (OTHER, 9), flag);
    let is_kept = |after: &[(Direction, Flag)], seconds| {
        let mut filter = filter([rule(Direction::Ingress, Traffic::All, network(10, 0, 0, 0, 8))]);
        assert!(filter.enters(&inwards(Flag::Syn)));
        for (direction, flag) in after {
            let packet = if *direction == Direction::Ingress { inwards(*flag) } else { outwards(*flag) };
            assert!(filter.admits(*direction, &packet, Far::ELSEWHERE, START));
        }
        filter.admits(Direction::Egress, &outwards(Flag::Ack), Far::ELSEWHERE, at(seconds))
    };
    let (answer, agreed) = ((Direction::Egress, Flag::SynAck), (Direction::Ingress, Flag::Ack));
    for half_open in [&[answer][..], &[answer, answer], &[agreed], &[agreed, answer]] {
        assert!(is_kept(half_open, 119) && !is_kept(half_open, 120));
    }
    assert!(is_kept(&[answer, agreed], 431_999) && !is_kept(&[answer, agreed], 432_000));
    for side in [Direction::Ingress, Direction::Egress] {
        let half_closed = [answer, agreed, (side, Flag::Fin)];
        assert!(is_kept(&half_closed, 599) && !is_kept(&half_closed, 600), "one side has no more to say");
    }
    assert!(!is_kept(&[answer, (Direction::Egress, Flag::Fin)], 120), "nor is that an end of it");
}

#[test]
fn nobody_outside_has_all_the_room() {
    const SHARE: u32 = 16_384;
    let mut filter = filter([rule(Direction::Ingress, Traffic::All, network(10, 0, 0, 0, 8))]);
    let question = |from: Ipv4Addr, number: u32| udp((from, 9), (Ipv4Addr::from_bits(0x0a02_0000 + number), 53));
    let far = Far { port: Some(7), groups: &[] };
    let other = |number: u32| Ipv4Addr::from_bits(0x0a01_0000 + number);
    assert!((0..SHARE).all(|number| filter.enters(&question(OTHER, number))));
    assert!(!filter.enters(&question(OTHER, SHARE)), "an address has its share");
    // A machine of the VPC has one share, whatever addresses it speaks as.
    let mut by_port = |number| filter.admits(Direction::Ingress, &question(other(number), 0), far, START);
    assert!((0..SHARE).all(&mut by_port) && !by_port(SHARE));
    assert!(filter.enters(&question(other(SHARE), 0)), "somebody else");
    assert!(filter.enters(&question(OTHER, 7)), "one that is known");
    let later = START + Duration::from_secs(31);
    assert!(filter.admits(Direction::Ingress, &question(OTHER, SHARE), Far::ELSEWHERE, later), "others are over");
    assert!(filter.admits(Direction::Ingress, &question(other(SHARE), 1), far, later));
}

#[test]
fn what_a_machine_begins_itself_is_nobodys_share() {
    let mut filter = filter([rule(Direction::Egress, Traffic::All, network(10, 0, 0, 0, 8))]);
    assert!((0..20_000).all(|port| filter.leaves(&udp((MACHINE, port), (OTHER, 53)))));
}

#[test]
fn a_machine_that_is_gone_is_forgotten() {
    let all = |direction, traffic| rule(direction, traffic, network(10, 0, 0, 0, 8));
    let mut filter = filter([all(Direction::Ingress, Traffic::All), all(Direction::Egress, Traffic::Udp(1..=1))]);
    let behind: Ipv4Addr = [10, 8, 0, 7].into();
    let (port, answer) = (Some(7), |to| udp((MACHINE, 53), (to, 9)));
    let far = Far { port, groups: &[] };
    let stranger: Ipv4Addr = [10, 0, 1, 9].into();
    for from in [OTHER, behind, stranger] {
        let far = if from == stranger { Far::ELSEWHERE } else { far };
        assert!(filter.admits(Direction::Ingress, &udp((from, 9), (MACHINE, 53)), far, START));
        assert!(filter.leaves(&answer(from)));
    }
    assert!(filter.admits(Direction::Ingress, &beginning(1, 53), far, START));
    filter.forget(port, &[OTHER.into()]);
    assert!(!filter.leaves(&answer(OTHER)), "its own address");
    assert!(!filter.leaves(&answer(behind)), "one that it spoke as");
    assert!(filter.leaves(&answer(stranger)));
    assert!(!filter.admits(Direction::Ingress, &fragment(1, (1, false), &[0; 8]), far, START));
    // Anyone who has an address that is no machine's of the VPC.
    filter.forget(None, &[stranger.into()]);
    assert!(!filter.leaves(&answer(stranger)));
}

#[test]
fn a_machine_that_speaks_as_another_writes_nothing_into_its_packets() {
    let mut filter = filter([rule(Direction::Ingress, Traffic::All, network(0, 0, 0, 0, 0))]);
    let [honest, liar] = [7, 8].map(|port| Far { port: Some(port), groups: &[] });
    let later = fragment(1, (1, false), &[0; 8]);
    assert!(filter.admits(Direction::Ingress, &beginning(1, 53), honest, START));
    assert!(!filter.admits(Direction::Ingress, &later, liar, START));
    assert!(!filter.admits(Direction::Ingress, &later, Far::ELSEWHERE, START));
    assert!(filter.admits(Direction::Ingress, &later, honest, START));
}

/// A part of a UDP datagram from the other one: bytes at an offset of so many times eight.
fn fragment(identification: u16, (offset, more): (u16, bool), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut header = Ipv4Header::new(length, 64, IpNumber::UDP, OTHER.octets(), MACHINE.octets()).unwrap();
    header.identification = identification;
    header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
    header.more_fragments = more;
    [header.to_bytes().as_slice(), payload].concat()
}

/// The beginning of a datagram to a port.
fn beginning(identification: u16, port: u8) -> Vec<u8> {
    fragment(identification, (0, true), &[0, 9, 0, port, 0, 24, 0, 0])
}

#[test]
fn later_fragments_follow_their_first_for_half_a_minute() {
    let mut filter = filter([rule(Direction::Ingress, Traffic::Udp(53..=53), network(0, 0, 0, 0, 0))]);
    let (later, end) = (|id| fragment(id, (1, true), &[0; 8]), |id| fragment(id, (2, false), &[0; 8]));
    assert!(!filter.enters(&later(1)), "none came");
    assert!(!filter.enters(&beginning(1, 54)) && !filter.enters(&later(1)), "it was refused");
    assert!(filter.enters(&beginning(1, 53)) && !filter.enters(&later(2)) && filter.enters(&later(1)));
    assert!(filter.enters(&end(1)) && !filter.enters(&end(1)), "one end");
    assert!(filter.enters(&beginning(3, 53)) && !filter.enters(&end(3)) && !filter.enters(&later(3)), "out of order");
    assert!(filter.enters(&beginning(4, 53)) && !filter.enters(&beginning(4, 54)) && !filter.enters(&later(4)));
    assert!(filter.enters(&beginning(5, 53)));
    let at = |seconds| START + Duration::from_secs(seconds);
    assert!(filter.admits(Direction::Ingress, &later(5), Far::ELSEWHERE, at(29)));
    assert!(!filter.admits(Direction::Ingress, &end(5), Far::ELSEWHERE, at(30)), "it took too long");
    assert!(!filter.leaves(&later(5)), "each way has its own");
}

#[test]
fn only_so_many_packets_may_be_on_their_way_in_pieces() {
    let mut filter = filter([rule(Direction::Ingress, Traffic::All, network(0, 0, 0, 0, 0))]);
    for identification in 0..=256 {
        assert!(filter.enters(&beginning(identification, 53)));
    }
    assert!(!filter.enters(&fragment(0, (1, true), &[0; 8])), "it had begun first");
    assert!((1..=256).all(|identification| filter.enters(&fragment(identification, (1, false), &[0; 8]))));
}

#[test]
fn flows_that_arent_tracked_are_remembered_for_errors_for_a_minute() {
    let open = |direction| rule(direction, Traffic::All, network(0, 0, 0, 0, 0));
    let mut filter =
        filter([open(Direction::Egress), rule(Direction::Ingress, Traffic::Tcp(0..=u16::MAX), network(0, 0, 0, 0, 0))]);
    let sent = tcp((MACHINE, 9), (OTHER, 80), Flag::Syn);
    let error = icmp(OTHER, MACHINE, 3, 1, &sent);
    assert!(!filter.enters(&error));
    assert!(filter.leaves(&sent) && filter.enters(&error));
    let at = |seconds| START + Duration::from_secs(seconds);
    assert!(filter.admits(Direction::Ingress, &error, Far::ELSEWHERE, at(59)));
    assert!(!filter.admits(Direction::Ingress, &error, Far::ELSEWHERE, at(60)));
    assert!(filter.leaves(&sent) && filter.enters(&error));
    filter.set(Vec::new(), Vec::new());
    assert!(!filter.enters(&error), "what the rules don't admit any more");
}

#[test]
fn nobody_complains_about_what_never_came() {
    let all = |direction| rule(direction, Traffic::All, network(0, 0, 0, 0, 0));
    let mut filter = filter([all(Direction::Egress), all(Direction::Ingress)]);
    let theirs = udp((OTHER, 9), (MACHINE, 53));
    let error = icmp(MACHINE, OTHER, 3, 3, &theirs);
    assert!(!filter.leaves(&error));
    assert!(filter.leaves(&udp((MACHINE, 53), (OTHER, 9))) && !filter.leaves(&error), "it went the other way");
    assert!(filter.enters(&theirs) && filter.leaves(&error));
    assert!(!filter.leaves(&icmp(MACHINE, OTHER, 3, 3, &udp((OTHER, 8), (MACHINE, 53)))), "another flow");
}

fn any_traffic() -> impl Strategy<Value = Traffic> {
    prop_oneof![
        Just(Traffic::All),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Traffic::Tcp(a.min(b)..=a.max(b))),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Traffic::Udp(a.min(b)..=a.max(b))),
        (any::<Option<u8>>(), any::<Option<u8>>()).prop_map(|(kind, code)| Traffic::Icmp(kind, code)),
        any::<u8>().prop_map(Traffic::Protocol),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    let peer = prop_oneof![
        // Near the other one's address, so that some match.
        (0u32..1024, 0u8..=32)
            .prop_map(|(bits, prefix)| Peer::Network(Ipv4Addr::from_bits(OTHER.to_bits() ^ bits), prefix)),
        "sg-[12]".prop_map(Peer::Group),
    ];
    (direction, any_traffic(), peer).prop_map(|(direction, traffic, peer)| Rule { direction, traffic, peer })
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes: Vec<u8>, rules in proptest::collection::vec(any_rule(), 0..4)) {
        let mut filter = filter(rules);
        filter.enters(&bytes);
        filter.leaves(&bytes);
    }

    #[test]
    fn no_change_of_a_packet_breaks_it(at in 0usize..64, byte: u8, cut in 0usize..64) {
        let mut packet = icmp(OTHER, MACHINE, 3, 3, &udp((MACHINE, 9), (OTHER, 53)));
        let length = packet.len();
        packet[at % length] = byte;
        let _ = packet::parse(&packet);
        let _ = packet::parse(&packet[..cut % length]);
    }

    /// A rule says the same as its words: ports from and to, a network's first bits, a group's name.
    #[test]
    fn a_new_connection_comes_in_exactly_if_a_rule_says_so(
        rules in proptest::collection::vec(any_rule(), 0..4), port: u16, groups in proptest::collection::vec("sg-[123]", 0..3),
    ) {
        let expected = rules.iter().any(|rule| {
            let traffic = match &rule.traffic {
                Traffic::All | Traffic::Protocol(6) => true,
                Traffic::Tcp(ports) => *ports.start() <= port && port <= *ports.end(),
                _ => false,
            };
            let peer = match &rule.peer {
                Peer::Network(address, prefix) => (0..*prefix).all(|bit| {
                    let bit = 1u32 << (31 - bit);
                    address.to_bits() & bit == OTHER.to_bits() & bit
                }),
                Peer::Network6(..) => false,
                Peer::Group(id) => groups.contains(id),
            };
            rule.direction == Direction::Ingress && traffic && peer
        });
        let packet = tcp((OTHER, 9), (MACHINE, port), Flag::Syn);
        prop_assert_eq!(filter(rules).admits(Direction::Ingress, &packet, Far { port: None, groups: &groups }, START), expected);
    }

    /// Whatever the rules are: once it was let in, its answers leave.
    #[test]
    fn the_answer_to_what_was_let_in_leaves(rules in proptest::collection::vec(any_rule(), 1..4), port: u16, is_tcp: bool) {
        let mut filter = filter(rules);
        let (question, answer) = if is_tcp {
            (tcp((OTHER, 9), (MACHINE, port), Flag::Syn), tcp((MACHINE, port), (OTHER, 9), Flag::SynAck))
        } else {
            (udp((OTHER, 9), (MACHINE, port)), udp((MACHINE, port), (OTHER, 9)))
        };
        if filter.enters(&question) {
            prop_assert!(filter.leaves(&answer));
            prop_assert!(filter.enters(&question));
        }
    }
}

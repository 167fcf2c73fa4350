use super::*;
use proptest::prelude::*;

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(encode(name));
    message.extend(kind.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message
}

/// A VPC in Ireland with one machine; another machine stands elsewhere.
struct Ireland(String);

impl Zone for Ireland {
    fn domain(&self) -> String {
        self.0.clone()
    }

    fn public(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        match address.octets() {
            [127, 1, 2, 3] => Some(Ipv4Addr::new(10, 0, 0, 5)),
            [127, 4, 5, 6] => Some(address),
            _ => None,
        }
    }

    fn resource(&self, instance: &str) -> Option<Vec<IpAddr>> {
        let v4 = Ipv4Addr::new(10, 0, 0, 5).into();
        match instance {
            "i-0123456789abcdef0" => Some(vec![v4]),
            "i-0123456789abcdef6" => Some(vec![v4, IpAddr::from([7; 16])]),
            _ => None,
        }
    }
}

fn ireland() -> Ireland {
    Ireland("eu-west-1.compute.internal".to_owned())
}

/// Code, and the data of the record.
fn ask(name: &str, kind: u16) -> (u8, Option<Vec<u8>>) {
    let question = question(name, kind);
    let Answer::Reply(reply) = answer(&question, &ireland()) else { panic!("no answer to {name}") };
    assert_eq!(reply[..2], question[..2]);
    assert_eq!(reply[2..4], [0x81, 0x80 | (reply[3] & 15)]);
    assert_eq!(reply[HEADER..question.len()], question[HEADER..]);
    let record = &reply[question.len()..];
    assert_eq!(usize::from(reply[7]), usize::from(!record.is_empty()));
    (reply[3] & 15, (!record.is_empty()).then(|| record[12..].to_vec()))
}

#[test]
fn names_of_machines_have_their_address() {
    for name in ["ip-10-0-0-5.ec2.internal", "ip-10-0-0-5.eu-west-1.compute.internal", "IP-10-0-0-5.EC2.Internal"] {
        assert_eq!(ask(name, A), (0, Some(vec![10, 0, 0, 5])), "{name}");
        assert_eq!(ask(name, ANY), (0, Some(vec![10, 0, 0, 5])), "{name}");
        assert_eq!(ask(name, 28), (0, None), "no IPv6 address, but the name exists: {name}");
    }
}

#[test]
fn ids_are_names_where_they_are_told_of() {
    let address = Some(vec![10, 0, 0, 5]);
    assert_eq!(ask("i-0123456789abcdef0.eu-west-1.compute.internal", A), (0, address));
    assert_eq!(ask("I-0123456789ABCDEF0.eu-west-1.compute.internal", 28), (0, None));
    let both = "i-0123456789abcdef6.eu-west-1.compute.internal";
    assert_eq!(ask(both, A), (0, Some(vec![10, 0, 0, 5])));
    assert_eq!(ask(both, AAAA), (0, Some(vec![7; 16])));
    for name in ["i-0123456789abcdef1.eu-west-1.compute.internal", "i-0123456789abcdef0.ec2.internal"] {
        assert_eq!(ask(name, A), (3, None), "{name}");
    }
}

#[test]
fn addresses_have_the_name_of_their_region() {
    let name = encode("ip-172-31-0-5.eu-west-1.compute.internal");
    assert_eq!(ask("5.0.31.172.in-addr.arpa", PTR), (0, Some(name)));
    let public = encode("ec2-127-1-2-3.eu-west-1.compute.amazonaws.com");
    assert_eq!(ask("3.2.1.127.in-addr.arpa", PTR), (0, Some(public)));
}

#[test]
fn public_names_mean_the_private_address_within_their_vpc() {
    for domain in ["compute-1.amazonaws.com", "eu-west-1.compute.amazonaws.com"] {
        assert_eq!(ask(&format!("ec2-127-1-2-3.{domain}"), A), (0, Some(vec![10, 0, 0, 5])));
        assert_eq!(ask(&format!("ec2-127-4-5-6.{domain}"), A), (0, Some(vec![127, 4, 5, 6])));
        assert_eq!(ask(&format!("ec2-127-7-8-9.{domain}"), A), (3, None), "nobody's");
    }
}

#[test]
fn the_world_is_asked_for_what_is_its_own_only() {
    let is_elsewhere = |name: &str, kind| matches!(answer(&question(name, kind), &ireland()), Answer::Elsewhere(_));
    for name in [
        "example.com",
        "deb.debian.org",
        "8.8.8.8.in-addr.arpa",
        "ec2-54-1-2-3.compute-1.amazonaws.com",
        "ec2.us-east-1.amazonaws.com",
        "internal.example.com",
        "mylocal.example",
    ] {
        assert!(is_elsewhere(name, A), "{name}");
    }
    assert!(is_elsewhere("com", NS) && is_elsewhere("", DNSKEY));
    assert!(!is_elsewhere("lan", SOA) && !is_elsewhere("10.in-addr.arpa", SOA));
    let mut one_label = question("example com", A);
    one_label[20] = b'.';
    assert!(matches!(answer(&one_label, &ireland()), Answer::Reply(_)), "a label with a dot is one label");
    for name in [
        "printer",
        "com",
        "printer.local",
        "localhost",
        "vm.localhost",
        "metadata.google.internal",
        "router.home.arpa",
        "1.0.0.127.in-addr.arpa",
        "1.1.168.192.in-addr.arpa",
        "254.169.254.169.in-addr.arpa",
        "ec2-127-7-8-9.compute-1.amazonaws.com",
        "PRINTER.LOCAL",
        "168.192.in-addr.arpa",
        "lb._dns-sd._udp.0.1.168.192.in-addr.arpa",
        "1.0.0.d.f.ip6.arpa",
        "_dns.resolver.arpa",
        "nas.lan",
    ] {
        assert!(!is_elsewhere(name, A), "{name}");
    }
}

#[test]
fn the_unknown_does_not_exist() {
    for name in [
        "",
        "localhost",
        "ec2.internal",
        "ip-10-0-0.ec2.internal",
        "ip-10-0-0-5-6.ec2.internal",
        "ip-10-0-0-256.ec2.internal",
        "ip-10-0-0-05.ec2.internal",
        "ip-10-0-0-+5.ec2.internal",
        "ip-10-0-0-5.compute.internal",
        "ip-10-0-0-5.a.b.compute.internal",
    ] {
        assert_eq!(ask(name, A), (3, None), "{name}");
    }
}

#[test]
fn a_name_has_255_bytes_at_most() {
    let name = |last: usize| format!("{}{}.org", format!("{}.", "a".repeat(61)).repeat(4), "b".repeat(last));
    assert_eq!(encode(&name(1)).len(), 255);
    assert!(matches!(answer(&question(&name(1), A), &ireland()), Answer::Elsewhere(_)));
    let Answer::Reply(reply) = answer(&question(&name(2), A), &ireland()) else { panic!("a longer one goes on") };
    assert_eq!(u16::from(reply[3] & 15), FORMAT_ERROR);
}

#[test]
fn what_is_no_question_is_told_so() {
    let good = question("example.com", A);
    let code = |message: &[u8]| match answer(message, &ireland()) {
        Answer::Reply(reply) => Some(reply[3] & 15),
        Answer::Silence => None,
        Answer::Elsewhere(_) => panic!("asked elsewhere"),
    };
    let with = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] = byte;
        code(&message)
    };
    assert_eq!(with(2, 0x81), None, "an answer is not answered");
    assert_eq!(with(2, 0x28), Some(4), "an update");
    assert_eq!(with(5, 2), Some(1), "two questions");
    assert_eq!(with(5, 0), Some(1), "none");
    assert_eq!(with(12, 0xc0), Some(1), "a pointer");
    assert_eq!(with(good.len() - 1, 3), Some(5), "another class");
    assert_eq!(code(&good[..good.len() - 1]), Some(1));
    assert_eq!(code(&good[..11]), None);
}

/// What the host's resolvers are asked, or the code that is answered.
fn asked(message: &[u8]) -> Result<Vec<u8>, Option<u8>> {
    match answer(message, &ireland()) {
        Answer::Elsewhere(question) => Ok(question),
        Answer::Reply(reply) => Err(Some(reply[3] & 15)),
        Answer::Silence => Err(None),
    }
}

/// A question with EDNS: a size, the last four bytes of the record's fixed part, and options.
fn extended(size: u16, flags: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut message = question("Example.com", A);
    message[11] = 1;
    message.extend([0, 0, 41]);
    message.extend(size.to_be_bytes());
    message.extend(flags);
    message.extend((options.len() as u16).to_be_bytes());
    message.extend(options);
    message
}

#[test]
fn only_plain_questions_go_on() {
    let plain = question("Example.com", A);
    assert_eq!(asked(&plain), Ok(plain.clone()), "in the letters in which it was asked");
    let with = |at: usize, byte: u8| {
        let mut message = plain.clone();
        message[at] = byte;
        asked(&message)
    };
    assert_eq!(with(2, 0x00), Err(Some(5)), "what is in the resolver's cache");
    assert_eq!(with(3, 0x30), Ok([&plain[..3], &[0x30], &plain[4..]].concat()), "AD and CD");
    assert_eq!(with(2, 0x07), Ok(plain.clone()), "flags that no question has");
    assert_eq!(with(3, 0xcf), Ok(plain.clone()), "flags that no question has");
    for operation in 1..16 {
        assert_eq!(with(2, operation << 3), Err(Some(4)), "operation {operation}");
    }
    let type_at = plain.len() - 3;
    for kind in (128..=254).chain([0, 41]) {
        assert_eq!(with(type_at, kind), Err(Some(5)), "type {kind}");
    }
    assert_eq!(with(type_at, 255), Err(Some(0)), "all that there is is told in few words");
    for class in [0, 3, 4, 254, 255] {
        assert_eq!(with(plain.len() - 1, class), Err(Some(5)), "class {class}");
    }
    for (at, what) in [(5, "questions"), (7, "answers"), (9, "authorities"), (11, "additional records")] {
        assert_eq!(with(at, 2), Err(Some(1)), "{what}");
    }
    assert_eq!(asked(&[&plain[..], b"more"].concat()), Err(Some(1)), "something after the question");
    // A signature of the whole message (RFC 8945).
    let mut signed = plain.clone();
    signed[11] = 1;
    signed.extend(encode("key"));
    signed.extend([0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
    assert_eq!(asked(&signed), Err(Some(1)));
}

#[test]
fn of_edns_size_and_signatures_go_on_and_no_option() {
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 10, 0, 0];
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(asked(&extended(1232, [0; 4], &[&subnet[..], &cookie].concat())), Ok(extended(1232, [0; 4], &[])));
    assert_eq!(asked(&extended(1232, [0, 0, 0xff, 0xff], &cookie)), Ok(extended(1232, [0, 0, 0x80, 0], &[])));
    assert_eq!(asked(&extended(65_535, [0; 4], &[])), Ok(extended(4096, [0; 4], &[])));
    assert_eq!(asked(&extended(0, [0; 4], &[])), Ok(extended(512, [0; 4], &[])));
    assert_eq!(asked(&extended(1232, [0, 1, 0, 0], &[])), Err(Some(1)), "another version");
    let mut short = extended(1232, [0; 4], &cookie);
    short.pop();
    assert_eq!(asked(&short), Err(Some(1)));
}

#[test]
fn of_an_answer_what_the_resolver_says_of_itself_is_taken_out() {
    // The name of a server (RFC 5001), before a record that points at the question.
    let mut answer = extended(1232, [0; 4], &[0, 3, 0, 4, b'h', b'o', b's', b't']);
    answer[11] = 2;
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4];
    answer.extend(record);
    let mut silenced = answer.clone();
    query::silence(&mut silenced).unwrap();
    assert_eq!(silenced.len(), answer.len());
    assert!(silenced.ends_with(&record) && !silenced.windows(4).any(|word| word == b"host"));
    assert_eq!(query::silence(&mut answer[..40]), None, "it is cut short");
}

#[test]
fn an_answer_that_says_to_have_more_records_than_a_number_holds_cant_be_read() {
    let mut answer = [0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(query::silence(&mut answer), None);
}

proptest! {
    #[test]
    fn no_answer_breaks_it(mut answer in prop::collection::vec(any::<u8>(), 0..100), counts in prop::array::uniform4(0u8..4)) {
        for (at, count) in [5, 7, 9, 11].into_iter().zip(counts) {
            if let Some(byte) = answer.get_mut(at) {
                *byte = count;
            }
        }
        let length = answer.len();
        let _ = query::silence(&mut answer);
        prop_assert_eq!(answer.len(), length);
    }

    #[test]
    fn no_message_breaks_it(message in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = answer(&message, &ireland());
        let _ = failure(&message, SERVER_FAILURE);
    }

    #[test]
    fn no_question_breaks_it_and_answers_fit_a_datagram(
        labels in prop::collection::vec("[a-z0-9-]{1,63}", 0..4),
        kind in any::<u16>(),
        domain in "[a-z.]{0,300}",
    ) {
        if let Answer::Reply(reply) = answer(&question(&labels.join("."), kind), &Ireland(domain)) {
            prop_assert!(reply.len() <= 600);
        }
    }

    #[test]
    fn a_name_and_its_address_agree(address in any::<u32>()) {
        let address = Ipv4Addr::from_bits(address);
        prop_assert_eq!(address_of(&name_of("ip", address, DEFAULT_DOMAIN)), Some(address));
    }
}

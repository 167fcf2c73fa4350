use super::*;
use proptest::prelude::*;

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(encode(name));
    message.extend(kind.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message
}

/// Code, and the data of the record.
fn ask(name: &str, kind: u16) -> (u8, Option<Vec<u8>>) {
    let question = question(name, kind);
    let reply = answer(&question, || "eu-west-1.compute.internal".to_owned()).expect("an answer");
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
fn addresses_have_the_name_of_their_region() {
    let name = encode("ip-172-31-0-5.eu-west-1.compute.internal");
    assert_eq!(ask("5.0.31.172.in-addr.arpa", PTR), (0, Some(name)));
    assert_eq!(ask("8.8.8.8.in-addr.arpa", PTR), (3, None));
}

#[test]
fn the_unknown_does_not_exist() {
    for name in [
        "example.com",
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
        "ip-10-0-0-5.example.com",
        "5.0.31.in-addr.arpa",
    ] {
        assert_eq!(ask(name, A), (3, None), "{name}");
    }
}

#[test]
fn what_is_no_question_is_told_so() {
    let good = question("example.com", A);
    let code = |message: &[u8]| answer(message, String::new).map(|reply| reply[3] & 15);
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

proptest! {
    #[test]
    fn no_message_breaks_it(message in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = answer(&message, String::new);
    }

    #[test]
    fn no_question_breaks_it_and_answers_fit_a_datagram(
        labels in prop::collection::vec("[a-z0-9-]{1,63}", 0..4),
        kind in any::<u16>(),
        domain in "[a-z.]{0,300}",
    ) {
        let reply = answer(&question(&labels.join("."), kind), || domain).unwrap();
        prop_assert!(reply.len() <= 600);
    }

    #[test]
    fn a_name_and_its_address_agree(address in any::<u32>()) {
        let address = Ipv4Addr::from_bits(address);
        prop_assert_eq!(address_of(&name_of(address, DEFAULT_DOMAIN)), Some(address));
    }
}

use super::*;
use crate::wire::{
    arbitrary::Choices,
    model::{Kind, ShapeId},
};
use proptest::prelude::*;
use quick_xml::{Reader, events::Event};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::datetime};

#[track_caller]
fn bug_of(action: &str, output: Structure) -> String {
    let error = encode(action, &output, "id").unwrap_err();
    assert_eq!(error.code, Code::InternalError);
    error.message
}

#[test]
fn an_answer_is_laid_out_as_ec2_does() {
    let volume = Structure::new()
        .with("VolumeId", "vol-1")
        .with("Size", 8)
        .with("Encrypted", false)
        .with("CreateTime", datetime!(2026-11-22 12:34:56.789 +2))
        .with("Tags", vec![Structure::new().with("Key", "a").with("Value", "")]);
    let output = Structure::new().with("Volumes", vec![volume]).with("NextToken", "<&>");
    assert_eq!(
        encode("DescribeVolumes", &output, "id").unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DescribeVolumesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id</requestId>\
         <nextToken>&lt;&amp;&gt;</nextToken><volumeSet><item><createTime>2026-11-22T10:34:56.789Z</createTime>\
         <encrypted>false</encrypted><size>8</size><tagSet><item><key>a</key><value></value></item></tagSet>\
         <volumeId>vol-1</volumeId></item></volumeSet></DescribeVolumesResponse>"
    );
}

#[test]
fn an_error_is_laid_out_as_ec2_does() {
    assert_eq!(
        error(&ApiError::new(Code::MissingParameter, "no <x> & no \u{1}"), "id"),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>MissingParameter</Code>\
         <Message>no &lt;x&gt; &amp; no \u{fffd}</Message></Error></Errors><RequestID>id</RequestID></Response>"
    );
}

#[test]
fn true_is_returned_where_there_is_nothing_else_to_say() {
    for action in ["RebootInstances", "DeleteKeyPair", "AuthorizeSecurityGroupIngress", "CreatePlacementGroup"] {
        let document = encode(action, &Structure::new(), "id").unwrap();
        assert_eq!(document.matches("<return>true</return>").count(), 1, "{document}");
    }
    let document = encode("DeleteKeyPair", &Structure::new().with("Return", false), "id").unwrap();
    assert!(document.contains("<return>false</return>") && !document.contains("true"), "{document}");
}

#[test]
fn what_ec2_answers_beyond_its_model_is_no_bug() {
    let attachment = Structure::new().with("VpcId", "vpc-1").with("State", "available");
    let gateway = Structure::new().with("Attachments", vec![attachment]);
    let output = Structure::new().with("InternetGateways", vec![gateway]);
    assert!(encode("DescribeInternetGateways", &output, "id").unwrap().contains("<state>available</state>"));
}

#[test]
fn bugs_of_the_account_are_named() {
    let instance = Structure::new().with("Size", 1);
    let reservation = Structure::new().with("Instances", vec![Structure::new(), instance]);
    let output = Structure::new().with("Reservations", vec![reservation]);
    let message = bug_of("DescribeInstances", output);
    assert!(message.contains("DescribeInstances.Reservations[0].Instances[1].Size is a member"), "{message}");
    for (output, part) in [
        (Structure::new().with("Volumes", "vol-1"), "where the model has a list"),
        (Structure::new().with("Volumes", vec!["vol-1"]), "where the model has a structure"),
        (Structure::new().with("NextToken", 1), "where the model has a String"),
        (Structure::new().with("Volumes", vec![Structure::new().with("Size", i64::MAX)]), "no integer of 32 bits"),
        (Structure::new().with("Volumes", vec![Structure::new().with("State", "lost")]), "no VolumeState"),
    ] {
        let message = bug_of("DescribeVolumes", output);
        assert!(message.contains(part), "{message}");
    }
    assert!(bug_of("RebootInstances", Structure::new().with("Return", true)).contains("no result"));
    assert!(bug_of("Fly", Structure::new()).contains("not in the model"));
}

/// An element: its text, and its children by name.
#[derive(Debug, Default)]
struct Element {
    text: String,
    children: Vec<(String, Element)>,
}

fn parse(xml: &str) -> Element {
    let mut reader = Reader::from_str(xml);
    let mut open = vec![(String::new(), Element::default())];
    loop {
        let event = reader.read_event().unwrap();
        let (_, current) = open.last_mut().unwrap();
        match event {
            Event::Start(start) => {
                open.push((start.name().as_ref().to_owned(), Element::default()));
            }
            Event::End(_) => {
                let closed = open.pop().unwrap();
                open.last_mut().unwrap().1.children.push(closed);
            }
            // As parsers do: a bare carriage return is a line feed.
            Event::Text(text) => current.text.push_str(&text.replace("\r\n", "\n").replace('\r', "\n")),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().unwrap() {
                Some(character) => current.text.push(character),
                None => {
                    current.text.push_str(quick_xml::escape::resolve_xml_entity(&reference).unwrap());
                }
            },
            Event::Decl(_) => {}
            Event::Eof => return open.pop().unwrap().1,
            other => panic!("{other:?}"),
        }
    }
}

/// Reads a structure as a client would: after the rules of botocore's parser.
fn read(shape: ShapeId, element: &Element) -> Value {
    match model().unwrap().shape(shape) {
        Shape::Structure(members) => {
            let mut structure = Structure::new();
            for (member, target) in members.iter() {
                let named: Vec<_> =
                    element.children.iter().filter(|(name, _)| name == target.answer_name(member)).collect();
                assert!(named.len() <= 1, "{member} is there {} times", named.len());
                for (_, element) in named {
                    structure.set(member, read(target.shape, element));
                }
            }
            structure.into()
        }
        Shape::List(item) => element.children.iter().map(|(_, element)| read(item.shape, element)).collect(),
        Shape::Scalar(scalar) => match scalar.kind {
            Kind::String => Value::String(element.text.clone()),
            Kind::Integer | Kind::Long => Value::Integer(element.text.parse().unwrap()),
            Kind::Float | Kind::Double => Value::Double(element.text.parse().unwrap()),
            Kind::Boolean => Value::Boolean(element.text == "true"),
            Kind::Timestamp => Value::Timestamp(OffsetDateTime::parse(&element.text, &Rfc3339).unwrap()),
            Kind::Blob => Value::Blob(BASE64_STANDARD.decode(&element.text).unwrap()),
        },
    }
}

proptest! {
    #[test]
    fn what_is_written_a_client_reads(at in any::<prop::sample::Index>(), choices in Choices::strategy()) {
        let operations: Vec<_> = model().unwrap().operations().filter(|operation| operation.output.is_some()).collect();
        let operation = operations[at.index(operations.len())];
        let output = operation.output.unwrap();
        let mut answer = Choices::new(choices).structure(output);
        let root = parse(&encode(operation.name, &answer, "the-id").unwrap());
        let [(name, document)] = root.children.as_slice() else { panic!("{root:?}") };
        prop_assert_eq!(name, &format!("{}Response", operation.name));
        prop_assert_eq!(&document.children[0].1.text, "the-id");
        let Shape::Structure(members) = model().unwrap().shape(output) else { panic!() };
        if answer.get("Return").is_none() && let Some(target) = members.get("Return") {
            // A few operations have a string there.
            match model().unwrap().shape(target.shape) {
                Shape::Scalar(scalar) if scalar.kind == Kind::String => answer.set("Return", "true"),
                _ => answer.set("Return", true),
            }
        }
        prop_assert_eq!(read(output, document), answer.into());
    }

    #[test]
    fn any_text_is_well_formed(text in any::<String>()) {
        let document = encode("DescribeVolumes", &Structure::new().with("NextToken", text.as_str()), "id").unwrap();
        let clean: String = text.chars().map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect();
        let root = parse(&document);
        prop_assert_eq!(&root.children[0].1.children[1].1.text, &clean);
    }
}

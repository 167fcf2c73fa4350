//! CPU credits: what was asked for, the default of the type, and what stays when the type changes.

use super::*;

fn burstable(world: &mut World, instance_type: &str, credits: Option<&str>) -> String {
    let launch = world.launch().with("ImageId", world.image("blank")).with("InstanceType", instance_type);
    let credits = credits.map(|credits| Structure::new().with("CpuCredits", credits));
    let id = instance_id(&world.ok("RunInstances", launch.with_some("CreditSpecification", credits)));
    world.settle();
    id
}

fn described(world: &mut World, input: Structure) -> Vec<(String, String)> {
    let answer = world.ok("DescribeInstanceCreditSpecifications", input);
    let text = |row: &Structure, member| row.string(member).unwrap().to_owned();
    let rows = answer.structures("InstanceCreditSpecifications");
    rows.map(|row| (text(row, "InstanceId"), text(row, "CpuCredits"))).collect()
}

fn credits(world: &mut World, id: &str) -> String {
    described(world, ids(&[id])).pop().unwrap().1
}

#[test]
fn credits_are_those_that_were_asked_for_or_the_default_of_the_type() {
    let mut world = World::new();
    for (instance_type, asked, expected) in [
        ("t2.micro", None, "standard"),
        ("t2.micro", Some("unlimited"), "unlimited"),
        ("t3.micro", None, "unlimited"),
        ("t3.micro", Some("standard"), "standard"),
        ("t3a.micro", None, "unlimited"),
        // Of a type that has none, standard ones are told.
        ("m5.large", None, "standard"),
    ] {
        let id = burstable(&mut world, instance_type, asked);
        assert_eq!(credits(&mut world, &id), expected, "{instance_type} {asked:?}");
    }
}

#[test]
fn where_none_is_named_those_are_told_that_are_or_were_unlimited() {
    let mut world = World::new();
    let [limited, unlimited, other] =
        [("t2.micro", None), ("t3.micro", None), ("m5.large", None)].map(|(t, c)| burstable(&mut world, t, c));
    let told = |id: &str| vec![(id.to_owned(), "unlimited".to_owned())];
    assert_eq!(described(&mut world, Structure::new()), told(&unlimited));
    assert_eq!(described(&mut world, filters(&[("instance-id", &["*"])])), told(&unlimited));
    assert_eq!(described(&mut world, filters(&[("instance-id", &[&limited, &other])])), []);

    world.ok("StopInstances", ids(&[&unlimited]));
    world.settle();
    let change = |kind: &str| {
        let value = Structure::new().with("Value", kind);
        Structure::new().with("InstanceId", unlimited.as_str()).with("InstanceType", value)
    };
    for kind in ["m5.large", "t2.micro"] {
        world.ok("ModifyInstanceAttribute", change(kind));
        assert_eq!(described(&mut world, Structure::new()), told(&unlimited), "{kind}");
    }
    let error = world.err("DescribeInstanceCreditSpecifications", ids(&["i-0123456789abcdef0"]));
    assert!(error.starts_with("InvalidInstanceID.NotFound: "), "{error}");
}

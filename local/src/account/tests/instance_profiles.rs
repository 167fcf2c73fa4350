//! Instance profiles: how they come and go, and what an instance's metadata tells of its role.

use super::*;

fn named(name: &str) -> Structure {
    Structure::new().with("Name", name)
}

fn associate(id: &str, profile: Structure) -> Structure {
    Structure::new().with("InstanceId", id).with("IamInstanceProfile", profile)
}

fn association(answer: &Structure) -> (String, String) {
    let shown = answer.structure("IamInstanceProfileAssociation").unwrap();
    let text = |member| shown.string(member).unwrap().to_owned();
    (text("AssociationId"), text("State"))
}

fn states(world: &mut World, input: Structure) -> Vec<String> {
    let answer = world.ok("DescribeIamInstanceProfileAssociations", input);
    let shown = answer.structures("IamInstanceProfileAssociations");
    shown.map(|shown| shown.string("State").unwrap().to_owned()).collect()
}

/// What the metadata tells below `iam/`.
fn told(world: &World, id: &str) -> BTreeMap<String, serde_json::Value> {
    let nic = world.account.find(id).unwrap().nic;
    let told = world.account.role_metadata(world.now, &nic).into_iter();
    told.map(|(path, content)| (path, serde_json::from_str(&content).unwrap())).collect()
}

const WEB: &str = "meta-data/iam/security-credentials/web";

#[test]
fn a_profile_comes_within_seconds_and_goes() {
    let mut world = World::with(|settings| settings.pace = 1.0);
    world.patience = Duration::ZERO;
    world.account.set_conditions(Conditions::Calm);
    let id = world.run();
    world.pass(Duration::from_secs(10));
    world.obey();
    assert_eq!(told(&world, &id), BTreeMap::new());
    let (bond, state) = association(&world.ok("AssociateIamInstanceProfile", associate(&id, named("web"))));
    assert_eq!(state, "associating");
    let shown = world.instance(&id);
    let profile = shown.structure("IamInstanceProfile").unwrap();
    assert_eq!(profile.string("Arn"), Some("arn:aws:iam::000000000000:instance-profile/web"));
    assert!(profile.string("Id").unwrap().starts_with("AIPA"), "{profile:?}");
    assert_eq!(told(&world, &id), BTreeMap::new(), "not yet");
    world.pass(Duration::from_secs(5));
    let by_state = |state: &str| filters(&[("state", &[state]), ("instance-id", &[&id])]);
    assert_eq!(states(&mut world, by_state("associated")), ["associated"]);
    assert_eq!(told(&world, &id)["meta-data/iam/info"]["InstanceProfileArn"], profile.string("Arn").unwrap());
    for (name, value) in
        [("arn", profile.string("Arn").unwrap()), ("name", "web"), ("id", profile.string("Id").unwrap())]
    {
        for (pattern, count) in [(value, 1), ("other", 0)] {
            let name = format!("iam-instance-profile.{name}");
            let found = world.ok("DescribeInstances", filters(&[(&name, &[pattern])]));
            assert_eq!(found.structures("Reservations").count(), count, "{name} {pattern}");
        }
    }

    let again = world.err("AssociateIamInstanceProfile", associate(&id, named("db")));
    assert_eq!(again, format!("IncorrectState: There is an existing association for instance {id}"));
    let replace = Structure::new().with("AssociationId", bond.as_str()).with("IamInstanceProfile", named("db"));
    let (other, state) = association(&world.ok("ReplaceIamInstanceProfileAssociation", replace.clone()));
    assert!(other != bond && state == "associating", "{other} {state}");
    let gone = format!("InvalidAssociationID.NotFound: An invalid association-id of '{bond}' was given");
    assert_eq!(world.err("ReplaceIamInstanceProfileAssociation", replace), gone);
    let named_bond = Structure::new().with("AssociationIds", vec![bond.as_str()]);
    assert_eq!(world.err("DescribeIamInstanceProfileAssociations", named_bond), gone);

    world.pass(Duration::from_secs(5));
    let end = Structure::new().with("AssociationId", other.as_str());
    assert_eq!(association(&world.ok("DisassociateIamInstanceProfile", end.clone())).1, "disassociating");
    assert_eq!(states(&mut world, by_state("disassociating")), ["disassociating"]);
    world.err("DisassociateIamInstanceProfile", end);
    world.pass(Duration::from_secs(5));
    assert_eq!(states(&mut world, Structure::new()), [] as [&str; 0]);
    assert_eq!(told(&world, &id), BTreeMap::new());
    assert!(world.instance(&id).get("IamInstanceProfile").is_none());
}

#[test]
fn a_launch_may_name_one_and_the_end_takes_it() {
    let mut world = World::new();
    let launch = world.launch().with("IamInstanceProfile", named("web"));
    let launched = world.ok("RunInstances", launch);
    let id = instance_id(&launched);
    assert!(first_instance(&launched).structure("IamInstanceProfile").is_some());
    world.settle();
    assert_eq!(states(&mut world, Structure::new()), ["associated"]);
    world.account.whole().unwrap();
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    assert_eq!(states(&mut world, Structure::new()), [] as [&str; 0]);
    let refused = world.err("AssociateIamInstanceProfile", associate(&id, named("web")));
    assert!(refused.starts_with("IncorrectInstanceState"), "{refused}");
    world.account.whole().unwrap();
}

#[test]
fn profiles_of_nobody_are_refused() {
    let mut world = World::with(|settings| settings.instance_profiles = vec!["web=server".parse().unwrap()]);
    let id = world.running();
    let arn = |account: &str, name: &str| {
        Structure::new().with("Arn", format!("arn:aws:iam::{account}:instance-profile/{name}"))
    };
    for (profile, message) in [
        (named("db"), "Value (db) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"),
        (
            arn("111122223333", "web"),
            "Value (arn:aws:iam::111122223333:instance-profile/web) for parameter iamInstanceProfile.arn is invalid. \
             Invalid IAM Instance Profile ARN",
        ),
    ] {
        let launch = world.launch().with("IamInstanceProfile", profile.clone());
        for (action, input) in [("RunInstances", launch), ("AssociateIamInstanceProfile", associate(&id, profile))] {
            assert_eq!(world.err(action, input), format!("InvalidParameterValue: {message}"));
        }
    }
    for profile in [arn("000000000000", "db"), arn("000000000000", ""), Structure::new().with("Arn", "web")] {
        world.err("AssociateIamInstanceProfile", associate(&id, profile));
    }
    let both = arn("000000000000", "web").with("Name", "web");
    assert!(world.err("AssociateIamInstanceProfile", associate(&id, both)).starts_with("InvalidParameterCombination"));
    let none = associate(&id, Structure::new());
    assert!(world.err("AssociateIamInstanceProfile", none).starts_with("MissingParameter"));
    world.ok("AssociateIamInstanceProfile", associate(&id, arn("000000000000", "web")));
    world.settle();
    assert!(told(&world, &id).contains_key("meta-data/iam/security-credentials/server"));
    // A name that IAM couldn't have is nobody's, whatever the settings.
    let mut world = World::new();
    let id = world.running();
    world.err("AssociateIamInstanceProfile", associate(&id, named("a/b")));
    world.ok("AssociateIamInstanceProfile", associate(&id, arn("000000000000", "team/web")));
}

#[test]
fn credentials_change_long_before_they_end() {
    let mut world = World::new();
    let launch = world.launch().with("IamInstanceProfile", named("web"));
    let id = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let first = told(&world, &id)[WEB].clone();
    assert_eq!((&first["Code"], &first["Type"]), (&"Success".into(), &"AWS-HMAC".into()));
    assert_eq!(first["LastUpdated"], "2026-11-22T12:00:00Z");
    assert_eq!(first["Expiration"], "2026-11-22T18:00:00Z");
    let key = |credentials: &serde_json::Value| credentials["AccessKeyId"].as_str().unwrap().to_owned();
    assert!(key(&first).starts_with("ASIA"), "{first}");
    world.pass(Duration::from_secs(1800));
    assert_eq!(told(&world, &id)[WEB], first);
    world.pass(Duration::from_secs(2000));
    let second = told(&world, &id)[WEB].clone();
    assert_ne!(key(&second), key(&first));
    assert_eq!(second["Expiration"], "2026-11-22T19:00:00Z");
}

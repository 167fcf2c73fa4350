//! What is written down of an account is the account.

use super::{hostile::request, *};
use crate::wire::Value;
use proptest::prelude::*;
use std::fmt::Debug;

/// An account whose records are kept, as they are between two endpoints: as text.
struct Kept {
    world: World,
    text: Vec<String>,
}

impl Kept {
    fn new() -> Self {
        let mut kept = Self { world: World::new(), text: Vec::new() };
        kept.write_all();
        kept
    }

    fn write_all(&mut self) {
        let snapshot = self.world.account.snapshot().unwrap();
        self.text = vec![serde_json::to_string(&snapshot).unwrap()];
        self.world.account.set_stored();
    }

    fn write(&mut self) {
        if let Some(record) = self.world.account.unstored().unwrap() {
            self.text.push(serde_json::to_string(&record).unwrap());
            self.world.account.set_stored();
        }
    }

    /// The account that follows from what was written.
    fn read(&self) -> Account {
        let records = self.text.iter().map(|text| serde_json::from_str(text).unwrap());
        Account::restored(self.world.account.settings.clone(), None, records).unwrap()
    }

    fn check(&mut self) {
        // Until everybody knows of everything: what was read is known at once.
        self.world.pass(Duration::from_secs(1));
        self.write();
        assert!(self.world.account.unstored().unwrap().is_none(), "it changes by being stored");
        let mut read = self.read();
        let snapshot = |account: &mut Account| serde_json::to_string(&account.snapshot().unwrap()).unwrap();
        assert_eq!(snapshot(&mut read), snapshot(&mut self.world.account));
        assert_eq!(read.shared.public_addresses, self.world.account.shared.public_addresses);
        assert_eq!(self.world.account.whole(), Ok(()));
        let World { account, now, .. } = &mut self.world;
        for action in Account::actions().filter(|action| action.starts_with("Describe")) {
            let ask = |account: &mut Account| account.call(*now, REGION, action, &Structure::new());
            assert_eq!(ask(&mut read), ask(account), "{action}");
        }
    }
}

/// Instances in all their states, with all that they can have.
fn busy() -> Kept {
    let mut kept = Kept::new();
    let world = &mut kept.world;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5";
    let mut import = Structure::new().with("KeyName", "k");
    import.set("PublicKeyMaterial", Value::Blob(key.into()));
    world.ok("ImportKeyPair", import);
    let tags = vec![Structure::new().with("Key", "é").with("Value", "\u{1f980}")];
    let tagged = vec![Structure::new().with("ResourceType", "instance").with("Tags", tags)];
    let launch = world.launch().with("KeyName", "k").with("UserData", "aGVsbG8=").with("TagSpecifications", tagged);
    let profile = Structure::new().with("Name", "web");
    let launch = launch.with("ClientToken", "token").with("MaxCount", 4_i64).with("IamInstanceProfile", profile);
    world.ok("RunInstances", launch);
    world.ok("EnableSerialConsoleAccess", Structure::new());
    world.settle();
    let answer = world.ok("DescribeInstances", Structure::new());
    let ids: Vec<String> = answer
        .structures("Reservations")
        .flat_map(|reservation| reservation.structures("Instances"))
        .map(|instance| instance.string("InstanceId").unwrap().to_owned())
        .collect();
    for id in &ids {
        world.event(id, Event::Console(b"hello \xff\n".to_vec()));
    }
    world.ok("StopInstances", super::ids(&[&ids[0]]));
    world.ok("TerminateInstances", super::ids(&[&ids[1]]));
    world.settle();
    world.ok("RebootInstances", super::ids(&[&ids[2]]));
    world.run();
    interfaces(world, &ids[3]);
    world.account.add_fault("StartInstances capacity next 3".parse().unwrap()).unwrap();
    kept
}

/// Gives an instance an interface with two addresses, the second of which has an elastic one; and makes of each one that is free.
fn interfaces(world: &mut World, instance: &str) {
    let subnet = network_interfaces::subnet_of(world, instance, true);
    let make = |count: i64| {
        let token = format!("interface {count}");
        let request = Structure::new().with("SubnetId", subnet.as_str()).with("ClientToken", token);
        request.with("SecondaryPrivateIpAddressCount", count)
    };
    world.ok("CreateNetworkInterface", make(3));
    let made = world.ok("CreateNetworkInterface", make(1));
    let made = made.structure("NetworkInterface").unwrap();
    let named = network_interfaces::named(made.string("NetworkInterfaceId").unwrap());
    world.ok("AttachNetworkInterface", named.clone().with("InstanceId", instance).with("DeviceIndex", 1_i64));
    world.ok("AllocateAddress", Structure::new());
    let address = world.ok("AllocateAddress", Structure::new());
    let secondary = network_interfaces::addresses(made).remove(1);
    let bind = named.with("AllocationId", address.string("AllocationId").unwrap());
    world.ok("AssociateAddress", bind.with("PrivateIpAddress", secondary));
}

/// What is on its way when the endpoint is killed gets there.
#[test]
fn a_detachment_that_was_asked_for_ends_all_the_same() {
    let mut kept = Kept::new();
    let id = kept.world.running();
    let subnet = network_interfaces::subnet_of(&mut kept.world, &id, true);
    let interface = network_interfaces::interface(&mut kept.world, &subnet);
    let named = network_interfaces::named(&interface);
    let attach = named.with("InstanceId", id.as_str()).with("DeviceIndex", 1_i64);
    let attachment = kept.world.ok("AttachNetworkInterface", attach);
    let attachment = attachment.string("AttachmentId").unwrap().to_owned();
    kept.world.patience = Duration::ZERO;
    kept.world.ok("DetachNetworkInterface", Structure::new().with("AttachmentId", attachment));
    kept.write();
    let mut world = World { account: kept.read(), now: kept.world.now, effects: Vec::new(), patience: Duration::ZERO };
    world.account.take_over(world.now);
    world.effects.extend(world.account.take_effects());
    let started = world.effects.iter().find_map(|effect| match effect {
        Effect::Start(start) => Some(start.machine.nics.len()),
        _ => None,
    });
    assert_eq!(started, Some(1), "the machine boots without it");
    world.settle();
    let shown = network_interfaces::described(&mut world, &interface);
    assert_eq!(shown.string("Status"), Some("available"));
}

#[test]
fn all_that_there_is_is_read_as_it_was_written() {
    let mut kept = busy();
    kept.check();
    kept.write_all();
    kept.check();
    let read = kept.read();
    assert_eq!(read.faults(), kept.world.account.faults());
    // A role's credentials outlive the endpoint that has told them.
    let (account, now) = (&kept.world.account, kept.world.now);
    let nics = account.regions[REGION].network_interfaces.iter().map(|(nic, _)| nic.to_string());
    let told: Vec<_> = nics.map(|nic| (account.role_metadata(now, &nic), read.role_metadata(now, &nic))).collect();
    assert!(
        told.iter().any(|(told, _)| !told.is_empty()) && told.iter().all(|(told, again)| told == again),
        "{told:?}"
    );
}

#[test]
fn nothing_is_given_out_twice_and_what_had_a_token_is_not_made_twice() {
    let mut kept = busy();
    kept.write();
    let mut world =
        World { account: kept.read(), now: kept.world.now, effects: Vec::new(), patience: kept.world.patience };
    world.account.clear_faults();
    let instances = |world: &mut World| -> Vec<String> {
        let answer = world.ok("DescribeInstances", Structure::new());
        let instances = answer.structures("Reservations").flat_map(|reservation| reservation.structures("Instances"));
        instances.map(|instance| instance.string("InstanceId").unwrap().to_owned()).collect()
    };
    let before = instances(&mut world);
    assert!(!before.contains(&world.run()));
    let launch = world.launch().with("ClientToken", "token");
    assert!(world.err("RunInstances", launch).starts_with("IdempotentParameterMismatch"));
}

#[test]
fn a_record_that_is_not_understood_says_what_it_is() {
    let settings = || World::new().account.settings;
    for (text, said) in [
        (r#"{"general":{"drawn":1},"regions":{"mars-1":{}}}"#, "there is no `mars-1`"),
        (r#"{"general":{"drawn":1},"regions":{"us-east-1":{"dreams":{}}}}"#, "there is no `dreams`"),
        (
            r#"{"general":{"drawn":1},"regions":{"us-east-1":{"vpcs":{"vpc-12345678":[1,{}]}}}}"#,
            "vpcs of us-east-1, vpc-12345678: missing field",
        ),
        (
            r#"{"general":{"drawn":1},"regions":{"us-east-1":{"tags":{"vpc-12345678":{"a":"b"}}}}}"#,
            "us-east-1: vpc-12345678 has tags, and isn't there",
        ),
    ] {
        let error = Account::restored(settings(), None, [serde_json::from_str(text).unwrap()]).unwrap_err();
        assert!(error.to_string().starts_with(said), "{error}");
    }
}

fn console(world: &mut World, id: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let answer = world.ok("GetConsoleOutput", Structure::new().with("InstanceId", id));
    String::from_utf8_lossy(&STANDARD.decode(answer.string("Output").unwrap_or_default()).unwrap()).into_owned()
}

#[test]
fn instances_boot_again_where_they_were_on_and_go_on_to_where_they_were_going() {
    let mut world = World::new();
    let [running, pending, rebooting, stopping, ending] = std::array::from_fn(|_| world.running());
    let stopped = world.running();
    world.ok("StopInstances", ids(&[&stopped]));
    world.settle();
    let image = world.image("host");
    let unwanted = world.launch().with("MaintenanceOptions", Structure::new().with("AutoRecovery", "disabled"));
    let unwanted = instance_id(&world.ok("RunInstances", unwanted.with("ImageId", image)));
    world.settle();
    world.ok("StopInstances", ids(&[&pending]));
    world.settle();
    world.ok("StartInstances", ids(&[&pending]));
    world.ok("RebootInstances", ids(&[&rebooting]));
    world.ok("StopInstances", ids(&[&stopping]));
    world.ok("TerminateInstances", ids(&[&ending]));
    let before = world.instance(&running);

    // Nobody is left to obey.
    let snapshot = world.account.snapshot().unwrap();
    let settings = world.account.settings.clone();
    let account = Account::restored(settings, None, [serde_json::from_str(&to_json(&snapshot)).unwrap()]).unwrap();
    let mut world = World { account, now: world.now, effects: Vec::new(), patience: world.patience };
    assert_eq!(world.account.take_over(world.now), 3);
    world.effects = world.account.take_effects();
    let started: Vec<_> = world
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::Start(start) => (start.machine.instance.clone(), start.has_disk),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(started, [&running, &pending, &rebooting].map(|id| (id.clone(), true)));
    assert_eq!(world.instance(&running), before, "ids, addresses and states are kept");
    world.settle();
    for (id, state) in [
        (&running, "running"),
        (&pending, "running"),
        (&rebooting, "running"),
        (&stopping, "stopped"),
        (&stopped, "stopped"),
        (&unwanted, "stopped"),
        (&ending, "terminated"),
    ] {
        assert_eq!(world.state(id), state);
    }
    assert_eq!(world.instance(&running), before);
    assert!(console(&mut world, &running).contains("It was recovered, and boots again."));
    let reason = world.instance(&unwanted).structure("StateReason").cloned().unwrap();
    assert!(reason.string("Message").unwrap().contains("automatic recovery is disabled"), "{reason:?}");
    world.pass(Duration::from_secs(3601));
    assert!(world.err("DescribeInstances", ids(&[&ending])).starts_with("InvalidInstanceID.NotFound"));
}

fn to_json(record: &(impl serde::Serialize + Debug)) -> String {
    serde_json::to_string(record).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_asked_is_read_as_it_was_written(requests in proptest::collection::vec(request(), 1..12)) {
        let mut kept = busy();
        let (launch, image) = (kept.world.launch(), kept.world.image("host"));
        let id = kept.world.run();
        for (action, mut input) in requests {
            if action == "CreateKeyPair" {
                input.set("KeyType", "ed25519");
            }
            for (member, value) in [("InstanceId", Value::from(id.as_str())), ("InstanceIds", vec![id.as_str()].into()), ("ImageId", image.as_str().into())] {
                if input.get(member).is_some() {
                    input.set(member, value);
                }
            }
            if action == "RunInstances" {
                for (member, value) in launch.members() {
                    if input.get(member).is_none() {
                        input.set(member.to_owned(), value.clone());
                    }
                }
            }
            let World { account, now, effects, .. } = &mut kept.world;
            let _ = account.call(*now, REGION, action, &input);
            effects.extend(account.take_effects());
            kept.write();
            kept.world.settle();
            kept.write();
        }
        kept.check();
    }
}

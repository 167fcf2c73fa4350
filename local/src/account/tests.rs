//! Through the front door: everything by [`Account::call`], with a clock that is moved by hand.
//!
//! It is an ordinary day, and its clients are patient: between two requests goes by what it takes until everybody knows of
//! the first. What comes of impatience is for `conditions`.

mod conditions;
mod credits;
mod data_volumes;
mod describe;
mod elastic_addresses;
mod faults;
mod hostile;
mod images;
mod instance_options;
mod instance_profiles;
mod ipv6;
mod joined;
mod key_pairs;
mod launch;
mod launch_templates;
mod lives;
mod metadata;
mod network_interfaces;
mod placement;
mod quotas;
mod records;
mod root_volumes;
mod routes;
mod security_groups;
mod snapshots;
mod spot;
mod states;
mod switch;
mod tags;
mod times;
mod volumes;
mod vpcs;

use super::*;
use std::time::Duration;
use time::macros::datetime;

/// An account, its clock, and its machines.
pub(super) struct World {
    pub(super) account: Account,
    pub(super) now: OffsetDateTime,
    /// What must still happen to the machines.
    pub(super) effects: Vec<Effect>,
    /// How long is waited after each request.
    pub(super) patience: Duration,
}

pub(super) const REGION: &str = "us-east-1";

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings =
            Settings::new([42; 32], ImageSettings::host("admin", "PRETTY_NAME=\"Debian 12\"\nID=debian\n"));
        change(&mut settings);
        let now = datetime!(2026-11-22 12:00:00 UTC);
        let patience = settings.paced(settings.conditions.profile().lag);
        Self { account: Account::new(settings), now, effects: Vec::new(), patience }
    }

    pub(super) fn call(&mut self, action: &str, input: Structure) -> Result<Structure, ApiError> {
        let answer = self.account.call(self.now, REGION, action, &input);
        self.effects.extend(self.account.take_effects());
        self.pass(self.patience);
        if let Ok(answer) = &answer {
            crate::wire::check_answer(action, answer).unwrap_or_else(|error| panic!("{action}: {error}"));
        }
        answer
    }

    pub(super) fn ok(&mut self, action: &str, input: Structure) -> Structure {
        self.call(action, input).unwrap_or_else(|error| panic!("{action}: {error}"))
    }

    /// The code and message of the error.
    pub(super) fn err(&mut self, action: &str, input: Structure) -> String {
        self.call(action, input).expect_err(action).to_string()
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.account.advance(self.now);
        self.effects.extend(self.account.take_effects());
    }

    pub(super) fn event(&mut self, id: &str, event: Event) {
        self.account.machine_event(self.now, id, event);
        self.effects.extend(self.account.take_effects());
    }

    /// Lets the machines do at once what they are told, until none is told anything any more.
    pub(super) fn obey(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Start(start) => self.event(&start.machine.instance, Event::Started),
                    Effect::PowerOff { instance } | Effect::Kill { instance } => {
                        self.event(&instance, Event::PoweredOff)
                    }
                    Effect::Take { parts, .. } => {
                        parts.iter().for_each(|part| self.event(&part.snapshot, Event::Taken));
                    }
                    Effect::Fill(filling) => self.event(&filling.volume, Event::Filled),
                    Effect::Detach { instance, volume, .. } => self.event(&instance, Event::Detached(volume)),
                    Effect::Attach { .. }
                    | Effect::Resize { .. }
                    | Effect::DiscardLayer { .. }
                    | Effect::Discard { .. }
                    | Effect::Plug { .. }
                    | Effect::Unplug { .. } => {}
                }
            }
        }
    }

    /// Obeys, and waits until nothing happens any more within a second.
    pub(super) fn settle(&mut self) {
        self.obey();
        self.pass(Duration::from_secs(1));
        self.obey();
    }

    pub(super) fn image(&mut self, name: &str) -> String {
        let filter = filters(&[("name", &[name])]);
        let images = self.ok("DescribeImages", filter);
        images.structures("Images").next().unwrap().string("ImageId").unwrap().to_owned()
    }

    /// The least that a launch must say.
    pub(super) fn launch(&mut self) -> Structure {
        let image = self.image("host");
        let instance_type = if Architecture::host() == Architecture::Arm64 { "t4g.micro" } else { "t3.micro" };
        Structure::new()
            .with("ImageId", image)
            .with("InstanceType", instance_type)
            .with("MinCount", 1_i64)
            .with("MaxCount", 1_i64)
    }

    /// Launches one instance.
    pub(super) fn run(&mut self) -> String {
        let launch = self.launch();
        let answer = self.ok("RunInstances", launch);
        instance_id(&answer)
    }

    /// Launches one instance, and waits until it runs.
    pub(super) fn running(&mut self) -> String {
        let id = self.run();
        self.settle();
        assert_eq!(self.state(&id), "running");
        id
    }

    pub(super) fn instance(&mut self, id: &str) -> Structure {
        let answer = self.ok("DescribeInstances", ids(&[id]));
        first_instance(&answer).clone()
    }

    pub(super) fn state(&mut self, id: &str) -> String {
        self.instance(id).structure("State").unwrap().string("Name").unwrap().to_owned()
    }
}

pub(super) fn ids(ids: &[&str]) -> Structure {
    Structure::new().with("InstanceIds", ids.to_vec())
}

pub(super) fn filters(filters: &[(&str, &[&str])]) -> Structure {
    let filters: Vec<Structure> = filters
        .iter()
        .map(|(name, values)| Structure::new().with("Name", *name).with("Values", values.to_vec()))
        .collect();
    Structure::new().with("Filters", filters)
}

/// The first instance of a reservation, or of a list of them.
pub(super) fn first_instance(answer: &Structure) -> &Structure {
    let reservation = answer.structures("Reservations").next().unwrap_or(answer);
    reservation.structures("Instances").next().expect("an instance")
}

pub(super) fn instance_id(answer: &Structure) -> String {
    first_instance(answer).string("InstanceId").unwrap().to_owned()
}

#[test]
fn an_instance_lives_and_dies() {
    let mut world = World::new();
    let id = world.run();
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!(
        (start.machine.instance.as_str(), start.kind.name(), start.image.as_str(), start.machine.login_user.as_str()),
        (id.as_str(), "sandbox", "host", "admin")
    );
    assert_eq!(start.machine.nics.len(), 1);
    assert_eq!(world.state(&id), "pending");
    assert!(world.instance(&id).get("PublicIpAddress").is_none());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.state(&id), "pending", "its machine has not started");
    world.obey();
    assert_eq!(world.state(&id), "running");
    let instance = world.instance(&id);
    assert!(instance.string("PublicIpAddress").unwrap().starts_with("127."));
    assert!(
        world
            .account
            .metadata(instance.structures("NetworkInterfaces").next().unwrap().string("NetworkInterfaceId").unwrap())
            .is_some()
    );
    assert_eq!(world.account.live_instances(), 1);

    world.ok("TerminateInstances", ids(&[&id]));
    assert_eq!(world.state(&id), "shutting-down");
    assert!(world.instance(&id).get("PublicIpAddress").is_none());
    assert_eq!(world.effects, [Effect::PowerOff { instance: id.clone() }]);
    world.settle();
    assert_eq!(world.state(&id), "terminated");
    assert_eq!(world.account.live_instances(), 0);
    world.pass(Duration::from_secs(3601));
    let error = world.err("DescribeInstances", ids(&[&id]));
    assert_eq!(error, format!("InvalidInstanceID.NotFound: The instance ID '{id}' does not exist"));
    assert_eq!(world.account.next_due(), None);
}

#[test]
fn no_action_is_there_twice() {
    let names: Vec<&str> = actions::all().map(|action| action.name).collect();
    assert!(names.is_sorted_by(|one, next| one < next));
}

#[test]
fn unknown_actions_regions_and_parameters_are_named() {
    let mut world = World::new();
    assert!(world.err("RunInstance", Structure::new()).starts_with("InvalidAction: The action RunInstance "));
    let launch = world.launch().with("KernelId", "aki-12345678");
    assert!(world.err("RunInstances", launch).starts_with("UnsupportedOperation: The parameter KernelId "));
    let error = world.account.call(world.now, "mars-1", "DescribeVpcs", &Structure::new()).unwrap_err();
    assert_eq!(error.code, Code::InvalidParameterValue);
}

//! The account: everything that EC2 would know, and its rules. Pure: no I/O, no clock of its own, no threads.
//!
//! An [`Account`] is told what time it is, what was asked and what happened to its machines; it answers as EC2 would, and
//! says by [`Effect`]s what must happen to the machines. Its owner carries the effects out, in order, and tells the
//! machines' events back; that, and calling [`Account::advance`] when [`Account::next_due`] has come, is all it needs.
//!
//! One file for each of EC2's resources, one table from action to function; what holds for all of them stands in
//! `describe`, `filter`, `pagination`, `tags`, `request` and `idempotency`.
//!
//! What this room isn't: a codec (names and types were checked against the model before), or a runner of machines.

mod absent;
mod account_attributes;
mod account_options;
mod action;
mod actions;
mod address;
mod address6;
mod capacity;
mod console;
mod describe;
mod dhcp_options;
mod effect;
mod egress_only_gateway;
mod elastic_address;
mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod history;
mod idempotency;
mod ids;
mod image;
mod instance;
mod instance_profile;
mod instance_type;
mod internet_gateway;
mod key_pair;
mod launch_template;
mod nat_gateway;
mod network_acl;
mod network_interface;
mod pagination;
mod peering;
mod permission;
mod place;
mod placement_group;
mod quota;
mod record;
mod recovery;
mod region;
mod request;
mod root_volume;
mod route_table;
mod security_group;
mod settings;
mod snapshot;
mod spot;
mod stored;
mod subnet;
mod switch;
mod system;
mod table;
mod tags;
mod volume;
mod vpc;
mod whole;

#[cfg(test)]
mod tests;

pub use capacity::Capacity;
pub use effect::{Content, Effect, Filling, Part, Start};
pub use instance_profile::{InstanceProfile, InstanceProfileError};
pub use quota::Quotas;
pub use record::{Record, RecordError};
pub use recovery::RootVolume;
pub use settings::{Architecture, ImageSettings, Settings};

pub use crate::machine::Kind;
use crate::{
    conditions::{Conditions, Delivery, Fault, Gate, Question, Replicas, Verdict},
    error::{ApiError, Code},
    machine::Event,
    network::{DhcpOptions, Metadata},
    wire::Structure,
};
use ids::{Id, InstanceId, NetworkInterfaceId, SnapshotId, Source, SpotInstanceRequestId, VolumeId};
use region::Region;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use time::OffsetDateTime;

/// All that one account holds, in all regions.
#[derive(Debug)]
pub struct Account {
    settings: Settings,
    shared: Shared,
    regions: BTreeMap<&'static str, Region>,
    gate: Gate,
    replicas: Replicas,
    delivery: Delivery,
    /// What is of no region, as it was last stored.
    stored: Option<record::General>,
}

/// What the regions of an account share.
#[derive(Debug, Clone)]
struct Shared {
    source: Source,
    /// Those that are in use, and by which interface: an elastic one may be bound to none.
    public_addresses: BTreeMap<Ipv4Addr, (&'static str, Option<NetworkInterfaceId>)>,
    timers: BTreeSet<(OffsetDateTime, &'static str, InstanceId)>,
    /// Requests for Spot Instances about which something is due.
    spot_timers: BTreeSet<(OffsetDateTime, &'static str, SpotInstanceRequestId)>,
    /// Volumes that were deleted, and when they are seen no more.
    deleted_volumes: BTreeSet<(OffsetDateTime, &'static str, VolumeId)>,
    effects: Vec<Effect>,
    changed: switch::Changed,
    layers: system::Layers,
}

/// What an action works on.
struct Context<'a> {
    now: OffsetDateTime,
    settings: &'a Settings,
    shared: &'a mut Shared,
    region: &'a mut Region,
    /// The other regions, while a request is answered.
    others: Option<&'a BTreeMap<&'static str, Region>>,
    /// What the conditions have in store for the request; nothing where there is none.
    verdict: Verdict,
}

/// A machine that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// `i-…`.
    pub instance: String,
    /// The NIC that was named by its address, or the primary one, as the switch knows it.
    pub nic: String,
    /// The private address of the NIC that was named; `None` for its primary one.
    pub address: Option<Ipv4Addr>,
    /// EC2's name of the state, for example `running`.
    pub state: &'static str,
    /// Whether there is a machine behind it that can ever answer.
    pub has_machine: bool,
}

impl Context<'_> {
    /// A region of the account, by its name.
    fn region_named(&self, name: &str) -> Result<&Region, ApiError> {
        if name == self.region.place.name {
            return Ok(self.region);
        }
        self.others.and_then(|others| others.get(name)).ok_or_else(|| place::unknown_region(name))
    }
}

/// Ends what ends by itself, and waits for no machine.
fn pass_time(context: &mut Context<'_>) {
    instance_profile::sweep(context);
    nat_gateway::sweep(context);
    peering::sweep(context);
    spot::sweep(context);
}

impl Account {
    /// An account whose regions have what a new account has: a default VPC each, unless the settings say that there is
    /// none, and the images of the settings.
    pub fn new(settings: Settings) -> Self {
        let mut account = Self::of(settings, BTreeMap::new());
        let Self { settings, shared, regions, .. } = &mut account;
        regions
            .extend(place::REGIONS.iter().map(|place| (place.name, Region::new(place, settings, &mut shared.source))));
        account.tell_all();
        account
    }

    /// An account with these regions.
    fn of(settings: Settings, regions: BTreeMap<&'static str, Region>) -> Self {
        let shared = Shared {
            source: Source::new(settings.seed),
            public_addresses: BTreeMap::new(),
            timers: BTreeSet::new(),
            spot_timers: BTreeSet::new(),
            deleted_volumes: BTreeSet::new(),
            effects: Vec::new(),
            changed: switch::Changed::default(),
            layers: system::Layers::default(),
        };
        let (gate, replicas) = (Gate::new(settings.conditions_seed), Replicas::new(settings.conditions_seed));
        Self { settings, shared, regions, gate, replicas, delivery: Delivery::default(), stored: None }
    }

    /// The actions that are served, by name.
    pub fn actions() -> impl Iterator<Item = &'static str> {
        actions::all().map(|action| action.name)
    }

    /// Answers one request; `input` and the answer are by the model's member names.
    ///
    /// With `DryRun` everything is done as it would be, on a copy that is thrown away.
    ///
    /// # Errors
    /// EC2's own, in the cases in which EC2 answers with them; `UnsupportedOperation`, naming it, for what EC2
    /// could do and this account can't, be it an action or a parameter; `InvalidAction` for an action that EC2 hasn't; on top of these, what the
    /// conditions and faults have in store.
    pub fn call(
        &mut self,
        now: OffsetDateTime,
        region: &str,
        action: &str,
        input: &Structure,
    ) -> Result<Structure, ApiError> {
        self.advance(now);
        self.delivery = Delivery::default();
        let action = actions::find(action)?;
        let (name, mut region) = self.regions.remove_entry(region).ok_or_else(|| place::unknown_region(region))?;
        let answer = self.answer(now, &mut region, action, input);
        self.regions.insert(name, region);
        answer
    }

    /// Answers a request to one region, which isn't among the others meanwhile.
    fn answer(
        &mut self,
        now: OffsetDateTime,
        region: &mut Region,
        action: &action::Action,
        input: &Structure,
    ) -> Result<Structure, ApiError> {
        let Self { settings, shared, regions, gate, replicas, delivery, .. } = self;
        let others = Some(&*regions);
        action.check(input)?;
        let profile = settings.conditions.profile();
        let second = settings.paced(Duration::from_secs(1));
        let question = Question { now, region: region.place.name, action: action.name, input, second };
        let mut verdict = gate.admit(question, profile)?;
        *delivery = verdict.delivery;
        pass_time(&mut Context { now, settings, shared, region, others, verdict: Verdict::default() });
        region.look(replicas.next(now, profile, settings.paced(profile.lag)));
        let answer = if input.boolean("DryRun") == Some(true) {
            // Whether there is capacity turns out only when it is taken.
            verdict.shortage = None;
            let (shared, region) = (&mut shared.clone(), &mut region.clone());
            (action.run)(&mut Context { now, settings, shared, region, others, verdict }, input).and_then(|_| {
                let message = "Request would have succeeded, but DryRun flag is set.";
                Err(ApiError::new(Code::DryRunOperation, message))
            })
        } else {
            (action.run)(&mut Context { now, settings, shared, region, others, verdict }, input)
        };
        region.look(None);
        region.note((!profile.lag.is_zero()).then_some(now));
        answer
    }

    /// How the answer of the last call gets to the client; it says so once.
    #[must_use = "an answer that is late or lost must not be given at once"]
    pub fn take_delivery(&mut self) -> Delivery {
        std::mem::take(&mut self.delivery)
    }

    /// Offers these images of the account's own in every region, known everywhere at once, and no others.
    pub fn offer(&mut self, images: Vec<ImageSettings>) {
        for region in self.regions.values_mut() {
            image::withdraw(region, &images);
            image::install(region, &images);
            region.note(None);
        }
        self.settings.images.retain(|image| image.root.is_none());
        self.settings.images.extend(images);
    }

    /// The id that the image of a name has in a region.
    pub fn image_id(region: &str, name: &str) -> String {
        image::id(region, name).to_string()
    }

    /// The conditions.
    pub fn conditions(&self) -> Conditions {
        self.settings.conditions
    }

    /// Changes the conditions, for requests from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.settings.conditions = conditions;
    }

    /// The faults that were asked for, as far as they are still to come.
    pub fn faults(&self) -> Vec<Fault> {
        self.gate.faults().cloned().collect()
    }

    /// Asks for a fault.
    ///
    /// # Errors
    /// `UnsupportedOperation` where it is of an action that the account does not serve.
    pub fn add_fault(&mut self, fault: Fault) -> Result<(), ApiError> {
        if let Some(name) = fault.action() {
            actions::find(name)?;
        }
        self.gate.add(fault);
        Ok(())
    }

    /// Asks for no more faults; those of the conditions stay.
    pub fn clear_faults(&mut self) {
        self.gate.clear();
    }

    /// Lets AWS take a Spot Instance away: it is told so, and two minutes later, at the account's pace, it is stopped or
    /// terminated, as its request says. `notice` is how much later else, of the account's clock.
    ///
    /// # Errors
    /// EC2's own where there is no such instance; `UnsupportedOperation` where it is no Spot Instance, `IncorrectInstanceState` where it
    /// doesn't run, or is being taken away already.
    pub fn interrupt(&mut self, now: OffsetDateTime, instance: &str, notice: Option<Duration>) -> Result<(), ApiError> {
        self.advance(now);
        let id = InstanceId::parse(instance)?;
        let Self { settings, shared, regions, .. } = self;
        let region = regions
            .values_mut()
            .find(|region| region.instances.contains(&id))
            .ok_or_else(|| ApiError::new(InstanceId::NOT_FOUND, InstanceId::not_found(&[instance])))?;
        let verdict = Verdict::default();
        spot::announce(&mut Context { now, settings, shared, region, others: None, verdict }, &id, notice)?;
        self.advance(now);
        Ok(())
    }

    /// What must happen to the machines, in order, since this was last called.
    #[must_use = "what is not carried out will never happen"]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.shared.effects)
    }

    /// Something happened to an instance's machine, or came of taking a snapshot or of filling a volume. Events of what doesn't exist are ignored.
    pub fn machine_event(&mut self, now: OffsetDateTime, subject: &str, event: Event) {
        let Self { settings, shared, regions, .. } = self;
        if let Ok(id) = SnapshotId::parse(subject) {
            if let Some(region) = regions.values_mut().find(|region| region.snapshots.contains(&id)) {
                let verdict = Verdict::default();
                snapshot::event(&mut Context { now, settings, shared, region, others: None, verdict }, &id, event);
            }
            return;
        }
        if let Ok(id) = VolumeId::parse(subject) {
            if let Some(region) = regions.values_mut().find(|region| region.volumes.contains(&id)) {
                let verdict = Verdict::default();
                volume::filling::event(
                    &mut Context { now, settings, shared, region, others: None, verdict },
                    &id,
                    event,
                );
            }
            return;
        }
        let Ok(id) = InstanceId::parse(subject) else { return };
        if let Some(region) = regions.values_mut().find(|region| region.instances.contains(&id)) {
            instance::power::machine_event(
                &mut Context { now, settings, shared, region, others: None, verdict: Verdict::default() },
                &id,
                event,
            );
        }
        self.advance(now);
    }

    /// When [`Account::advance`] has something to do; `None` if nothing waits for time to pass.
    pub fn next_due(&self) -> Option<OffsetDateTime> {
        let instances = self.shared.timers.first().map(|(at, ..)| *at);
        let requests = self.shared.spot_timers.first().map(|(at, ..)| *at);
        instances.into_iter().chain(requests).min()
    }

    /// Lets time pass: instances become `running`, `stopped`, `terminated`, and vanish.
    pub fn advance(&mut self, now: OffsetDateTime) {
        let Self { settings, shared, regions, .. } = self;
        // Nothing but what is seen depends on it, so it is no timer.
        while shared.deleted_volumes.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, region, id)) = shared.deleted_volumes.pop_first() else { break };
            if let Some(region) = regions.get_mut(region) {
                volume::vanish(region, &id);
            }
        }
        loop {
            let instance = shared.timers.first().map(|(at, ..)| *at).filter(|at| *at <= now);
            let request = shared.spot_timers.first().map(|(at, ..)| *at).filter(|at| *at <= now);
            let verdict = Verdict::default();
            match (instance, request) {
                (None, None) => break,
                (Some(at), other) if other.is_none_or(|other| at <= other) => {
                    let Some((_, region, id)) = shared.timers.pop_first() else { break };
                    let Some(region) = regions.get_mut(region) else { continue };
                    instance::life::settle(&mut Context { now, settings, shared, region, others: None, verdict }, &id);
                }
                _ => {
                    let Some((_, region, id)) = shared.spot_timers.pop_first() else { break };
                    let Some(region) = regions.get_mut(region) else { continue };
                    spot::settle(&mut Context { now, settings, shared, region, others: None, verdict }, &id);
                }
            }
        }
    }

    /// What the metadata service tells to the machine that holds a NIC.
    pub fn metadata(&self, nic: &str) -> Option<Metadata> {
        let nic = NetworkInterfaceId::parse(nic).ok()?;
        self.regions.values().find_map(|region| instance::metadata::of(&self.settings, region, &nic))
    }

    /// The domain of the private name of the machine that holds a NIC.
    pub fn private_domain(&self, nic: &str) -> Option<String> {
        let nic = NetworkInterfaceId::parse(nic).ok()?;
        let region = self.regions.values().find(|region| region.network_interfaces.get(&nic).is_some())?;
        Some(address::private_domain(region.place))
    }

    /// What the machine that holds a NIC is told of its network.
    pub fn dhcp_options(&self, nic: &str) -> Option<DhcpOptions> {
        let nic = NetworkInterfaceId::parse(nic).ok()?;
        let found = |region: &Region| Some(dhcp_options::of(region, &region.network_interfaces.get(&nic)?.vpc));
        self.regions.values().find_map(found)
    }

    /// Whether the metadata service answers the machine that holds a NIC by now.
    pub fn metadata_is_ready(&self, now: OffsetDateTime, nic: &str) -> bool {
        let Ok(nic) = NetworkInterfaceId::parse(nic) else { return true };
        let mut answers =
            self.regions.values().filter_map(|region| instance::metadata::is_ready(&self.settings, region, &nic, now));
        answers.next().unwrap_or(true)
    }

    /// The addresses that the resource name of an instance means in the VPC of a NIC: `None` where it means nothing there.
    pub fn resource_name(&self, nic: &str, instance: &str) -> Option<Vec<IpAddr>> {
        let (nic, instance) = (NetworkInterfaceId::parse(nic).ok()?, InstanceId::parse(instance).ok()?);
        let region = self.regions.values().find(|region| region.network_interfaces.contains(&nic))?;
        instance::names::resolved(region, &nic, &instance)
    }

    /// Finds a machine by instance id, private or public address, or private or public DNS name. Terminated instances have
    /// no addresses. `None` also where a private address is in use in several regions: name the instance then.
    pub fn find(&self, name: &str) -> Option<Found> {
        let is_private = |domain: &str| place::REGIONS.iter().any(|place| address::private_domain(place) == domain);
        let found = |region: &Region, id: &InstanceId, at: Option<(&NetworkInterfaceId, Ipv4Addr)>| {
            let instance = region.instances.get(id)?;
            let nic = at.map(|(nic, _)| nic).or(instance.network_interfaces.first())?.to_string();
            Some(Found {
                instance: id.to_string(),
                nic,
                address: at.map(|(_, address)| address),
                state: instance.state.name(),
                has_machine: instance.kind.has_machine(),
            })
        };
        // Its id may be its name, too.
        let host = name.split_once('.').map_or(name, |(host, domain)| if is_private(domain) { host } else { name });
        if let Ok(id) = InstanceId::parse(host) {
            return self.regions.values().find_map(|region| found(region, &id, None));
        }
        let address = name.parse().ok().or_else(|| address::in_dns_name(name))?;
        if let Some((region, nic)) = self.shared.public_addresses.get(&address) {
            let (region, nic) = (self.regions.get(region)?, nic.as_ref()?);
            let interface = region.network_interfaces.get(nic)?;
            let mut held = interface.addresses();
            let private = held.find(|private| interface.public_address_of(*private, region) == Some(address))?;
            return found(region, interface.instance()?, Some((nic, private)));
        }
        let mut holders = self.regions.values().flat_map(|region| {
            region
                .network_interfaces_at(address)
                .filter_map(|(nic, interface)| found(region, interface.instance()?, Some((nic, address))))
                .collect::<Vec<_>>()
        });
        holders.next().filter(|_| holders.next().is_none())
    }

    /// How many instances have a machine, or are on their way to have one: all but the stopped and the terminated.
    pub fn live_instances(&self) -> usize {
        self.regions.values().flat_map(Region::live_instances).count()
    }
}

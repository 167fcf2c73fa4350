//! What a RunInstances request asks for, checked.

use super::{
    LaunchKey, Options, ShutdownBehavior, block_device,
    block_device::Mapping,
    credits,
    metadata_options::MetadataOptions,
    names::PrivateNames,
    network,
    placement::{self, Placement},
    shortage, user_data,
};
use crate::{
    account::{
        Context, capacity,
        ids::{ImageId, SecurityGroupId, SubnetId},
        image::{self, Image},
        instance_profile::{self, Profile},
        instance_type::{self, InstanceType},
        quota,
        request::{combination, invalid, one_of, only, required, unsupported},
        spot::{self, Market},
        tags::{TagSet, TagSpecifications, check_metadata_keys},
        volume::attach::too_many,
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// What a RunInstances request asks for.
#[derive(Debug)]
pub(in crate::account) struct Launch {
    pub(super) count: u64,
    pub(super) image: ImageId,
    pub(in crate::account) instance_type: &'static InstanceType,
    pub(super) key: Option<LaunchKey>,
    pub(super) profile: Option<Profile>,
    pub(super) place: network::Place,
    pub(super) volumes: Vec<Mapping>,
    pub(super) user_data: Option<Vec<u8>>,
    pub(super) options: Options,
    pub(super) metadata_options: MetadataOptions,
    pub(in crate::account) tags: TagSpecifications,
    pub(super) placement: Option<Placement>,
    /// The terms of a Spot Instance.
    pub(super) market: Option<Market>,
    /// The tags that AWS itself gives the instances.
    pub(super) own_tags: TagSet,
}

/// The parameters that are served; others are refused by name.
pub(in crate::account) const PARAMETERS: &[&str] = &[
    "BlockDeviceMappings",
    "CapacityReservationSpecification",
    "ClientToken",
    "CpuOptions",
    "CreditSpecification",
    "DisableApiStop",
    "DisableApiTermination",
    "EbsOptimized",
    "IamInstanceProfile",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceMarketOptions",
    "InstanceType",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "KeyName",
    "LaunchTemplate",
    "MaintenanceOptions",
    "MaxCount",
    "MetadataOptions",
    "MinCount",
    "Monitoring",
    "NetworkInterfaces",
    "Placement",
    "PrivateDnsNameOptions",
    "PrivateIpAddress",
    "SecurityGroupIds",
    "SecurityGroups",
    "SubnetId",
    "TagSpecifications",
    "UserData",
];

/// The default of EC2, for want of InstanceType. It can't run any image of today, and none of ours.
pub(in crate::account) const DEFAULT_TYPE: &str = "m1.small";

impl Launch {
    pub(in crate::account) fn read(context: &Context<'_>, input: &Structure) -> Result<Self, ApiError> {
        let region = &*context.region;
        let (least, most) = counts(input)?;
        let image = image::of_launch(region, required(input, "ImageId")?)?;
        image::check_runnable(context, &image)?;
        let contents = region.images.require(&image)?;
        let instance_type = instance_type::named(input.string("InstanceType").unwrap_or(DEFAULT_TYPE))?;
        check_architecture(instance_type, contents)?;
        if instance_type.is_paravirtual() {
            return Err(combination(
                "Non-Windows instances with a virtualization type of 'hvm' are currently not supported for this instance type.",
            ));
        }
        check_ena(instance_type, contents)?;
        let metadata_options = MetadataOptions::read(input, contents.options.imds_v2, region.options.metadata())?;
        let market = Market::read(context.now, input)?;
        let tags = tags(input, market.is_some())?;
        if metadata_options.tags {
            check_metadata_keys(tags.of("instance").keys())?;
        }
        let placement = placement::read(region, input, instance_type, market.as_ref())?;
        let is_apart = |zone| placement.as_ref().is_some_and(|placement| !placement.fits(region, zone));
        let has_room = |zone| capacity::left(context, &[], instance_type, zone) >= least && !is_apart(zone);
        let place = network::read(region, input, most, instance_type, has_room)?;
        let zone = region.subnets.require(&place.subnet)?.zone;
        let bounds = [
            quota::instances(context, &[], least),
            match &market {
                None => quota::vcpus(context, &[], instance_type),
                Some(_) => quota::spot_vcpus(context, &[], instance_type),
            },
            capacity::room(context, &[], instance_type, zone),
        ];
        let beside = placement.as_ref().map(|placement| placement.room(context, &[], zone));
        let bounds = bounds.into_iter().chain(beside).chain(network::rooms(context, &place)?);
        let count = bounds.into_iter().try_fold(most, |count, room| room.admit(least, count))?;
        check_placement(input)?;
        placement.iter().try_for_each(|placement| placement.check(region, zone))?;
        let subnet = place.subnet.clone();
        let launch = Self {
            count,
            instance_type,
            key: key(context, input)?,
            profile: instance_profile::read(context, input)?,
            volumes: block_device::read(context, input, contents)?,
            image,
            place,
            user_data: user_data::read(input.string("UserData"))?,
            options: options(context, input, instance_type, &subnet)?,
            metadata_options,
            tags,
            placement,
            market,
            own_tags: TagSet::new(),
        };
        let (attachments, _) = instance_type.attachments();
        too_many(launch.volumes.len() > attachments, attachments, instance_type.name)?;
        let zone = region.subnets.require(&launch.place.subnet)?.zone;
        spot::check_price(launch.market.as_ref(), instance_type, zone)?;
        shortage::check(context, instance_type, zone)?;
        Ok(launch)
    }

    /// The subnet and the groups of the primary interface, where that is made.
    pub(in crate::account) fn network(&self) -> (&SubnetId, &[SecurityGroupId]) {
        (&self.place.subnet, self.place.groups())
    }
}

fn tags(input: &Structure, spot: bool) -> Result<TagSpecifications, ApiError> {
    const SPOT_REQUEST: &str = "spot-instances-request";
    let tags = TagSpecifications::read(input, &["instance", "volume", "network-interface", SPOT_REQUEST])?;
    if !spot && !tags.of(SPOT_REQUEST).is_empty() {
        return Err(invalid(
            "You cannot specify tags for Spot instances requests if there are no Spot instances requests being created by \
             the request.",
        ));
    }
    Ok(tags)
}

fn counts(input: &Structure) -> Result<(u64, u64), ApiError> {
    let count = |member| input.integer(member).ok_or_else(|| crate::account::request::missing(member));
    let (least, most) = (count("MinCount")?, count("MaxCount")?);
    if least < 1 {
        return Err(invalid(format!("Value ({least}) for parameter minCount is invalid. Minimum allowed value is 1.")));
    }
    if most < least {
        return Err(invalid(format!(
            "Value ({most}) for parameter maxCount is invalid. It must not be smaller than minCount ({least})."
        )));
    }
    Ok((least.unsigned_abs(), most.unsigned_abs()))
}

fn check_architecture(instance_type: &InstanceType, image: &Image) -> Result<(), ApiError> {
    let (of_type, of_image) = (instance_type.architecture, image.settings.architecture.name());
    if of_type == of_image {
        return Ok(());
    }
    Err(invalid(format!(
        "The architecture '{}' of the specified instance type does not match the architecture '{}' of the specified AMI. \
         Specify an instance type and an AMI that have matching architectures, and try again. You can use \
         'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.",
        of_type, of_image
    )))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/enhanced-networking-ena.html>.
fn check_ena(instance_type: &InstanceType, image: &Image) -> Result<(), ApiError> {
    if image.has_ena() || !instance_type.nitro {
        return Ok(());
    }
    Err(combination(format!(
        "Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{}' instance type. Ensure that \
         your instance is enabled for ENA.",
        instance_type.name
    )))
}

fn key(context: &Context<'_>, input: &Structure) -> Result<Option<LaunchKey>, ApiError> {
    let Some(name) = input.string("KeyName") else { return Ok(None) };
    let (_, key) = context
        .region
        .find_key_pair(name)
        .ok_or_else(|| ApiError::new(Code::InvalidKeyPairNotFound, format!("The key pair '{name}' does not exist")))?;
    Ok(Some(LaunchKey { name: name.to_owned(), openssh: key.openssh.clone() }))
}

fn check_placement(input: &Structure) -> Result<(), ApiError> {
    if let Some(placement) = input.structure("Placement") {
        only(
            placement,
            "Placement.",
            &["AvailabilityZone", "AvailabilityZoneId", "GroupId", "GroupName", "PartitionNumber", "Tenancy"],
        )?;
        if one_of(placement, "Tenancy", &["default", "dedicated", "host"])?.is_some_and(|tenancy| tenancy != "default")
        {
            return Err(unsupported("A tenancy other than 'default'"));
        }
    }
    if let Some(reservation) = input.structure("CapacityReservationSpecification") {
        only(reservation, "CapacityReservationSpecification.", &["CapacityReservationPreference"])?;
        if reservation.string("CapacityReservationPreference") == Some("capacity-reservations-only") {
            return Err(unsupported("A launch into a capacity reservation"));
        }
    }
    Ok(())
}

fn options(
    context: &Context<'_>,
    input: &Structure,
    instance_type: &InstanceType,
    subnet: &SubnetId,
) -> Result<Options, ApiError> {
    let behavior = one_of(input, "InstanceInitiatedShutdownBehavior", ShutdownBehavior::NAMES)?;
    let recovery = match input.structure("MaintenanceOptions") {
        None => None,
        Some(options) => {
            only(options, "MaintenanceOptions.", &["AutoRecovery"])?;
            one_of(options, "AutoRecovery", &["default", "disabled"])?
        }
    };
    let monitoring = match input.structure("Monitoring") {
        None => false,
        Some(monitoring) => {
            only(monitoring, "Monitoring.", &["Enabled"])?;
            monitoring.boolean("Enabled").unwrap_or(false)
        }
    };
    let capacity = input
        .structure("CapacityReservationSpecification")
        .and_then(|reservation| reservation.string("CapacityReservationPreference"));
    let (cores, threads_per_core) = cpu_options(input, instance_type)?;
    Ok(Options {
        shutdown_behavior: ShutdownBehavior::named(behavior.unwrap_or("stop")),
        disable_termination: input.boolean("DisableApiTermination").unwrap_or(false),
        disable_stop: input.boolean("DisableApiStop").unwrap_or(false),
        ebs_optimized: input.boolean("EbsOptimized").unwrap_or(false),
        monitoring,
        auto_recovery: recovery.unwrap_or("default").to_owned(),
        capacity_preference: capacity.unwrap_or("open").to_owned(),
        cores,
        threads_per_core,
        unlimited_credits: credits::read(input, instance_type)?,
        monitoring_since: monitoring.then_some(context.now),
        names: PrivateNames::read(input, context.region.subnets.require(subnet)?.names)?,
    })
}

fn cpu_options(input: &Structure, instance_type: &InstanceType) -> Result<(i64, i64), ApiError> {
    let Some(options) = input.structure("CpuOptions") else {
        return Ok((instance_type.cores(), instance_type.threads_per_core()));
    };
    only(options, "CpuOptions.", &["CoreCount", "ThreadsPerCore"])?;
    cores_and_threads(options, instance_type)
}

/// The cores that a request asks for, and the threads of each.
pub(super) fn cores_and_threads(options: &Structure, instance_type: &InstanceType) -> Result<(i64, i64), ApiError> {
    let (cores, threads) = (instance_type.cores(), instance_type.threads_per_core());
    let (Some(core_count), Some(threads_per_core)) = (options.integer("CoreCount"), options.integer("ThreadsPerCore"))
    else {
        return Err(combination("CoreCount and ThreadsPerCore must be specified together"));
    };
    if !instance_type.allows(core_count, threads_per_core) {
        let message = format!(
            "CoreCount {core_count} and ThreadsPerCore {threads_per_core} are not valid for the instance type {}: at most {cores} and {threads}",
            instance_type.name
        );
        return Err(invalid(message));
    }
    Ok((core_count, threads_per_core))
}

//! Instance types: what a launch may name, and what Describe tells of it.

mod actions;
mod shown;
mod table;

pub(super) use actions::ACTIONS;

use super::{
    Context, describe,
    filter::Definition,
    request::{invalid, one_of},
    stored::by_name,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use table::{Columns, TYPES};

/// An instance type.
#[derive(Debug)]
pub(super) struct InstanceType {
    pub(super) name: &'static str,
    /// The one that a machine of today's has; also those of Macs, which no image has here.
    pub(super) architecture: &'static str,
    /// Whether it spends CPU credits.
    pub(super) burstable: bool,
    pub(super) nitro: bool,
    columns: Columns,
    layers: shown::Layers,
}

impl PartialEq for InstanceType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for InstanceType {}

/// The type of a name.
pub(super) fn named(name: &str) -> Result<&'static InstanceType, ApiError> {
    find(name).ok_or_else(|| invalid(format!("Invalid value '{name}' for InstanceType.")))
}

/// The names of all types.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|instance_type| instance_type.name)
}

fn find(name: &str) -> Option<&'static InstanceType> {
    TYPES.binary_search_by_key(&name, |instance_type| instance_type.name).ok().map(|at| &TYPES[at])
}

/// Stored by its name.
impl Serialize for InstanceType {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for &'static InstanceType {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        by_name(from, "instance type", find)
    }
}

impl InstanceType {
    pub(super) fn vcpus(&self) -> u64 {
        self.columns.vcpus.unsigned_abs()
    }

    /// How many volumes it may have, and whether interfaces count as well, but for the first one, as they do on Nitro.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/volume_limits.html>.
    pub(super) fn attachments(&self) -> (usize, bool) {
        let shown = self.shown();
        let ebs = shown.structure("EbsInfo");
        let most = ebs.and_then(|ebs| ebs.integer("MaximumEbsAttachments")).and_then(|most| usize::try_from(most).ok());
        let is_dedicated = ebs.and_then(|ebs| ebs.string("AttachmentLimitType")) == Some("dedicated");
        (most.unwrap_or(if self.nitro { 27 } else { 40 }), self.nitro && !is_dedicated)
    }

    pub(super) fn cores(&self) -> i64 {
        (self.columns.vcpus / self.columns.threads_per_core).max(1)
    }

    pub(super) fn threads_per_core(&self) -> i64 {
        self.columns.threads_per_core
    }

    /// Whether an instance may have so many cores, of so many threads.
    pub(super) fn allows(&self, cores: i64, threads_per_core: i64) -> bool {
        let known = &self.columns.cores;
        let allowed = if known.is_empty() { cores == self.cores() } else { known.contains(&cores) };
        allowed && (1..=self.threads_per_core()).contains(&threads_per_core)
    }

    /// How many network interfaces an instance may have.
    pub(super) fn network_interfaces(&self) -> u64 {
        self.columns.network_interfaces.unsigned_abs()
    }

    /// How many private addresses each of them may have.
    pub(super) fn addresses_per_interface(&self) -> u64 {
        self.columns.addresses.unsigned_abs()
    }

    /// How many IPv6 addresses each of them may have; old types have none.
    pub(super) fn addresses6_per_interface(&self) -> u64 {
        let shown = self.shown();
        let network = shown.structure("NetworkInfo");
        network.and_then(|network| network.integer("Ipv6AddressesPerInterface")).unwrap_or(0).unsigned_abs()
    }

    pub(super) fn memory_mib(&self) -> u64 {
        self.columns.mib.unsigned_abs()
    }

    /// Whether it spends more credits than it has where nothing is said: all do but the first that had them.
    pub(super) fn unlimited_credits(&self) -> bool {
        self.burstable && !self.name.starts_with("t2.")
    }

    /// Whether there are Spot Instances of it.
    pub(super) fn has_spot(&self) -> bool {
        self.shown().strings("SupportedUsageClasses").any(|class| class == "spot")
    }

    /// Whether its instances may be placed by a strategy.
    pub(super) fn has_strategy(&self, strategy: &str) -> bool {
        let shown = self.shown();
        let groups = shown.structure("PlacementGroupInfo");
        groups.is_none_or(|groups| groups.strings("SupportedStrategies").any(|supported| supported == strategy))
    }

    /// Whether Linux needs a paravirtual image on it, which nobody has here.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ComponentsAMIs.html#virtualization_types>.
    pub(super) fn is_paravirtual(&self) -> bool {
        let (family, _) = self.name.split_once('.').unwrap_or_default();
        matches!(family, "c1" | "m1" | "m2" | "t1")
    }
}

const FILTERS: &[Definition] = &[
    ("auto-recovery-supported", "AutoRecoverySupported"),
    ("bare-metal", "BareMetal"),
    ("burstable-performance-supported", "BurstablePerformanceSupported"),
    ("current-generation", "CurrentGeneration"),
    ("dedicated-hosts-supported", "DedicatedHostsSupported"),
    ("ebs-info.attachment-limit-type", "EbsInfo.AttachmentLimitType"),
    ("ebs-info.maximum-ebs-attachments", "EbsInfo.MaximumEbsAttachments"),
    ("ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps", "EbsInfo.EbsOptimizedInfo.BaselineBandwidthInMbps"),
    ("ebs-info.ebs-optimized-info.baseline-iops", "EbsInfo.EbsOptimizedInfo.BaselineIops"),
    ("ebs-info.ebs-optimized-info.baseline-throughput-in-mbps", "EbsInfo.EbsOptimizedInfo.BaselineThroughputInMBps"),
    ("ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps", "EbsInfo.EbsOptimizedInfo.MaximumBandwidthInMbps"),
    ("ebs-info.ebs-optimized-info.maximum-iops", "EbsInfo.EbsOptimizedInfo.MaximumIops"),
    ("ebs-info.ebs-optimized-info.maximum-throughput-in-mbps", "EbsInfo.EbsOptimizedInfo.MaximumThroughputInMBps"),
    ("ebs-info.ebs-optimized-support", "EbsInfo.EbsOptimizedSupport"),
    ("ebs-info.encryption-support", "EbsInfo.EncryptionSupport"),
    ("ebs-info.nvme-support", "EbsInfo.NvmeSupport"),
    ("free-tier-eligible", "FreeTierEligible"),
    ("hibernation-supported", "HibernationSupported"),
    ("hypervisor", "Hypervisor"),
    ("instance-storage-info.disk.count", "InstanceStorageInfo.Disks.Count"),
    ("instance-storage-info.disk.size-in-gb", "InstanceStorageInfo.Disks.SizeInGB"),
    ("instance-storage-info.disk.type", "InstanceStorageInfo.Disks.Type"),
    ("instance-storage-info.encryption-support", "InstanceStorageInfo.EncryptionSupport"),
    ("instance-storage-info.nvme-support", "InstanceStorageInfo.NvmeSupport"),
    ("instance-storage-info.total-size-in-gb", "InstanceStorageInfo.TotalSizeInGB"),
    ("instance-storage-supported", "InstanceStorageSupported"),
    ("instance-type", "InstanceType"),
    ("memory-info.size-in-mib", "MemoryInfo.SizeInMiB"),
    ("network-info.bandwidth-weightings", "NetworkInfo.BandwidthWeightings"),
    ("network-info.efa-info.maximum-efa-interfaces", "NetworkInfo.EfaInfo.MaximumEfaInterfaces"),
    ("network-info.efa-supported", "NetworkInfo.EfaSupported"),
    ("network-info.ena-support", "NetworkInfo.EnaSupport"),
    ("network-info.flexible-ena-queues-support", "NetworkInfo.FlexibleEnaQueuesSupport"),
    ("network-info.encryption-in-transit-supported", "NetworkInfo.EncryptionInTransitSupported"),
    ("network-info.ipv4-addresses-per-interface", "NetworkInfo.Ipv4AddressesPerInterface"),
    ("network-info.ipv6-addresses-per-interface", "NetworkInfo.Ipv6AddressesPerInterface"),
    ("network-info.ipv6-supported", "NetworkInfo.Ipv6Supported"),
    ("network-info.maximum-network-cards", "NetworkInfo.MaximumNetworkCards"),
    ("network-info.maximum-network-interfaces", "NetworkInfo.MaximumNetworkInterfaces"),
    ("network-info.network-performance", "NetworkInfo.NetworkPerformance"),
    ("nitro-enclaves-support", "NitroEnclavesSupport"),
    ("nitro-tpm-support", "NitroTpmSupport"),
    ("nitro-tpm-info.supported-versions", "NitroTpmInfo.SupportedVersions"),
    ("processor-info.supported-architecture", "ProcessorInfo.SupportedArchitectures"),
    ("processor-info.sustained-clock-speed-in-ghz", "ProcessorInfo.SustainedClockSpeedInGhz"),
    ("processor-info.supported-features", "ProcessorInfo.SupportedFeatures"),
    ("reboot-migration-support", "RebootMigrationSupport"),
    ("supported-boot-mode", "SupportedBootModes"),
    ("supported-root-device-type", "SupportedRootDeviceTypes"),
    ("supported-usage-class", "SupportedUsageClasses"),
    ("supported-virtualization-type", "SupportedVirtualizationTypes"),
    ("vcpu-info.default-cores", "VCpuInfo.DefaultCores"),
    ("vcpu-info.default-threads-per-core", "VCpuInfo.DefaultThreadsPerCore"),
    ("vcpu-info.default-vcpus", "VCpuInfo.DefaultVCpus"),
    ("vcpu-info.valid-cores", "VCpuInfo.ValidCores"),
    ("vcpu-info.valid-threads-per-core", "VCpuInfo.ValidThreadsPerCore"),
];

/// How many types a request may name, by the service model.
const MOST: usize = 100;

pub(super) fn describe(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let wanted: Vec<&str> = input.strings("InstanceTypes").collect();
    if wanted.len() > MOST {
        return Err(invalid(format!("The parameter instanceType cannot contain over {MOST} values.")));
    }
    let unknown: Vec<&str> = wanted.iter().copied().filter(|name| find(name).is_none()).collect();
    if !unknown.is_empty() {
        let message = format!("The following supplied instance types do not exist: [{}]", unknown.join(", "));
        return Err(ApiError::new(Code::InvalidInstanceType, message));
    }
    let rows = TYPES.iter().filter(|t| wanted.is_empty() || wanted.contains(&t.name));
    describe::page("DescribeInstanceTypes", "InstanceTypes", input, FILTERS, 5..=100, rows, InstanceType::shown)
}

pub(super) fn describe_offerings(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let location_type =
        one_of(input, "LocationType", &["region", "availability-zone", "availability-zone-id", "outpost"])?
            .unwrap_or("region");
    let place = context.region.place;
    let locations: Vec<String> = match location_type {
        "availability-zone" => place.zones().map(|zone| zone.name()).collect(),
        "availability-zone-id" => place.zones().map(|zone| zone.id()).collect(),
        "region" => vec![place.name.to_owned()],
        _ => Vec::new(),
    };
    let rows = locations.iter().flat_map(|location| TYPES.iter().map(move |instance_type| (location, instance_type)));
    let shown = |(location, instance_type): (&String, &InstanceType)| {
        Structure::new()
            .with("InstanceType", instance_type.name)
            .with("LocationType", location_type)
            .with("Location", location.as_str())
    };
    let filters = &[("instance-type", "InstanceType"), ("location", "Location")];
    describe::page("DescribeInstanceTypeOfferings", "InstanceTypeOfferings", input, filters, 5..=1000, rows, shown)
}

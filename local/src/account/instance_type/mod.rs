//! Instance types: what a launch may name, and what Describe tells of it.

mod table;

use super::{
    Context,
    filter::{Definition, Filters},
    pagination::Page,
    request::{invalid, one_of},
    settings::Architecture,
    stored::by_name,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use table::TYPES;

/// An instance type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InstanceType {
    pub(super) name: &'static str,
    vcpus: i64,
    mib: i64,
    pub(super) architecture: Architecture,
    threads_per_core: i64,
    network_interfaces: i64,
    addresses: i64,
    current: bool,
    pub(super) nitro: bool,
}

#[allow(clippy::too_many_arguments, reason = "one row of a table")]
const fn row(
    name: &'static str,
    vcpus: i64,
    mib: i64,
    architecture: Architecture,
    threads_per_core: i64,
    (network_interfaces, addresses): (i64, i64),
    current: bool,
    nitro: bool,
) -> InstanceType {
    InstanceType { name, vcpus, mib, architecture, threads_per_core, network_interfaces, addresses, current, nitro }
}

/// The type of a name.
pub(super) fn named(name: &str) -> Result<&'static InstanceType, ApiError> {
    find(name).ok_or_else(|| invalid(format!("Invalid value '{name}' for InstanceType.")))
}

/// The names of all types.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|instance_type| instance_type.name)
}

fn find(name: &str) -> Option<&'static InstanceType> {
    TYPES.iter().find(|instance_type| instance_type.name == name)
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
        self.vcpus.unsigned_abs()
    }

    pub(super) fn cores(&self) -> i64 {
        (self.vcpus / self.threads_per_core).max(1)
    }

    pub(super) fn threads_per_core(&self) -> i64 {
        self.threads_per_core
    }

    pub(super) fn memory_mib(&self) -> u64 {
        self.mib.unsigned_abs()
    }

    /// Whether it spends CPU credits.
    pub(super) fn burstable(&self) -> bool {
        self.name.starts_with('t')
    }

    /// Whether it spends more credits than it has where nothing is said: all do but the first that had them.
    pub(super) fn unlimited_credits(&self) -> bool {
        self.burstable() && !self.name.starts_with("t2.")
    }

    fn shown(&self) -> Structure {
        let performance = if self.burstable() { "Up to 5 Gigabit" } else { "Up to 10 Gigabit" };
        let card = Structure::new()
            .with("NetworkCardIndex", 0_i64)
            .with("NetworkPerformance", performance)
            .with("MaximumNetworkInterfaces", self.network_interfaces);
        let network = Structure::new()
            .with("NetworkPerformance", performance)
            .with("MaximumNetworkInterfaces", self.network_interfaces)
            .with("MaximumNetworkCards", 1_i64)
            .with("DefaultNetworkCardIndex", 0_i64)
            .with("NetworkCards", vec![card])
            .with("Ipv4AddressesPerInterface", self.addresses)
            .with("Ipv6AddressesPerInterface", self.addresses)
            .with("Ipv6Supported", true)
            .with("EnaSupport", if self.nitro { "required" } else { "unsupported" })
            .with("EfaSupported", false)
            .with("EnaSrdSupported", false)
            .with("EncryptionInTransitSupported", false);
        let ebs = Structure::new()
            .with("EbsOptimizedSupport", if self.nitro { "default" } else { "unsupported" })
            .with("EncryptionSupport", "supported")
            .with("NvmeSupport", if self.nitro { "required" } else { "unsupported" });
        let processor = Structure::new()
            .with("SupportedArchitectures", vec![self.architecture.name()])
            .with("Manufacturer", if self.architecture == Architecture::Arm64 { "AWS" } else { "Intel" });
        let cpus = Structure::new()
            .with("DefaultVCpus", self.vcpus)
            .with("DefaultCores", self.cores())
            .with("DefaultThreadsPerCore", self.threads_per_core)
            .with("ValidCores", (1..=self.cores()).collect::<Vec<i64>>())
            .with("ValidThreadsPerCore", (1..=self.threads_per_core).collect::<Vec<i64>>());
        Structure::new()
            .with("InstanceType", self.name)
            .with("CurrentGeneration", self.current)
            .with("FreeTierEligible", matches!(self.name, "t2.micro" | "t3.micro"))
            .with("SupportedUsageClasses", vec!["on-demand"])
            .with("SupportedRootDeviceTypes", vec!["ebs"])
            .with("SupportedVirtualizationTypes", vec!["hvm"])
            .with("SupportedBootModes", vec!["uefi"])
            .with("BareMetal", false)
            .with("Hypervisor", if self.nitro { "nitro" } else { "xen" })
            .with("ProcessorInfo", processor)
            .with("VCpuInfo", cpus)
            .with("MemoryInfo", Structure::new().with("SizeInMiB", self.mib))
            .with("InstanceStorageSupported", false)
            .with("EbsInfo", ebs)
            .with("NetworkInfo", network)
            .with("PlacementGroupInfo", Structure::new().with("SupportedStrategies", Vec::<Structure>::new()))
            .with("HibernationSupported", false)
            .with("BurstablePerformanceSupported", self.burstable())
            .with("DedicatedHostsSupported", false)
            .with("AutoRecoverySupported", false)
            .with("NitroEnclavesSupport", "unsupported")
            .with("NitroTpmSupport", "unsupported")
    }
}

const FILTERS: &[Definition] = &[
    ("auto-recovery-supported", "AutoRecoverySupported"),
    ("bare-metal", "BareMetal"),
    ("burstable-performance-supported", "BurstablePerformanceSupported"),
    ("current-generation", "CurrentGeneration"),
    ("dedicated-hosts-supported", "DedicatedHostsSupported"),
    ("ebs-info.attachment-limit-type", ""),
    ("ebs-info.maximum-ebs-attachments", ""),
    ("ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps", ""),
    ("ebs-info.ebs-optimized-info.baseline-iops", ""),
    ("ebs-info.ebs-optimized-info.baseline-throughput-in-mbps", ""),
    ("ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps", ""),
    ("ebs-info.ebs-optimized-info.maximum-iops", ""),
    ("ebs-info.ebs-optimized-info.maximum-throughput-in-mbps", ""),
    ("ebs-info.ebs-optimized-support", "EbsInfo.EbsOptimizedSupport"),
    ("ebs-info.encryption-support", "EbsInfo.EncryptionSupport"),
    ("ebs-info.nvme-support", "EbsInfo.NvmeSupport"),
    ("free-tier-eligible", "FreeTierEligible"),
    ("hibernation-supported", "HibernationSupported"),
    ("hypervisor", "Hypervisor"),
    ("instance-storage-info.disk.count", ""),
    ("instance-storage-info.disk.size-in-gb", ""),
    ("instance-storage-info.disk.type", ""),
    ("instance-storage-info.encryption-support", ""),
    ("instance-storage-info.nvme-support", ""),
    ("instance-storage-info.total-size-in-gb", ""),
    ("instance-storage-supported", "InstanceStorageSupported"),
    ("instance-type", "InstanceType"),
    ("memory-info.size-in-mib", "MemoryInfo.SizeInMiB"),
    ("network-info.bandwidth-weightings", ""),
    ("network-info.efa-info.maximum-efa-interfaces", ""),
    ("network-info.efa-supported", "NetworkInfo.EfaSupported"),
    ("network-info.ena-support", "NetworkInfo.EnaSupport"),
    ("network-info.flexible-ena-queues-support", ""),
    ("network-info.encryption-in-transit-supported", "NetworkInfo.EncryptionInTransitSupported"),
    ("network-info.ipv4-addresses-per-interface", "NetworkInfo.Ipv4AddressesPerInterface"),
    ("network-info.ipv6-addresses-per-interface", "NetworkInfo.Ipv6AddressesPerInterface"),
    ("network-info.ipv6-supported", "NetworkInfo.Ipv6Supported"),
    ("network-info.maximum-network-cards", "NetworkInfo.MaximumNetworkCards"),
    ("network-info.maximum-network-interfaces", "NetworkInfo.MaximumNetworkInterfaces"),
    ("network-info.network-performance", "NetworkInfo.NetworkPerformance"),
    ("nitro-enclaves-support", "NitroEnclavesSupport"),
    ("nitro-tpm-support", "NitroTpmSupport"),
    ("nitro-tpm-info.supported-versions", ""),
    ("processor-info.supported-architecture", "ProcessorInfo.SupportedArchitectures"),
    ("processor-info.sustained-clock-speed-in-ghz", ""),
    ("processor-info.supported-features", ""),
    ("reboot-migration-support", ""),
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
    let rows = TYPES.iter().filter(|t| wanted.is_empty() || wanted.contains(&t.name)).map(InstanceType::shown);
    page("DescribeInstanceTypes", "InstanceTypes", input, FILTERS, 5..=100, rows)
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
    let rows = locations.iter().flat_map(|location| {
        TYPES.iter().map(move |instance_type| {
            Structure::new()
                .with("InstanceType", instance_type.name)
                .with("LocationType", location_type)
                .with("Location", location.as_str())
        })
    });
    let filters = &[("instance-type", "InstanceType"), ("location", "Location")];
    page("DescribeInstanceTypeOfferings", "InstanceTypeOfferings", input, filters, 5..=1000, rows)
}

/// A page of rows that never change.
fn page(
    action: &str,
    member: &'static str,
    input: &Structure,
    filters: &[Definition],
    sizes: std::ops::RangeInclusive<i64>,
    rows: impl Iterator<Item = Structure>,
) -> Result<Structure, ApiError> {
    let filters = Filters::read(input, filters, false)?;
    let page = Page::read(input, action, &sizes)?;
    let mut numbered =
        (1..).zip(rows).filter(|(number, row)| *number > page.after_number() && filters.pass(row, &Structure::new()));
    let mut last = page.after_number();
    let shown: Vec<Structure> = numbered
        .by_ref()
        .take(page.size)
        .map(|(number, row)| {
            last = number;
            row
        })
        .collect();
    let next = numbered.next().map(|_| page.token(last));
    Ok(Structure::new().with(member, shown).with_some("NextToken", next))
}

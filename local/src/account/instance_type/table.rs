//! The instance types that are known: those of EC2, by its own answers. `local/model/instance_types.py` makes the table, and says how
//! it is laid out; here it is read, once a process, as far as launches need it.

use super::{InstanceType, shown::Layers};
use crate::account::Architecture;
use serde::Deserialize;
use std::sync::LazyLock;

const TABLE: &str = include_str!("../../../model/instance-types.tsv");

/// By name.
pub(super) static TYPES: LazyLock<Vec<InstanceType>> = LazyLock::new(read);

/// What the columns say of a type.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) vcpus: i64,
    pub(super) threads_per_core: i64,
    pub(super) mib: i64,
    pub(super) network_interfaces: i64,
    pub(super) addresses: i64,
    pub(super) network_performance: &'static str,
    /// Bandwidths in Gbit/s, and numbers of queues; of a type with one card.
    pub(super) card: Vec<f64>,
    pub(super) volumes: Option<i64>,
    /// Bandwidths in Mbit/s and operations a second, what is guaranteed and what can be, where these differ.
    pub(super) ebs: Vec<i64>,
    /// How many, of how many GB.
    pub(super) disks: Option<(i64, i64)>,
    pub(super) cores: Vec<i64>,
}

/// What a launch must know of what is said in JSON.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Traits<'a> {
    bare_metal: Option<bool>,
    burstable_performance_supported: Option<bool>,
    #[serde(borrow)]
    hypervisor: Option<&'a str>,
    #[serde(borrow)]
    processor_info: Option<Processor<'a>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Processor<'a> {
    #[serde(borrow, default, deserialize_with = "last")]
    supported_architectures: Option<&'a str>,
}

/// The last architecture: the first of two is one that nobody has any more.
fn last<'de: 'a, 'a, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'a str>, D::Error> {
    Ok(Vec::<&'a str>::deserialize(from)?.pop())
}

impl Traits<'static> {
    fn over(self, under: Self) -> Self {
        Self {
            bare_metal: self.bare_metal.or(under.bare_metal),
            burstable_performance_supported: self
                .burstable_performance_supported
                .or(under.burstable_performance_supported),
            hypervisor: self.hypervisor.or(under.hypervisor),
            processor_info: self
                .processor_info
                .filter(|processor| processor.supported_architectures.is_some())
                .or(under.processor_info),
        }
    }
}

fn read() -> Vec<InstanceType> {
    let mut types = Vec::with_capacity(1500);
    let (mut most, mut family) = (("{}", Traits::default()), ("{}", Traits::default()));
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let Some(name) = fields.next() else { continue };
        if name.contains('.') {
            let Some(columns) = columns(&mut fields) else { continue };
            let rest = fields.next().unwrap_or("{}");
            let traits = traits(rest).over(family.1).over(most.1);
            types.push(instance_type(name, columns, traits, [most.0, family.0, rest]));
            continue;
        }
        let said = fields.next().unwrap_or("{}");
        *(if name == "*" { &mut most } else { &mut family }) = (said, traits(said));
    }
    types.sort_by_key(|instance_type: &InstanceType| instance_type.name);
    types
}

fn traits(json: &'static str) -> Traits<'static> {
    serde_json::from_str(json).unwrap_or_default()
}

fn instance_type(name: &'static str, columns: Columns, traits: Traits<'static>, layers: Layers) -> InstanceType {
    let architecture = traits.processor_info.and_then(|processor| processor.supported_architectures);
    InstanceType {
        name,
        architecture: architecture.unwrap_or(Architecture::X86_64.name()),
        burstable: traits.burstable_performance_supported == Some(true),
        // Bare metal has no hypervisor, but Nitro's cards.
        nitro: traits.bare_metal == Some(true) || traits.hypervisor == Some("nitro"),
        columns,
        layers,
    }
}

fn columns(fields: &mut impl Iterator<Item = &'static str>) -> Option<Columns> {
    let mut field = || fields.next();
    let [vcpus, threads_per_core] = numbers(field()?).try_into().ok()?;
    let mib = field()?.parse().ok()?;
    let [network_interfaces, addresses] = numbers(field()?).try_into().ok()?;
    let network_performance = field()?;
    let card = field()?.split('/').filter_map(|number| number.parse().ok()).collect();
    let volumes = field()?.parse().ok();
    let ebs = numbers(field()?);
    let disks = field()?.split_once('x').and_then(|(count, size)| Some((count.parse().ok()?, size.parse().ok()?)));
    let cores = cores(field()?);
    Some(Columns {
        vcpus,
        threads_per_core,
        mib,
        network_interfaces,
        addresses,
        network_performance,
        card,
        volumes,
        ebs,
        disks,
        cores,
    })
}

fn numbers(text: &str) -> Vec<i64> {
    text.split('/').filter_map(|number| number.parse().ok()).collect()
}

/// `first-last/step`, or all of them.
fn cores(text: &str) -> Vec<i64> {
    let range = || {
        let (bounds, step) = text.split_once('/')?;
        let (first, last) = bounds.split_once('-')?;
        let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
        Some((first..=last).step_by(step.parse().ok().filter(|step| *step > 0)?).collect())
    };
    range().unwrap_or_else(|| text.split(',').filter_map(|core| core.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read() {
        let rows = TABLE.lines().filter(|line| line.split('\t').next().is_some_and(|name| name.contains('.'))).count();
        assert_eq!(TYPES.len(), rows - 1, "all but the line of the columns' names, which has the source's version");
        assert!(TYPES.len() > 1300, "{}", TYPES.len());
        assert!(TYPES.is_sorted_by(|a, b| a.name < b.name));
        for instance_type in TYPES.iter() {
            let columns = &instance_type.columns;
            assert_eq!(columns.vcpus % columns.threads_per_core, 0, "{}", instance_type.name);
            for layer in instance_type.layers {
                assert!(serde_json::from_str::<Traits>(layer).is_ok(), "{}: {layer}", instance_type.name);
            }
        }
    }

    #[test]
    fn types_are_what_they_are_on_ec2() {
        let found = |name| {
            let found = TYPES.iter().find(|instance_type| instance_type.name == name).unwrap();
            (found.vcpus(), found.memory_mib(), found.architecture, found.burstable, found.nitro)
        };
        assert_eq!(found("t3.micro"), (2, 1024, "x86_64", true, true));
        assert_eq!(found("t2.nano"), (1, 512, "x86_64", true, false));
        assert_eq!(found("trn1.2xlarge"), (8, 32768, "x86_64", false, true));
        assert_eq!(found("m7g.metal"), (64, 262_144, "arm64", false, true));
        assert_eq!(found("mac2.metal"), (8, 16384, "arm64_mac", false, true));
        assert_eq!(found("m1.small"), (1, 1740, "x86_64", false, false));
    }
}

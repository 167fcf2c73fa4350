//! What DescribeInstanceTypes tells of a type: its columns, and over them what is said in JSON of most types, of its family and of
//! itself.

use super::{InstanceType, table::Columns};
use crate::wire::{Structure, Value};
use serde_json::{Map, Value as Json, json};

/// JSON, the later goes before the earlier.
pub(super) type Layers = [&'static str; 3];

type Object = Map<String, Json>;

/// The network interfaces of a card that has EFA, and of one that hasn't.
const WITH_EFA: &[&str] = &["interface", "efa", "efa-only"];
const WITHOUT_EFA: &[&str] = &["interface"];

impl InstanceType {
    pub(super) fn shown(&self) -> Structure {
        let mut shown = said(&self.columns);
        for layer in self.layers {
            merge(&mut shown, serde_json::from_str(layer).unwrap_or_default());
        }
        complete(&mut shown);
        structure(shown).with("InstanceType", self.name)
    }
}

/// What the columns say.
fn said(columns: &Columns) -> Object {
    let threads = columns.threads_per_core;
    let mut processors = json!({
        "DefaultVCpus": columns.vcpus,
        "DefaultCores": columns.vcpus / threads,
        "DefaultThreadsPerCore": threads,
    });
    if !columns.cores.is_empty() {
        processors["ValidCores"] = json!(columns.cores);
        processors["ValidThreadsPerCore"] = (1..=threads).collect();
    }
    let mut network = json!({
        "MaximumNetworkInterfaces": columns.network_interfaces,
        "Ipv4AddressesPerInterface": columns.addresses,
        "Ipv6AddressesPerInterface": columns.addresses,
        "NetworkPerformance": columns.network_performance,
    });
    if let Some(card) = card(columns) {
        network["NetworkCards"] = json!([[1, card]]);
    }
    let mut said = Object::new();
    said.insert("VCpuInfo".to_owned(), processors);
    said.insert("MemoryInfo".to_owned(), json!({ "SizeInMiB": columns.mib }));
    said.insert("NetworkInfo".to_owned(), network);
    let mut ebs = Object::new();
    if let Some(volumes) = columns.volumes {
        ebs.insert("MaximumEbsAttachments".to_owned(), volumes.into());
    }
    if let Some(bandwidth) = bandwidth(&columns.ebs) {
        ebs.insert("EbsOptimizedInfo".to_owned(), bandwidth);
    }
    if !ebs.is_empty() {
        said.insert("EbsInfo".to_owned(), ebs.into());
    }
    if let Some((count, size)) = columns.disks {
        let disk = json!({ "Count": count, "SizeInGB": size, "Type": "ssd" });
        said.insert("InstanceStorageInfo".to_owned(), json!({ "Disks": [disk], "TotalSizeInGB": count * size }));
    }
    said
}

fn card(columns: &Columns) -> Option<Json> {
    let [baseline, peak, queues @ ..] = &columns.card[..] else { return None };
    let mut card = json!({
        "NetworkPerformance": columns.network_performance,
        "MaximumNetworkInterfaces": columns.network_interfaces,
        "BaselineBandwidthInGbps": baseline,
        "PeakBandwidthInGbps": peak,
    });
    let names = ["DefaultEnaQueueCountPerInterface", "MaximumEnaQueueCountPerInterface", "MaximumEnaQueueCount"];
    for (name, count) in names.into_iter().zip(queues) {
        card[name] = (*count as i64).into();
    }
    if queues.len() == names.len() {
        card["AdditionalFlexibleNetworkInterfaces"] = 0.into();
    }
    Some(card)
}

fn bandwidth(numbers: &[i64]) -> Option<Json> {
    let [baseline, iops, most @ ..] = numbers else { return None };
    let [most, most_iops] = most.try_into().unwrap_or([*baseline, *iops]);
    let bytes = |bits: i64| bits as f64 / 8.0;
    Some(json!({
        "BaselineBandwidthInMbps": baseline,
        "BaselineThroughputInMBps": bytes(*baseline),
        "BaselineIops": iops,
        "MaximumBandwidthInMbps": most,
        "MaximumThroughputInMBps": bytes(most),
        "MaximumIops": most_iops,
    }))
}

/// Puts one object over another: `null` takes away.
fn merge(under: &mut Object, over: Object) {
    for (name, value) in over {
        match (value, under.get_mut(&name)) {
            (Json::Null, _) => {
                under.remove(&name);
            }
            (Json::Object(value), Some(Json::Object(known))) => merge(known, value),
            (value, _) => {
                under.insert(name, value);
            }
        }
    }
}

/// Adds what follows from the rest.
fn complete(shown: &mut Object) {
    if let Some(Json::Object(network)) = shown.get_mut("NetworkInfo") {
        let efa = network.contains_key("EfaInfo");
        network.insert("EfaSupported".to_owned(), efa.into());
        let types = if efa { WITH_EFA } else { WITHOUT_EFA };
        count_out(network, "NetworkCards", "NetworkCardIndex", |card| {
            card.entry("InterfaceTypes").or_insert_with(|| json!(types));
        });
    }
    if let Some(Json::Object(ebs)) = shown.get_mut("EbsInfo") {
        count_out(ebs, "EbsCards", "EbsCardIndex", |_| {});
    }
}

/// Makes of `[how many, a card]` the cards, each with its place.
fn count_out(of: &mut Object, member: &str, index: &str, complete: impl Fn(&mut Object)) {
    let Some(Json::Array(kinds)) = of.get_mut(member) else { return };
    let cards = kinds.iter().flat_map(|kind| {
        let count = kind[0].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        std::iter::repeat_n(&kind[1], count)
    });
    let cards = cards.enumerate().filter_map(|(at, card)| {
        let mut card = card.as_object()?.clone();
        card.insert(index.to_owned(), at.into());
        complete(&mut card);
        Some(Json::Object(card))
    });
    *kinds = cards.collect();
}

fn structure(object: Object) -> Structure {
    let mut structure = Structure::new();
    for (name, value) in object {
        if let Some(value) = of_model(value) {
            structure.set(name, value);
        }
    }
    structure
}

fn of_model(value: Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(boolean) => boolean.into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        Json::String(text) => text.into(),
        Json::Array(items) => items.into_iter().filter_map(of_model).collect::<Vec<_>>().into(),
        Json::Object(object) => structure(object).into(),
    })
}

#[cfg(test)]
mod tests {
    use crate::account::instance_type::find;

    #[test]
    fn layers_lie_over_each_other() {
        let metal = find("m8gn.metal-48xl").unwrap().shown();
        assert_eq!((metal.boolean("BareMetal"), metal.string("Hypervisor")), (Some(true), None));
        let network = metal.structure("NetworkInfo").unwrap();
        let places: Vec<_> = network.structures("NetworkCards").map(|card| card.integer("NetworkCardIndex")).collect();
        assert_eq!(places, [Some(0), Some(1)]);
        assert_eq!(network.boolean("EfaSupported"), Some(true));
        let small = find("m5d.xlarge").unwrap().shown();
        let disk = small.structure("InstanceStorageInfo").unwrap();
        assert_eq!((disk.integer("TotalSizeInGB"), disk.string("NvmeSupport")), (Some(150), Some("required")));
        assert_eq!(small.structure("NetworkInfo").unwrap().structures("NetworkCards").count(), 1);
    }
}

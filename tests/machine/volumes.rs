//! Volumes beside the root: added, taken away, attached elsewhere, kept.

use super::support::{TYPES, block_on, ec2, eventually, insist, sdk};
use ec2_harness::prelude::*;

/// What EC2 says of a volume's state; none once it is gone.
fn volume_state(ec2: &Ec2, id: &str) -> Option<String> {
    let describe = sdk(ec2).describe_volumes().volume_ids(id);
    insist(|| match block_on(describe.clone().send()) {
        Err(error) if format!("{error:?}").contains("InvalidVolume.NotFound") => Ok(None),
        other => other
            .map(|answer| answer.volumes().first().and_then(|it| Some(it.state()?.as_str().to_owned())))
            .map_err(Box::new),
    })
}

fn is_gone(ec2: &Ec2, id: &str) -> bool {
    matches!(volume_state(ec2, id).as_deref(), None | Some("deleting" | "deleted"))
}

#[test]
fn what_is_added_ends_with_its_machine() {
    let ec2 = ec2();
    let vm = ec2.launch("host").wait().unwrap();
    let volume = vm.add_volume(gp3(1)).wait().unwrap();
    let described = volume.describe().wait().unwrap();
    assert_eq!(described.attachments()[0].instance_id(), Some(vm.id()));
    assert_eq!(described.attachments()[0].delete_on_termination(), Some(true));
    assert_eq!(described.attachments()[0].device(), Some("/dev/sdf"));
    let other = vm.add_volume(gp3(1)).wait().unwrap();
    assert_eq!(other.describe().wait().unwrap().attachments()[0].device(), Some("/dev/sdg"));
    drop(vm);
    eventually("the volumes end with their machine", || is_gone(&ec2, volume.id()) && is_gone(&ec2, other.id()));
    assert_eq!(volume.describe().wait().unwrap_err().kind(), ErrorKind::Ended);
}

#[test]
fn one_is_made_attached_to_one_machine_and_then_another() {
    let ec2 = ec2();
    let one = ec2.launch("host").wait().unwrap();
    let zone = one.zone().unwrap();
    let subnet = one.last_described().unwrap().subnet_id().unwrap().to_owned();
    let other = ec2.launch("host").subnet(subnet).instance_types(TYPES).wait().unwrap();
    let volume = ec2.create_volume(gp3(1).name("ours"), &zone).wait().unwrap();
    for vm in [&one, &other] {
        volume.attach(vm).wait().unwrap();
        let error = volume.attach(vm).wait();
        assert!(error.is_ok() || error.unwrap_err().code() == Some("VolumeInUse"));
        assert_eq!(volume.describe().wait().unwrap().attachments()[0].instance_id(), Some(vm.id()));
        volume.detach().wait().unwrap();
    }
    volume.attach(&one).wait().unwrap();
    let id = volume.id().to_owned();
    // It is attached, but not the machine's: it is detached first.
    drop(volume);
    eventually("the volume is deleted", || is_gone(&ec2, &id));
    one.exec("true").wait().unwrap();
}

/// The ids of a machine's volumes, by their numbers.
fn numbered(vm: &Machine, count: usize) -> Vec<String> {
    let more = vm.volume(count).handle().wait().unwrap_err();
    assert!(more.to_string().contains(&format!("it has {count} beside its root")), "{more}");
    (0..count).map(|number| vm.volume(number).handle().wait().unwrap().id().to_owned()).collect()
}

#[test]
fn volumes_are_counted_in_the_order_of_their_attachment() {
    let ec2 = ec2();
    // Neither devices nor times nor EC2's order tell which of them comes first.
    let vm = ec2.launch("host").volumes([gp3(2).device("/dev/sdh"), gp3(1).device("/dev/sdg")]).wait().unwrap();
    let launched = numbered(&vm, 2);
    let sizes = [0, 1].map(|number| vm.volume(number).handle().wait().unwrap().describe().wait().unwrap().size());
    assert_eq!(sizes, [Some(2), Some(1)]);
    let ours = ec2.create_volume(gp3(1), vm.zone().unwrap()).wait().unwrap();
    ours.attach(&vm).wait().unwrap();
    let added = vm.add_volume(gp3(1).device("/dev/sde")).wait().unwrap();
    let ids = |order: [&str; 4]| order.map(str::to_owned).to_vec();
    assert_eq!(numbered(&vm, 4), ids([&launched[0], &launched[1], ours.id(), added.id()]));
    assert!(!numbered(&vm, 4).contains(&root(&vm)));

    // Those behind one that is detached move up, and it comes last when it is attached again.
    let first = vm.volume(0).handle().wait().unwrap();
    first.detach().wait().unwrap();
    assert_eq!(numbered(&vm, 3), ids([&launched[0], &launched[1], ours.id(), added.id()])[1..]);
    first.attach(&vm).wait().unwrap();
    let order = ids([&launched[1], ours.id(), added.id(), &launched[0]]);
    assert_eq!(numbered(&vm, 4), order);
    // By another handle of the machine, and of the volume, too.
    let other = ec2.instance(vm.id()).wait().unwrap();
    assert_eq!(numbered(&other, 4), order);
    ec2.volume(ours.id()).wait().unwrap().detach().wait().unwrap();
    assert_eq!(numbered(&vm, 3), ids([&launched[1], added.id(), &launched[0], ""])[..3]);
}

fn root(vm: &Machine) -> String {
    let described = vm.describe().wait().unwrap();
    let mut mappings = described.block_device_mappings().iter();
    let root = mappings.find(|mapping| mapping.device_name() == described.root_device_name()).unwrap();
    root.ebs().unwrap().volume_id().unwrap().to_owned()
}

#[test]
fn what_is_refused_leaves_nothing() {
    let ec2 = ec2();
    let vm = ec2.launch("host").wait().unwrap();
    for (volume, says) in [
        (NewVolume::new("gp3").size(mib(100)), "whole gib"),
        (NewVolume::new("gp9").size(gib(1)), "gp9"),
        (gp3(1).iops(10), "iops"),
        (gp3(1).snapshot("snap-0123456789abcdef0"), "snap-0123456789abcdef0"),
    ] {
        let error = vm.add_volume(volume).wait().unwrap_err().to_string();
        assert!(error.to_lowercase().contains(says), "{error}");
    }
    assert_eq!(vm.describe().wait().unwrap().block_device_mappings().len(), 1);
}

//! Volumes as their machine has them: found by their ids, formatted, mounted, and found again elsewhere.

use super::support::{self, skips_without_devices};
use ec2_harness::prelude::*;

#[ec2_test(volumes = [gp3(2), gp3(1)])]
async fn volumes_of_a_test(vm: Instance) -> Result {
    if skips_without_devices(&vm).await? {
        return Ok(());
    }
    vm.assert((vm.volume(0).size(gib(2)), vm.volume(1).size(gib(1)).fs_type("").mounted_at(""))).await?;
    let added = vm.add_volume(gp3(3)).await?;
    vm.assert(vm.volume(2).size(gib(3)..=gib(3))).within(30.secs()).await?;
    let device = vm.volume(2).device().await?;
    assert!(device.starts_with("/dev/nvme"), "{device}");
    assert_eq!(vm.device_of(&added).await?, device);
    vm.assert((volume(device.clone()).size(gib(3)), volume(added.id()).device(device))).await?;
    assert_eq!(vm.volume(2).handle().await?.id(), added.id());
    // The first that was detached is counted no more.
    let first = vm.volume(0).handle().await?;
    first.detach().await?;
    vm.assert((vm.volume(0).size(gib(1)), vm.volume(1).size(gib(3)), volume(first.id()).is_missing()))
        .within(30.secs())
        .await
}

#[ec2_test(volumes = [gp3(1)], vm(second, volumes = [gp3(2), gp3(3)]))]
async fn volumes_of_each_machine(first: Instance, second: Instance, ec2: Ec2) -> Result {
    assert_eq!(first.describe().await?.block_device_mappings().len(), 2);
    assert_eq!(second.describe().await?.block_device_mappings().len(), 3);
    if skips_without_devices(&first).await? {
        return Ok(());
    }
    first.assert(first.volume(0).size(gib(1))).await?;
    second.assert((second.volume(0).size(gib(2)), second.volume(1).size(gib(3)))).await?;
    // Who didn't launch it counts alike.
    let theirs = ec2.instance(second.id()).await?;
    let sizes = (theirs.volume(0).device().await?, theirs.volume(1).device().await?);
    assert_eq!(sizes, (second.volume(0).device().await?, second.volume(1).device().await?));
    Ok(())
}

#[ec2_test(volumes = [gp3(1)])]
async fn what_is_wrong_with_a_volume_is_told(vm: Instance) -> Result {
    let error = vm.volume(1).device().await.unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::NotFound && text.contains("it has 1 beside its root"), "{text}");
    let error = vm.assert(vm.volume(1).size(gib(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unanswerable, "{error}");
    let error = vm.volume(0).mount("data").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    if skips_without_devices(&vm).await? {
        return Ok(());
    }
    let error = vm.assert(vm.volume(0).size(gib(2)).mounted_at("/data")).await.unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Assertion && text.contains("2 GiB") && text.contains("1 GiB"), "{text}");
    let error = vm.volume(0).mount("/data").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Command, "nothing is on it: {error}");
    Ok(())
}

#[ec2_test(volumes = [gp3(1)])]
async fn a_volume_is_formatted_mounted_and_found_again(vm: Instance, ec2: Ec2) -> Result {
    if skips_without_devices(&vm).await? {
        return Ok(());
    }
    let device = vm.volume(0).format("ext4").mount("/data").await?;
    assert_eq!(vm.volume(0).device().await?, device);
    vm.exec("echo precious >/data/file").sudo().await?;
    vm.assert((vm.volume(0).fs_type("ext4").mounted_at("/data"), mount("/data").fs_type("ext4"))).await?;
    // Again, and nothing is lost.
    vm.volume(0).format("ext4").mount("/data").await?;
    vm.assert(file("/data/file").contains("precious")).await?;
    let error = vm.volume(0).format("xfs").await.unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Refused && text.contains("ext4") && text.contains("left as it is"), "{text}");
    let error = vm.volume(0).mount("/proc").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && error.to_string().contains("/proc"), "{error}");
    vm.reboot().await?;
    vm.assert(vm.volume(0).mounted_at("")).await?;
    vm.volume(0).mount("/data").await?;
    vm.assert(file("/data/file").contains("precious")).await?;
    vm.exec("umount /data").sudo().await?;

    // On another machine of its zone, under another name.
    let subnet = vm.last_described().unwrap().subnet_id().unwrap().to_owned();
    let other = ec2.launch("host").subnet(subnet).instance_types(support::TYPES).volumes([gp3(1)]).await?;
    let volume = vm.volume(0).handle().await?;
    volume.detach().await?;
    volume.attach(&other).await?;
    let device = other.device_of(&volume).await?;
    assert_ne!(device, other.volume(0).device().await?);
    other.exec(format!("mkdir -p /mnt/it && mount {device} /mnt/it")).sudo().await?;
    other.assert(file("/mnt/it/file").contains("precious")).await?;
    other.exec("umount /mnt/it").sudo().await?;
    volume.detach().await
}

//! A disk and a network interface that are added to a running machine: the disk is formatted, filled, and found again with its data on
//! another machine; the interface answers from there.
//!
//! `cargo run --example disks`; the local EC2 has disks as block devices where root runs it, and for others in its API alone.

use ec2_harness::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let ec2 = Ec2::connect().await?;
    let first = ec2.launch_default().name("first").await?;
    // A volume is of one zone, and so are the machines that it is attached to.
    let zone = first.zone().unwrap_or_default();
    let second = ec2.launch_default().name("second").zone(zone).await?;

    let disk = first.add_volume(gp3(1).name("disk")).await?;
    let has_devices = match first.volume(0).format("ext4").mount("/data").await {
        Ok(device) => {
            println!("{} is {device} in {}", disk.id(), first.name());
            true
        }
        Err(error) if error.kind() == ErrorKind::Unanswerable => {
            println!("{} is in EC2 alone, so nothing is written to it: {error}", disk.id());
            false
        }
        Err(error) => return Err(error),
    };
    if has_devices {
        first.exec("echo precious >/data/file && umount /data").sudo().await?;
    }

    // From here on it ends with this program, and not with the machine that it was added to.
    disk.detach().await?;
    disk.attach(&second).await?;
    if has_devices {
        // It has a file system, so it is only mounted.
        let device = second.volume(0).mount("/mnt").await?;
        second.assert((second.volume(0).fs_type("ext4").size(gib(1)), file("/mnt/file").contains("precious"))).await?;
        println!("{} is {device} in {}, with its data", disk.id(), second.name());
        second.exec("umount /mnt").sudo().await?;
    }

    // It takes `ip` in the machine to configure it there.
    let interface = first.add_network_interface(NewNetworkInterface::new().addresses(2).configured()).await?;
    for address in interface.private_ips() {
        second.assert(reach(address, tcp(22))).within(30.secs()).await?;
        println!("{} reaches {} at {address}, too", second.name(), first.name());
    }
    interface.remove().await?;
    disk.detach().await?;
    disk.delete().await
}

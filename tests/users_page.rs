//! The page that the API was designed from: it must compile word for word, and what the `host` image can serve is run.

mod support;

#[rustfmt::skip]
/// Word for word; what needs an image of AWS is only compiled.
mod page {
    use ec2_harness::prelude::*;

    #[ec2_test]                                        // image, type, region… from ec2-harness.toml
    async fn boots(vm: Instance) -> Result {
        let kernel = vm.exec("uname -r").await?;       // a non-zero exit is an Err that shows both streams
        assert!(!kernel.stdout.is_empty());
        vm.assert((port(22).is_listening(), file("/etc/os-release").contains("ID="))).await
    }                                                  // its end is on its way here, however the test ended

    #[ec2_test(image = "debian-12", instance_type = "t3.small", volumes = [gp3(20)], extra_nics = 1, requires = [systemd])]
    #[ignore = "needs an image with systemd"]
    fn disks_and_services(vm: Instance) -> Result {    // sync tests: .wait() where async ones .await
        vm.assert((
            vm.volume(0).size(gib(20)),
            service("ssh").is_running().is_enabled(),
            file("/etc/ssh/sshd_config").mode(0o644).contains("UsePAM yes"),
        ))
        .wait()?;                                      // one round trip; every failure is listed with its evidence
        vm.add_volume(gp3(8)).wait()?;
        vm.reboot().wait()
    }

    /// Runs once; its image is reused by every test, process and later run until what it was made from changes.
    #[ec2_snapshot(from = "debian-12", max_age = "7d")]
    async fn with_postgres(vm: Machine) -> Result {
        vm.exec("apt-get update").sudo().await?;
        vm.exec("apt-get install -y postgresql").sudo().await.map(drop)
    }

    #[ec2_test(image = with_postgres, vpc = "10.20.0.0/16")]
    #[ignore = "needs debian-12, and packages from the outside"]
    async fn replica_reaches_primary(primary: Instance, replica: Instance) -> Result {   // launched together
        replica.assert(reach(&primary, tcp(5432))).within(30.secs()).await
    }

    #[rstest]
    #[case("debian-12")]
    #[case("al2023")]
    #[ignore = "needs images of AWS"]
    #[test_attr(ec2_test)]                             // rstest makes the cases, ec2_test the tests
    async fn every_image_boots(#[case] image: &str, #[ignore] ec2: Ec2) -> Result {
        let vm = ec2.launch(image).user_data("#cloud-config\n…").run_instances(|r| r.ebs_optimized(true)).await?;
        vm.exec("cloud-init status --wait").await.map(drop)
    }
}

use ec2_harness::prelude::*;

#[ec2_test(instance_type = "t3.small", volumes = [gp3(20)], extra_nics = 1)]
fn disks_files_and_reboots(vm: Instance) -> Result {
    if support::has_no_device(vm.volume(0).device().wait())? {
        return Ok(());
    }
    assert_eq!(vm.network_interfaces().len(), 1);
    assert!(vm.public_ip().is_some());
    vm.assert((
        vm.volume(0).size(gib(20)),
        file("/etc/os-release").mode(0o644).contains("ID="),
        user("ec2-user").exists(),
    ))
    .wait()?;
    vm.add_volume(gp3(8)).wait()?;
    vm.reboot().wait()
}

#[ec2_test]
async fn replica_reaches_primary(primary: Instance, replica: Instance) -> Result {
    replica.assert(reach(&primary, tcp(22))).within(30.secs()).await
}

#[rstest]
#[case("host")]
#[test_attr(ec2_test)]
async fn every_image_boots(#[case] image: &str, #[ignore] ec2: Ec2) -> Result {
    let user_data = "#cloud-config\nwrite_files:\n- path: /etc/motto\n  content: it boots\n";
    let vm = ec2.launch(image).user_data(user_data).run_instances(|r| r.ebs_optimized(true)).await?;
    vm.assert(file("/etc/motto").contains("it boots")).await?;
    vm.exec("cloud-init status --wait").await.map(drop)
}

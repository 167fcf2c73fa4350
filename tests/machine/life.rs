//! Reboot, stop and start, console, end.

use super::support;
use ec2_harness::prelude::*;

const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";

#[ec2_test]
async fn a_reboot_is_a_new_boot_of_the_same_disk(vm: Instance) -> Result {
    let before = vm.exec(BOOT_ID).await?.stdout;
    vm.exec("echo kept >/var/tmp/file && echo gone >/run/file && sleep 4321 >/dev/null 2>&1 &").sudo().await?;
    let address = vm.public_ip();
    vm.reboot().await?;
    assert_ne!(vm.exec(BOOT_ID).await?.stdout, before);
    vm.assert((
        file("/var/tmp/file").contains("kept"),
        file("/run/file").is_missing(),
        command("pgrep -f 'sleep 432[1]'").fails(),
    ))
    .await?;
    vm.describe().await?;
    assert_eq!(vm.public_ip(), address);
    // Again, at once, and several times.
    vm.reboot().await?;
    vm.exec("test -f /var/tmp/file").await.map(drop)
}

/// Which is what a reboot is for, mostly.
#[ec2_test]
async fn a_machine_that_does_not_answer_is_rebooted_nevertheless(ec2: Ec2) -> Result {
    let account = ec2.clone();
    let closed = tokio::task::spawn_blocking(move || support::closed_group(&account)).await?;
    let vm = ec2.launch("host").security_groups([&closed]).without_waiting().await?;
    let booted = async |times| {
        let since = std::time::Instant::now();
        while vm.console_log().await?.matches("finished at").count() < times {
            assert!(since.elapsed() < support::PATIENCE, "it doesn't boot {times} times");
        }
        Ok::<(), Failure>(())
    };
    booted(1).await?;
    let rebooting = vm.reboot().start();
    booted(2).await?;
    let (account, group) = (ec2.clone(), closed.clone());
    tokio::task::spawn_blocking(move || support::open_group(&account, &group)).await?;
    rebooting.await?;
    vm.exec("true").await?;
    vm.terminate().await?;
    vm.wait_terminated().await?;
    tokio::task::spawn_blocking(move || support::delete_group(&ec2, &closed)).await.map_err(Into::into)
}

#[ec2_test]
async fn a_stop_keeps_the_disk_and_gives_back_the_address(vm: Instance, ec2: Ec2) -> Result {
    vm.exec("echo kept >/etc/kept").sudo().await?;
    let (public, private) = (vm.public_ip().unwrap(), vm.private_ip().unwrap());
    vm.stop().await?;
    assert_eq!(vm.describe().await?.state().unwrap().name().unwrap().as_str(), "stopped");
    assert_eq!(vm.public_ip(), None);
    // EC2 is asked, and says why not.
    let error = vm.reboot().await.unwrap_err();
    assert_eq!(error.code(), Some("IncorrectInstanceState"), "{error}");
    vm.start().await?;
    assert_eq!(vm.exec("cat /etc/kept").await?.stdout, "kept\n");
    assert_eq!(vm.private_ip(), Some(private));
    assert_ne!(vm.public_ip(), Some(public));
    assert!(vm.public_ip().is_some());
    // Who knows it from elsewhere sees the same.
    let other = ec2.instance(vm.id()).await?;
    assert_eq!(other.public_ip(), vm.public_ip());
    Ok(())
}

#[ec2_test]
async fn a_machine_that_powers_off_is_stopped_and_starts_again(vm: Instance) -> Result {
    let _ = vm.exec("poweroff").sudo().unchecked().await;
    let (ec2, id) = (vm.ec2().clone(), vm.id().to_owned());
    let stopped = move || support::state(&ec2, &id) == "stopped";
    tokio::task::spawn_blocking(move || support::eventually("it is stopped", stopped)).await?;
    vm.start().await?;
    vm.exec("true").await.map(drop)
}

#[ec2_test]
async fn the_console_shows_the_host_keys(vm: Instance) -> Result {
    const END: &str = "-----END SSH HOST KEY KEYS-----";
    let console = support::console_with(&vm, END).await?;
    let begin = console.find("-----BEGIN SSH HOST KEY KEYS-----").expect("no host keys on the console");
    let end = console.find(END).unwrap_or_default();
    assert!(console[begin..end].contains("ssh-ed25519 "), "{console}");
    Ok(())
}

#[ec2_test]
async fn the_console_of_a_machine_that_is_not_seen_yet_is_waited_for(ec2: Ec2) -> Result {
    for _ in 0..4 {
        let vm = ec2.launch_default().without_waiting().await?;
        vm.console_log().await?;
        vm.terminate().await?;
    }
    Ok(())
}

/// Whose latest console isn't to be had; and there is none of Arm.
#[cfg(target_arch = "x86_64")]
#[ec2_test(instance_type = "t2.micro")]
async fn the_console_of_an_older_instance_type_is_what_ec2_has_kept(vm: Instance) -> Result {
    support::console_with(&vm, "Cloud-init v.").await.map(drop)
}

#[ec2_test]
async fn the_end(vm: Instance, ec2: Ec2) -> Result {
    let machine = vm.machine();
    vm.terminate().await?;
    let line = line!() - 1;
    let error = vm.exec("true").await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Ended, "{text}");
    assert!(text.contains(&format!("machine/life.rs:{line}")) && text.contains(vm.id()), "{text}");
    for error in [
        machine.reboot().await.unwrap_err(),
        machine.push("/etc/os-release", "x").await.unwrap_err(),
        machine.assert(file("/")).await.unwrap_err(),
        machine.console_log().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Ended, "{error}");
    }
    // A second end is none, and the guard's drop is a third.
    machine.terminate().await?;
    machine.wait_terminated().await?;
    ec2.instance(vm.id()).await?.terminate().await
}

#[ec2_test]
async fn one_that_was_ended_elsewhere_says_so(vm: Instance, ec2: Ec2) -> Result {
    ec2.instance(vm.id()).await?.terminate().await?;
    vm.wait_terminated().await?;
    let error = vm.exec("true").timeout(60.secs()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(vm.id()) && text.contains("it is terminated: Client.UserInitiatedShutdown"), "{text}");
    assert!(vm.reboot().await.is_err());
    Ok(())
}

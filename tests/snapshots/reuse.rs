//! One image for many tests of one process.

use ec2_harness::prelude::*;

/// Says on the machine how often it ran, and when.
#[ec2_snapshot(from = "host")]
async fn with_motto(vm: Machine) -> Result {
    vm.exec("echo reused >/var/tmp/motto && cat /proc/sys/kernel/random/uuid >/var/tmp/set-up").await.map(drop)
}

#[ec2_test(image = with_motto)]
async fn what_is_set_up_is_there(vm: Instance, ec2: Ec2) -> Result {
    vm.assert(file("/var/tmp/motto").contains("reused")).await?;
    let other = ec2.launch(with_motto).await?;
    let set_up = "cat /var/tmp/set-up";
    assert_eq!(vm.exec(set_up).await?.stdout, other.exec(set_up).await?.stdout, "it ran once");
    Ok(())
}

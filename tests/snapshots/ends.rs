//! How images end: by age, by their lease, by somebody's hand.

use super::{
    support::{block_on, ec2, eventually, sdk},
    world::images,
};
use ec2_harness::prelude::*;
use std::time::Duration;

/// Old enough when it was made.
#[ec2_snapshot(from = "host", max_age = Duration::from_secs(1))]
fn short_lived(vm: Machine) {
    vm.exec("echo short-lived").wait().unwrap();
}

fn count(ec2: &Ec2, set_up: &str) -> usize {
    block_on(images(&sdk(ec2), set_up)).len()
}

#[test]
fn an_image_that_nobody_uses_goes_with_a_sweep_and_one_that_is_used_stays() {
    #[ec2_snapshot(from = "host", max_age = "1h")]
    fn long_lived(vm: Machine) -> Result {
        vm.exec("echo long-lived").wait().map(drop)
    }

    let ec2 = ec2();
    let unused = ec2.get_or_create_image(short_lived).wait().unwrap();
    let used = ec2.get_or_create_image(long_lived).wait().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    eventually("the unused one is swept", || {
        ec2.sweep().wait().unwrap();
        count(&ec2, "short_lived") == 0
    });
    // What was seen once may be unseen the next time.
    eventually("the used one stays", || count(&ec2, "long_lived") == 1);
    let snapshots = sdk(&ec2).describe_snapshots().owner_ids("self");
    eventually("its snapshots go, too", || {
        let all = block_on(snapshots.clone().send()).map(|answer| answer.snapshots.unwrap_or_default());
        all.is_ok_and(|all| all.iter().all(|it| !it.description().unwrap_or_default().contains(unused.id())))
    });
    used.delete().wait().unwrap();
}

#[ec2_snapshot(from = "host")]
async fn vanishing(vm: Machine) -> Result {
    vm.exec("cat /proc/sys/kernel/random/uuid >/var/tmp/set-up").await.map(drop)
}

#[ec2_test]
async fn an_image_that_vanished_is_made_again(ec2: Ec2) -> Result {
    let first = ec2.get_or_create_image(vanishing).await?;
    first.delete().await?;
    let (one, other) = tokio::join!(ec2.launch(vanishing), ec2.launch(vanishing));
    let (one, other) = (one?, other?);
    let set_up = "cat /var/tmp/set-up";
    assert_eq!(one.exec(set_up).await?.stdout, other.exec(set_up).await?.stdout, "it is made again once");
    let second = ec2.get_or_create_image(vanishing).await?;
    assert_ne!(first.id(), second.id());
    second.delete().await
}

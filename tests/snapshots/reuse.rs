//! One image for what needs it in one process.

use super::support::{ec2, eventually};
use ec2_harness::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

#[ec2_snapshot(from = "host")]
async fn with_motto(vm: Machine) -> Result {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    assert_eq!(RUNS.fetch_add(1, Ordering::SeqCst), 0, "it runs once");
    vm.exec("echo reused >/var/tmp/motto && sleep 0.5").await.map(drop)
}

/// Of the image of another set-up.
#[ec2_snapshot(from = with_motto, inputs = ["tests/snapshots/reuse.rs", "tests/support"])]
fn with_more(vm: Machine) -> Result {
    vm.exec("cat /var/tmp/motto >/var/tmp/more").wait().map(drop)
}

#[ec2_test(image = with_motto)]
async fn what_is_set_up_is_there(vm: Instance, ec2: Ec2) -> Result {
    vm.assert(file("/var/tmp/motto").contains("reused")).await?;
    ec2.launch_default().await?.assert(file("/var/tmp/motto").contains("reused")).await
}

#[ec2_test(vm(other, image = with_motto))]
async fn one_parameter_may_have_it(plain: Instance, other: [Instance; 2]) -> Result {
    plain.assert(file("/var/tmp/motto").is_missing()).await?;
    for vm in &other {
        vm.assert(file("/var/tmp/motto").contains("reused")).await?;
    }
    Ok(())
}

#[ec2_test(image = with_more)]
fn a_set_up_may_go_on_from_another(vm: Instance) -> Result {
    vm.assert(file("/var/tmp/more").contains("reused")).wait()
}

#[rstest]
#[case("t3.micro")]
#[case("t3.small")]
#[test_attr(ec2_test)]
async fn cases_share_it(#[case] instance_type: &str, #[ignore] ec2: Ec2) -> Result {
    let vm = ec2.launch(with_motto).instance_type(instance_type).await?;
    vm.assert(file("/var/tmp/motto").contains("reused")).await
}

#[ec2_test]
async fn an_image_has_one_architecture(ec2: Ec2) {
    let error = ec2.launch(with_motto).instance_types(["t3.micro", "t4g.micro"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("two architectures"), "{error}");
}

#[test]
fn an_image_belongs_to_no_run_and_its_machine_has_ended() {
    #[ec2_snapshot(from = "host")]
    fn told_of(vm: Machine) -> Result {
        vm.exec("echo told of").wait().map(drop)
    }

    let ec2 = ec2();
    let image = ec2.get_or_create_image(told_of).wait().unwrap();
    eventually("it is tagged", || {
        let tags = image.describe().wait().map(|described| described.tags.unwrap_or_default()).unwrap_or_default();
        let value = |key: &str| tags.iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
        value("ec2-harness:run") == Some("@shared") && value("ec2-harness:complete").is_some()
    });
    let machines = super::support::instances(&ec2, "tag:ec2-harness:test", "snapshot told_of");
    assert!(machines.iter().all(|it| super::support::has_ended(&ec2, it.instance_id().unwrap())));
    image.delete().wait().unwrap();
}

#[ec2_test]
async fn an_input_that_is_missing_is_named(ec2: Ec2) {
    #[ec2_snapshot(from = "host", inputs = ["tests/snapshots/missing.conf"])]
    fn without_its_input(_vm: Machine) {}

    let error = ec2.launch(without_its_input).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("tests/snapshots/missing.conf"), "{error}");
}

#[ec2_test]
async fn a_set_up_that_panics_or_asserts_nothing_has_failed(ec2: Ec2) {
    #[ec2_snapshot(from = "host")]
    async fn panicking(_vm: Machine) {
        panic!("on purpose");
    }
    #[ec2_snapshot(from = "host")]
    async fn forgetful(vm: Machine) {
        let _never_run = vm.assert(port(22).is_listening());
    }

    let error = ec2.launch(panicking).await.unwrap_err();
    assert!(error.to_string().contains("it panicked: on purpose"), "{error}");
    let error = ec2.launch(panicking).await.unwrap_err();
    assert!(error.to_string().contains("has the whole report"), "{error}");
    let error = ec2.launch(forgetful).await.unwrap_err();
    assert!(error.to_string().contains("never run"), "{error}");
}

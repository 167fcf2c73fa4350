//! Handles and guards: what is known of a machine, who ends it, and from where operations are called.

use super::support::{block_on, ec2, eventually, has_ended, instances, state, unique};
use ec2_harness::{config::Config, prelude::*};
use std::net::IpAddr;

#[ec2_test(tags = { team = "ours" })]
async fn identity(vm: Instance, context: TestContext) -> Result {
    assert!(vm.id().starts_with("i-") && vm.id().len() == 19, "{}", vm.id());
    assert_eq!((vm.name(), vm.user().as_deref()), ("vm", Some("ec2-user")));
    let private = vm.private_ip().unwrap();
    assert!(matches!(private, IpAddr::V4(address) if address.is_private()));
    assert_eq!(vm.exec("hostname -I").await?.stdout.trim(), private.to_string());
    assert_ne!(vm.public_ip().unwrap(), private);
    assert!(vm.zone().unwrap().starts_with(context.ec2().region()));
    assert_eq!(vm.instance_type().as_deref(), Some("t3.micro"));
    let tags = vm.tags();
    let tag = |key: &str| tags.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    assert_eq!((tag("team"), tag("Name")), (Some("ours"), Some("vm")));
    assert_eq!(tag("ec2-harness:test"), Some(context.name()));
    assert!(["run", "owner", "expires-at"].iter().all(|key| tag(&format!("ec2-harness:{key}")).is_some()), "{tags:?}");
    assert!(format!("{:?} {}", vm.machine(), vm.machine()).matches(vm.id()).count() == 2);
    Ok(())
}

#[test]
fn an_existing_machine_is_never_ended() {
    let ec2 = ec2();
    let vm = ec2.launch("host").wait().unwrap();
    let found = ec2.instance(vm.id()).wait().unwrap();
    assert_eq!(found.exec("echo there").wait().unwrap().stdout, "there\n");
    assert_eq!(found.private_ip(), vm.private_ip());
    drop(found);
    assert_eq!(state(&ec2, vm.id()), "running");
    vm.exec("true").wait().unwrap();
    let id = vm.id().to_owned();
    drop(vm);
    assert!(has_ended(&ec2, &id));
    for (unknown, code) in
        [("i-0123456789abcdef0", "InvalidInstanceID.NotFound"), ("nonsense", "InvalidInstanceID.Malformed")]
    {
        let error = ec2.instance(unknown).wait().unwrap_err();
        assert!(error.code() == Some(code) && error.to_string().contains(unknown), "{error}");
    }
}

#[test]
fn a_kept_machine_outlives_its_guard() {
    let ec2 = ec2();
    let kept = ec2.launch("host").wait().unwrap().keep().wait().unwrap();
    assert_eq!(state(&ec2, kept.id()), "running");
    kept.exec("true").wait().unwrap();
    eventually("it bears the tag", || {
        instances(&ec2, "tag-key", "ec2-harness:kept").iter().any(|it| it.instance_id() == Some(kept.id()))
    });
    kept.terminate().wait().unwrap();
    assert!(has_ended(&ec2, kept.id()));
}

#[test]
fn without_any_runtime() {
    let vm = ec2().launch_default().wait().unwrap();
    let task = vm.exec("echo started").start();
    assert_eq!(vm.exec("echo waited").wait().unwrap().stdout, "waited\n");
    assert_eq!(task.wait().unwrap().stdout, "started\n");
    vm.terminate().wait().unwrap();
}

#[tokio::test]
async fn on_a_runtime_of_one_thread() {
    let vm = Ec2::connect().await.unwrap().launch_default().await.unwrap();
    let (one, other) = tokio::join!(vm.exec("echo one"), vm.exec("echo other").into_future());
    assert_eq!((one.unwrap().stdout, other.unwrap().stdout), ("one\n".into(), "other\n".into()));
    // Sync within async, as a helper may do it.
    assert_eq!(vm.exec("echo waited").wait().unwrap().stdout, "waited\n");
    let late = tokio::time::timeout(std::time::Duration::from_millis(300), vm.exec("sleep 5432")).await;
    assert!(late.is_err());
    vm.assert(command("pgrep -f 'sleep 543[2]'").fails()).within(60.secs()).await.unwrap();
    let (ec2, id) = (vm.ec2().clone(), vm.id().to_owned());
    drop(vm);
    // Without holding up the thread that all tasks share.
    tokio::task::spawn_blocking(move || eventually("it has ended", || has_ended(&ec2, &id))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_runtime_of_several_threads() {
    let vm = Ec2::connect().await.unwrap().launch_default().await.unwrap();
    let machine = vm.machine();
    let spawned = tokio::spawn(async move { machine.exec("echo spawned").await });
    assert_eq!(spawned.await.unwrap().unwrap().stdout, "spawned\n");
    let task = tokio::spawn(vm.exec("echo started").start());
    assert_eq!(task.await.unwrap().unwrap().stdout, "started\n");
    // Aborted tasks drop what they hold.
    let id = vm.id().to_owned();
    let ec2 = vm.ec2().clone();
    let holder = tokio::spawn(async move {
        let _held = vm;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    holder.abort();
    let _ = holder.await;
    tokio::task::spawn_blocking(move || eventually("it has ended", || has_ended(&ec2, &id))).await.unwrap();
}

#[test]
fn a_guard_outlives_the_runtime_it_was_made_on() {
    let vm = block_on(async { Ec2::connect().await.unwrap().launch_default().await.unwrap() });
    assert_eq!(vm.exec("echo still").wait().unwrap().stdout, "still\n");
    assert_eq!(block_on(vm.exec("echo there").into_future()).unwrap().stdout, "there\n");
    let (ec2, id) = (vm.ec2().clone(), vm.id().to_owned());
    drop(vm);
    assert!(has_ended(&ec2, &id));
}

#[test]
fn what_a_dropped_launch_has_made_is_ended() {
    let ec2 = ec2();
    let tag = unique("dropped");
    // At once, and after the call may have been sent.
    for pause in [0, 20, 100] {
        let task = ec2.launch("host").tag("launch-test", &tag).start();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        drop(task);
    }
    block_on(async {
        let launch = ec2.launch("host").tag("launch-test", &tag).into_future();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(30), launch).await.is_err());
    });
    eventually("all four have ended", || {
        let all = instances(&ec2, "tag:launch-test", &tag);
        all.len() == 4 && all.iter().all(|it| has_ended(&ec2, it.instance_id().unwrap()))
    });
}

#[test]
fn an_operation_that_nobody_awaits_does_nothing() {
    let ec2 = ec2();
    let tag = unique("lazy");
    drop(ec2.launch("host").tag("launch-test", &tag));
    assert!(instances(&ec2, "tag:launch-test", &tag).is_empty());
}

#[test]
fn a_failure_is_any_error_and_knows_its_line() {
    const LINE: u32 = line!() + 2;
    fn ours() -> Result {
        Ec2::connect().wait()?.instance("i-0123456789abcdef0").wait().map(drop)
    }
    fn others() -> Result<u32> {
        Ok("no number".parse::<u32>()?)
    }
    fn boxed() -> Result<(), Box<dyn std::error::Error>> {
        ours()?;
        Ok(())
    }
    let (ours, others) = (ours().unwrap_err(), others().unwrap_err());
    assert!(format!("{ours:?}").contains(&format!("machine/handles.rs:{LINE}")), "{ours:?}");
    assert!(format!("{ours:?}").starts_with("failed to find i-0123456789abcdef0"), "{ours:?}");
    assert_eq!(others.kind(), ErrorKind::Other);
    assert!(format!("{others:?}").starts_with("invalid digit found in string\n  at "), "{others:?}");
    assert!(boxed().unwrap_err().to_string().contains("i-0123456789abcdef0"));
    assert_eq!(Config::default().image, "host".into());
}

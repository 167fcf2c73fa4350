//! `#[ec2_test]` beside the other attributes that a test can have: rstest's, serial_test's, libtest's own.

use ec2_harness::prelude::*;
use serial_test::{file_serial, serial};
use std::{
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

#[ec2_test]
fn a_sync_test_needs_nothing() {}

#[ec2_test]
async fn an_async_test_returns_a_result() -> Result {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    Ok(())
}

#[ec2_test]
async fn any_debug_will_do_as_its_error() -> Result<(), Vec<u8>> {
    Ok(())
}

#[ec2_test]
fn an_exit_code_will_do() -> ExitCode {
    ExitCode::SUCCESS
}

#[ec2_test(timeout = "5m", tags = { team = "ours", "cost:center" = "7" }, region = "eu-west-1")]
fn a_test_knows_itself(context: TestContext) {
    assert_eq!(context.name(), "a_test_knows_itself");
    assert_eq!(context.tags()["cost:center"], "7");
    assert!(context.remaining() <= std::time::Duration::from_secs(300));
    assert_eq!(context.ec2().config().region.as_deref(), Some("eu-west-1"));
}

#[ec2_test]
#[should_panic(expected = "on purpose")]
async fn an_expected_panic_passes(_context: TestContext) {
    panic!("on purpose");
}

#[ec2_test]
#[ignore = "would fail"]
fn an_ignored_test_does_not_run() {
    unreachable!();
}

#[ec2_test(requires = [aws])]
fn what_is_required_and_missing_skips() {
    unreachable!("the target of the project's own tests is the local EC2");
}

#[ec2_test(requires = [aws])]
#[should_panic(expected = "certain words")]
fn a_skip_satisfies_should_panic() {}

static INSIDE: AtomicUsize = AtomicUsize::new(0);

async fn alone() {
    assert_eq!(INSIDE.fetch_add(1, Ordering::SeqCst), 0, "two serial tests at once");
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    INSIDE.fetch_sub(1, Ordering::SeqCst);
}

#[ec2_test]
#[serial]
async fn serial_async(_ec2: Ec2) -> Result {
    alone().await;
    Ok(())
}

#[ec2_test]
#[serial]
fn serial_sync(_context: TestContext) {
    assert_eq!(INSIDE.load(Ordering::SeqCst), 0);
}

#[ec2_test]
#[file_serial]
async fn file_serial_async(_ec2: Ec2) {}

#[rstest]
#[case("debian-12", 9)]
#[case::named("al2023", 6)]
#[test_attr(ec2_test(tags = { team = "ours" }))]
async fn rstest_async(#[case] image: &str, #[case] length: usize, #[ignore] ec2: Ec2) -> Result {
    assert_eq!(image.len(), length);
    assert_eq!(ec2.config().tags["team"], "ours");
    Ok(())
}

#[rstest]
#[test_attr(ec2_test)]
fn rstest_values(#[values(1, 2)] n: u32, #[ignore] context: TestContext) {
    assert!(context.name().starts_with("rstest_values::"), "{}", context.name());
    assert!(context.name().ends_with(&format!("n_{n}_{n}")), "{}", context.name());
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

#[rstest]
#[ec2_test]
fn rstest_runs_a_sync_test_once() {
    assert_eq!(RUNS.fetch_add(1, Ordering::SeqCst), 0, "it ran before");
}

#[rstest]
#[case(1)]
#[case(2)]
#[ec2_harness::test]
#[serial]
async fn rstest_and_serial(#[case] _n: u32, #[ignore] _ec2: Ec2) {
    alone().await;
}

#[rstest]
#[case(true)]
#[should_panic(expected = "the case")]
#[case(false)]
#[test_attr(ec2_test)]
fn rstest_should_panic(#[case] fine: bool) {
    assert!(fine, "the case");
}

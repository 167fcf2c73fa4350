use super::*;
use crate::{
    config::Keep,
    runner::{record, requirement::Requirement},
    task::{OnDrop, Task},
};
use std::time::Duration;

/// What libtest would see of a sync test: nothing, or a panic.
fn sync<T: Outcome>(test: Test, body: impl FnOnce() -> T) -> Result<(), Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| run(test, |_| move |_| Ok(body))))
}

fn concurrent<F: Future<Output: Outcome>>(test: Test, body: impl FnOnce() -> F) -> Result<(), Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| run_async(test, |_| move |_| Ok(body))))
}

fn test() -> Test {
    Test::new("crate::t")
}

/// Runs a test as [`conduct`] does up to its record.
fn causes_of(test: &Test, scope: &Scope, body: impl FnOnce()) -> Vec<Cause> {
    let ended = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => Ended::Passed,
        Err(payload) => Ended::Panicked(payload),
    };
    causes(test, scope, ended).0
}

fn texts(causes: &[Cause]) -> Vec<String> {
    causes.iter().map(ToString::to_string).collect()
}

#[test]
fn what_passes_returns_and_what_fails_unwinds() {
    assert!(sync(test(), || ()).is_ok());
    assert!(sync(test(), || Ok::<(), String>(())).is_ok());
    assert!(sync(test(), || Err::<(), _>("no")).is_err());
    assert!(concurrent(test(), || async { tokio::task::yield_now().await }).is_ok());
    assert!(concurrent(test(), || async { Err::<(), _>("no") }).is_err());
}

#[test]
fn a_panic_of_the_body_reaches_libtest_as_it_was() {
    let payload = sync::<()>(test(), || panic!("{} and {}", "this", "that")).unwrap_err();
    assert_eq!(panic_text(&*payload), "this and that");
    let payload = concurrent(test(), || async {
        if true {
            std::panic::panic_any(7_u8)
        }
    })
    .unwrap_err();
    assert_eq!(payload.downcast_ref::<u8>(), Some(&7));
}

#[test]
fn an_expected_panic_goes_on_and_all_else_returns() {
    assert!(sync::<()>(test().should_panic("out of"), || panic!("out of luck")).is_err());
    assert!(sync(test().should_panic(""), || ()).is_ok(), "libtest fails what doesn't panic");
    assert!(sync(test().should_panic(""), || Err::<(), _>("an error is no panic")).is_ok());
    let other = sync::<()>(test().should_panic("out of"), || panic!("something else")).unwrap_err();
    assert_eq!(panic_text(&*other), "something else", "libtest compares the words");
}

#[test]
fn a_failed_launch_never_satisfies_should_panic() {
    let failing = || {
        catch_unwind(AssertUnwindSafe(|| {
            run::<_, _, fn(), ()>(test().should_panic(""), |_| {
                |_| Err(Error::new(ErrorKind::Provisioning, "launch web"))
            });
        }))
    };
    assert!(failing().is_ok(), "so that libtest says that it did not panic");

    let expected = test().should_panic("");
    let scope = Scope::test("t");
    let causes = causes_of(&expected, &scope, || {
        scope.note_failed_launch();
        panic!("called `Result::unwrap()` on an `Err` value");
    });
    assert!(matches!(causes[..], [Cause::PanickedAfterFailedLaunch(_)]), "{causes:?}");
}

#[test]
fn neither_does_a_timeout_or_an_assert_that_never_ran() {
    let expected = test().should_panic("");
    let scope = Scope::test("t");
    scope.expire(Duration::from_secs(3));
    let causes = causes_of(&expected, &scope, || panic!("because of it"));
    assert_eq!(
        texts(&causes),
        ["timed out: the test's 3s have passed; raise it with #[ec2_test(timeout = \"…\")] or EC2_HARNESS_TIMEOUT"]
    );

    let scope = Scope::test("t");
    let causes = causes_of(&expected, &scope, || {
        scope.complain("an assert at x.rs:3 never ran".into());
        panic!("as expected");
    });
    assert_eq!(texts(&causes), ["an assert at x.rs:3 never ran"]);
}

#[test]
fn the_first_cause_comes_first() {
    let scope = Scope::test("t");
    let causes = causes_of(&test(), &scope, || {
        scope.complain("an assert at x.rs:3 never ran".into());
        panic!("boom");
    });
    assert_eq!(texts(&causes), ["panicked: boom", "an assert at x.rs:3 never ran"]);
    let machine = record::Ended {
        name: "vm".into(),
        id: "i-1".into(),
        remark: Some(("its boot is degraded", "status: degraded done\n".into())),
        evidence: vec![("failed units", "ssh.service\n".into()), ("the console's last lines", "\n".into())],
        kept: None,
    };
    let report = report::text(&Record {
        test: "t".into(),
        at: std::panic::Location::caller(),
        began: SystemTime::now(),
        outcome: Conclusion::Failed,
        causes,
        phases: Vec::new(),
        machines: vec![machine],
        no_evidence: Some("the machines didn't answer within 15 s".into()),
        local_seed: Some(42),
    });
    let lines = report.lines().collect::<Vec<_>>();
    assert_eq!(lines[0], "Error: test `t` failed: panicked: boom");
    assert!(lines[1].starts_with("  test at src/runner/conduct/tests.rs:"), "{report}");
    assert_eq!(lines[2], "also: an assert at x.rs:3 never ran");
    assert!(lines[3].contains("EC2_HARNESS_LOCAL_SEED=42"), "{report}");
    assert_eq!(
        lines[4..],
        [
            "no evidence: the machines didn't answer within 15 s",
            "--- vm (i-1): its boot is degraded ---",
            "status: degraded done",
            "--- vm (i-1): failed units ---",
            "ssh.service"
        ]
    );
}

#[test]
fn at_the_timeout_operations_fail_and_the_body_tells_which() {
    let scope = Scope::test("t");
    let (_clock, over) = Clock::start(&scope, Duration::from_millis(1)).unwrap();
    let operation = scope.clone();
    let body = || async move {
        Task::start("wait", OnDrop::Cancel, async move {
            operation.run(|| "wait for godot".into(), std::future::pending::<Result<(), Error>>()).await
        })
        .await
    };
    let ended = body::block_on(body, over).unwrap().unwrap();
    let (causes, _) = causes(&test(), &scope, Ended::Failed(Cause::Failure(ended.unwrap_err())));
    let texts = texts(&causes);
    assert_eq!(texts.len(), 1, "{causes:?}");
    assert!(texts[0].contains("wait for godot: timed out: the test's 1ms have passed"), "{causes:?}");
}

/// Words are anybody's: a test that fails with these, and then was late, was late all the same.
#[test]
fn that_a_text_speaks_of_a_timeout_says_nothing_of_the_tests() {
    let scope = Scope::test("t");
    scope.expire(Duration::from_secs(3));
    let (causes, _) = causes(&test(), &scope, Ended::Failed(Cause::Returned("a lease timed out".into())));
    assert_eq!(
        texts(&causes),
        [
            "a lease timed out",
            "timed out: the test's 3s have passed; raise it with #[ec2_test(timeout = \"…\")] or EC2_HARNESS_TIMEOUT"
        ]
    );
}

#[test]
fn a_body_that_passes_too_late_fails() {
    let limit = Duration::from_millis(1);
    let late = || std::thread::sleep(Duration::from_millis(500));
    assert!(sync(test().timeout(limit), late).is_err());
    assert!(sync(test().timeout(Duration::MAX), || ()).is_ok());
}

#[test]
fn a_skip_passes_with_its_reason_and_satisfies_should_panic() {
    let body = || unreachable!("a skipped body does not run");
    let skips = || test().requires(Requirement::Aws);
    assert!(sync::<()>(skips(), body).is_ok());
    let payload = sync::<()>(skips().should_panic("certain words"), body).unwrap_err();
    assert!(panic_text(&*payload).contains("certain words"));
}

#[test]
fn parameters_that_are_not_there_are_no_panic() {
    let result = catch_unwind(|| {
        run::<_, _, fn(), ()>(test().keep(Keep::Failed), |_| {
            |given| {
                let mut plan = Plan::default();
                let ticket = plan.declare::<Instance>("vm");
                given.take(ticket).map(|_| -> fn() { || () })
            }
        });
    });
    assert_eq!(panic_text(&*result.unwrap_err()), "the test failed");
}

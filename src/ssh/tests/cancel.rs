//! Commands that are ended before they end.

use super::sshd::{Sshd, count_processes, until};
use crate::{ErrorKind, ssh::Command};
use futures_util::future::join_all;
use std::time::Duration;

/// Processes that don't want to go, in several groups.
fn stubborn(mark: &str) -> String {
    format!(
        "trap '' HUP TERM INT; echo begun; (trap '' HUP TERM; while :; do sleep {mark}; done) & \
         timeout 9999 sleep {mark} & sleep {mark}; sleep {mark}"
    )
}

#[tokio::test]
async fn a_timeout_ends_the_processes() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let mark = format!("4{}.5", sshd.port);
    let command = Command::new(stubborn(&mark)).timeout(Duration::from_millis(700));
    let error = session.exec(command).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let text = error.to_string();
    assert!(text.contains("longer than 700ms, and ") && text.contains("ended\n") && text.contains("begun"), "{text}");
    // A machine under load may take longer than we make the caller wait.
    until("the processes end", || count_processes(&format!("sleep {mark}")) == 0).await;
}

#[tokio::test]
async fn a_dropped_command_leaves_no_process() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let mark = format!("5{}.5", sshd.port);
    let sleep = format!("sleep {mark}");
    let dropped = tokio::time::timeout(Duration::from_millis(700), session.exec(stubborn(&mark))).await;
    assert!(dropped.is_err());
    assert!(count_processes(&sleep) > 0);
    until("the processes end", || count_processes(&sleep) == 0).await;
}

#[tokio::test]
async fn even_where_no_session_is_free_and_the_handle_is_dropped() {
    let Some(sshd) = Sshd::with("MaxSessions 1") else { return };
    let session = sshd.session().await;
    let mark = format!("6{}.5", sshd.port);
    let sleep = format!("sleep {mark}");
    let all = join_all((0..3).map(|_| session.exec(Command::new(stubborn(&mark)))));
    assert!(tokio::time::timeout(Duration::from_secs(2), all).await.is_err());
    drop(session);
    until("the processes end", || count_processes(&sleep) == 0).await;
    until("the connections are closed", || sshd.connections().is_empty()).await;
}

#[tokio::test]
async fn a_command_that_is_dropped_at_once_leaves_no_process() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let mark = format!("7{}.5", sshd.port);
    for delay in [0, 1, 3, 10, 30] {
        let command = session.exec(format!("sleep {mark}"));
        let _ = tokio::time::timeout(Duration::from_millis(delay), command).await;
    }
    // Those that came to begin are ended before the connections close.
    drop(session);
    until("the connections are closed", || sshd.connections().is_empty()).await;
    until("no process is left", || count_processes(&format!("sleep {mark}")) == 0).await;
}

#[tokio::test]
async fn a_daemon_lives_on() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let mark = format!("8{}.5", sshd.port);
    let line = format!("setsid -f sleep {mark} >/dev/null 2>&1 </dev/null; sleep 9{mark}");
    let error = session.exec(Command::new(line).timeout(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    until("the processes end", || count_processes(&format!("sleep 9{mark}")) == 0).await;
    assert_eq!(count_processes(&format!("sleep {mark}")), 1);
    session.exec(format!("kill $(pgrep -f 'sleep [8]{}')", &mark[1..])).await.unwrap();
}

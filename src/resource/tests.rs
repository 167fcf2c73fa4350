//! A kind that only tests have: whatever goes by the table ends it, and nothing knows of it.

use super::{Found, Kind, Life, Token, left::end_each};
use crate::{
    connection::{Connection, api_error, patience::until_answered, tags},
    ec2::{Ec2, Guard},
    error::Error,
    run,
    scope::Scope,
    task::{OnDrop, Task},
    teardown::{
        journal::Journal,
        live::{self, Begun},
        owned::{Identity, Owned, end_all},
        signals, watchdog,
    },
};
use aws_sdk_ec2::types::{Filter, PlacementGroupState, PlacementStrategy, ResourceType};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// A placement group. It is ended by its name.
pub(crate) static KIND: Kind = Kind {
    word: "placement-group",
    token: Token::Attempt,
    life: Life::Test,
    rank: 1,
    in_use: &["InvalidPlacementGroup.InUse"],
    users: None,
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(end_each(connection, endings, move |name| async move {
            let call = connection.client.delete_placement_group().group_name(&name).send().await;
            let tried = format!("delete the placement group {name}");
            match call.map_err(|e| api_error::failed("DeletePlacementGroup", tried, e)) {
                Err(error) if error.code() == Some("InvalidPlacementGroup.Unknown") => Ok(()),
                other => other.map(drop),
            }
        }))
    },
};

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let groups = connection.client.describe_placement_groups().set_filters(Some(filters)).send().await;
    let groups = groups.map_err(|e| api_error::failed("DescribePlacementGroups", "find placement groups", e))?;
    let found = groups.placement_groups.into_iter().flatten().filter_map(|group| {
        let has_ended = matches!(group.state, Some(PlacementGroupState::Deleting | PlacementGroupState::Deleted));
        let tags = group.tags.unwrap_or_default();
        let (id, resource_id) = (group.group_name?, group.group_id?);
        Some(Found { resource_id, ..Found::new(&KIND, id, tags, has_ended) })
    });
    Ok(found.collect())
}

/// One that we have made.
#[derive(Clone)]
struct PlacementGroup(Arc<Identity>);

impl fmt::Display for PlacementGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the placement group {}", self.0.id)
    }
}

impl Owned for PlacementGroup {
    fn identity(&self) -> &Identity {
        &self.0
    }

    fn name(&self) -> &str {
        &self.0.id
    }

    fn was_seen(&self) -> bool {
        false
    }
}

/// Makes one, as every kind is made: noted, tagged, registered, guarded.
async fn make(ec2: &Ec2, scope: Scope) -> Result<Guard<PlacementGroup>, Error> {
    let connection = ec2.connection.clone();
    signals::install()?;
    watchdog::ensure(&connection, ec2.config())?;
    let (name, attempt) = (run::random_id()?, run::random_id()?);
    let entry = Journal::of(&connection).intend(&KIND, &attempt).await?;
    let begun = Begun::new(entry.clone(), connection.clone());
    let lease = ec2.config().lease;
    let tags = tags::tags(ec2.config(), connection.run, &[(tags::ATTEMPT.to_owned(), attempt)], None, lease);
    until_answered(&connection, || async {
        let tags = tags::specifications(&[ResourceType::PlacementGroup], &tags);
        let call = connection.client.create_placement_group().group_name(&name).set_tag_specifications(Some(tags));
        let answer = call.strategy(PlacementStrategy::Cluster).send().await;
        match answer.map_err(|e| api_error::failed("CreatePlacementGroup", "make a placement group", e)) {
            Err(error) if error.code() == Some("InvalidPlacementGroup.Duplicate") => Ok(()),
            other => other.map(drop),
        }
    })
    .await?;
    let group = PlacementGroup(Arc::new(Identity::new(&KIND, name, connection, Some(entry))));
    live::add(Arc::new(group.clone()));
    drop(begun);
    Ok(Guard::new(group, scope))
}

/// All that EC2 shows of a run.
fn seen(ec2: &Ec2, run: &str) -> Vec<String> {
    let (connection, run) = (ec2.connection.clone(), run.to_owned());
    let look = Task::start("look", OnDrop::Finish, async move {
        let by_run = Filter::builder().name(format!("tag:{}", tags::RUN)).values(run).build();
        until_answered(&connection, || find(&connection, vec![by_run.clone()])).await
    });
    look.wait().unwrap().into_iter().filter(|found| !found.has_ended).map(|found| found.id).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(120), "never: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What the children do, each in a process of its own.
#[test]
#[ignore = "the others start it"]
fn child() {
    let ec2 = Ec2::connect().wait().unwrap();
    let run = ec2.connection.run.id().to_owned();
    let (is_of_a_test, scope) = match std::env::var("CHILD").unwrap().as_str() {
        "parks" => (true, Scope::test("parks")),
        _ => (false, Scope::process()),
    };
    let making = {
        let (ec2, scope) = (ec2.clone(), scope.clone());
        Task::start("make", OnDrop::Finish, async move { make(&ec2, scope).await })
    };
    let group = making.wait().unwrap();
    eventually("it is seen", || !seen(&ec2, &run).is_empty());
    if std::env::var("CHILD").unwrap() == "waits" {
        println!("ready=");
        thread::sleep(Duration::from_secs(600));
    }
    drop(group);
    if is_of_a_test {
        // A guard that is dropped within a test leaves it to the test's end.
        eventually("it is still there", || seen(&ec2, &run).len() == 1);
        let parked = scope.close();
        assert_eq!(parked.len(), 1);
        Task::start("end", OnDrop::Finish, end_all(parked)).wait().unwrap();
    }
    eventually("it is gone", || seen(&ec2, &run).is_empty());
    assert_eq!(Journal::of(&ec2.connection).entries().len(), 0, "what has ended is in no journal");
}

/// A child, and its run.
struct Child {
    run: String,
    process: std::process::Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Child {
    fn start(mode: &str) -> Self {
        let run = run::random_id().unwrap();
        // Who runs us in the background ignores signals, and so would it.
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP,INT,TERM").arg(std::env::current_exe().unwrap());
        command.args(["--exact", "resource::tests::child", "--ignored", "--nocapture"]);
        command.env("CHILD", mode).env("EC2_HARNESS_RUN_ID", &run).env_remove("NEXTEST_RUN_ID");
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        Self { run, process, said }
    }

    fn is_ready(&mut self) {
        let mut line = String::new();
        while !line.contains("ready=") {
            line.clear();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it ended early");
        }
    }

    fn kill(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.process.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Waits for its end; what it said on standard error.
    fn end(mut self) -> (ExitStatus, String) {
        let mut text = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.process.wait().unwrap(), text)
    }
}

#[test]
fn guards_end_a_kind_that_nothing_knows_of() {
    for mode in ["drops", "parks"] {
        let (status, text) = Child::start(mode).end();
        assert!(status.success(), "{mode}: {text}");
    }
}

#[test]
fn a_signal_ends_a_kind_that_nothing_knows_of() {
    let ec2 = Ec2::connect().wait().unwrap();
    let mut child = Child::start("waits");
    child.is_ready();
    let run = child.run.clone();
    child.kill(Signal::INT);
    let (status, text) = child.end();
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{text}");
    assert!(text.contains("ending 1 placement group;"), "{text}");
    eventually("it is gone", || seen(&ec2, &run).is_empty());
}

#[test]
fn sweep_and_watchdog_end_a_kind_that_nothing_knows_of() {
    let ec2 = Ec2::connect().wait().unwrap();
    let (mut swept, mut watched) = (Child::start("waits"), Child::start("waits"));
    swept.is_ready();
    watched.is_ready();
    let runs = [swept.run.clone(), watched.run.clone()];
    watched.kill(Signal::KILL);
    // By hand, while it goes on: told first, then done.
    let by_hand = ec2.sweep().run_id(&runs[0]);
    // What was seen once may not be the next time.
    let mut told = Vec::new();
    eventually("it is told of", || {
        told = by_hand.clone().dry_run().wait().unwrap().resources.iter().map(ToString::to_string).collect();
        !told.is_empty()
    });
    assert!(told.len() == 1 && told[0].starts_with("placement group "), "{told:?}");
    let ended: Vec<_> = by_hand.wait().unwrap().resources.iter().map(ToString::to_string).collect();
    assert_eq!(ended, told);
    eventually("it is gone", || seen(&ec2, &runs[0]).is_empty());
    swept.kill(Signal::TERM);
    swept.end();
    watched.end();
    eventually("the watchdog ends it", || seen(&ec2, &runs[1]).is_empty());
    eventually("nothing of the runs stays", || {
        runs.iter().all(|run| run::directory_of(run).unwrap().is_some_and(|directory| !directory.exists()))
    });
}

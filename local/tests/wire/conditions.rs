//! What AWS does to its customers, as a client meets it: `ec2-local serve` with conditions, asked by signed requests, and by
//! control requests in between.

use crate::endpoint::{Answer, Endpoint, PATIENCE, Unanswered};
use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

/// The seed of these tests, which each failure prints.
const SEED: &str = "20261122";

/// An endpoint that rolls the dice of the seed; it ends with the value.
pub struct Served(pub Endpoint);

impl Served {
    /// As it is when nothing is said: typical.
    pub fn start() -> Self {
        Self::with(&[], "typical")
    }

    fn with(options: &[&str], conditions: &str) -> Self {
        let served = Endpoint::start(&[&["--seed", SEED], options].concat());
        let said = format!("conditions: {conditions}, seed {SEED}");
        assert_eq!(served.opening.lines().nth(1), Some(&*said), "{}", served.opening);
        Self(served)
    }

    /// Asks once; the answer isn't lost.
    #[track_caller]
    pub fn call(&self, parameters: &str) -> Answer {
        self.0.ask(parameters).unwrap()
    }

    /// The text of an element of an answer that must be a good one.
    #[track_caller]
    fn ok(&self, parameters: &str, element: &str) -> String {
        let answer = self.call(parameters);
        assert_eq!(answer.status, 200, "seed {SEED}: {parameters}: {answer:?}");
        answer.element(element).to_owned()
    }

    /// `ec2-local`, as it is to be run beside the endpoint.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut program = self.0.state.command();
        program.args(arguments);
        program
    }

    fn command(&self, arguments: &[&str]) -> Output {
        self.program(arguments).output().unwrap()
    }

    /// What `ec2-local` prints, which must succeed.
    #[track_caller]
    pub fn control(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments);
        assert!(status.success(), "seed {SEED}: {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    pub fn blank(&self) -> String {
        self.ok("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=blank", "imageId")
    }
}

fn launch(image: &str, token: &str) -> String {
    format!("Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&ClientToken={token}")
}

#[test]
fn a_fault_is_asked_for_while_it_runs() {
    let served = Served::start();
    let image = served.blank();
    let said = served.control(&["fault", "RunInstances", "capacity", "next", "2"]);
    assert!(said.ends_with("fault: RunInstances capacity next 2\n"), "{said}");
    for _ in 0..2 {
        let answer = served.call(&launch(&image, "t"));
        assert_eq!((answer.status, answer.element("Code")), (500, "InsufficientInstanceCapacity"));
    }
    served.ok(&launch(&image, "t"), "instanceId");
    served.control(&["fault", "DescribeVpcs", "throttle", "every", "1"]);
    let answer = served.call("Action=DescribeVpcs");
    assert_eq!((answer.status, answer.element("Code")), (503, "RequestLimitExceeded"));
    let said = served.control(&["fault", "--clear"]);
    assert_eq!(said, format!("conditions: typical, seed {SEED}\n"));
    assert_eq!(served.call("Action=DescribeVpcs").status, 200);

    let refused = served.command(&["fault", "RunInstance", "lost"]);
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && reason.contains("did you mean `RunInstances`?"), "{reason}");
}

#[test]
fn an_answer_is_lost_with_its_connection_and_what_was_asked_for_is_done() {
    let served = Served::start();
    let image = served.blank();
    served.control(&["fault", "RunInstances", "lost"]);
    assert!(served.0.ask(&launch(&image, "t")).is_err());
    // Whatever is seen by now, the token finds it.
    let made = served.ok(&launch(&image, "t"), "instanceId");
    served.control(&["advance", "1"]);
    let answer = served.call("Action=DescribeInstances");
    assert_eq!(answer.body.matches("<instanceId>").count(), 1, "seed {SEED}: {answer:?}");
    assert_eq!(answer.element("instanceId"), made);
}

#[test]
fn a_late_answer_is_an_answer() {
    let served = Served::start();
    served.control(&["fault", "DescribeVpcs", "late=50"]);
    let asked = Instant::now();
    served.ok("Action=DescribeVpcs", "vpcId");
    assert!(asked.elapsed() >= Duration::from_millis(500), "50 s at a hundredth of AWS's pace");
}

#[test]
fn an_hour_passes_at_once_for_blank_machines() {
    let served = Served::start();
    let image = served.blank();
    served.control(&["fault", "TerminateInstances", "stuck"]);
    let id = served.ok(&launch(&image, "t"), "instanceId");
    served.control(&["advance", "60"]);
    wait_for(&served, &id, "running");
    served.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"), "instanceId");
    // An hour of AWS's is 36 s at the pace.
    served.control(&["advance", "30"]);
    wait_for(&served, &id, "shutting-down");
    served.control(&["advance", "10"]);
    wait_for(&served, &id, "terminated");
    let said = served.control(&["advance", "3601"]);
    assert!(said.contains("\nclock: 3701 s ahead\n"), "{said}");
    let answer = served.call(&format!("Action=DescribeInstances&InstanceId.1={id}"));
    assert_eq!(answer.element("Code"), "InvalidInstanceID.NotFound");
}

#[track_caller]
fn wait_for(served: &Served, id: &str, state: &str) {
    let since = Instant::now();
    loop {
        let answer = served.call(&format!("Action=DescribeInstances&InstanceId.1={id}"));
        // A fresh instance may be unknown yet.
        let states = answer.body.split("<instanceState>").nth(1);
        if states.is_some_and(|states| states.contains(&format!("<name>{state}</name>"))) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "seed {SEED}: never {state}: {answer:?}");
    }
}

#[test]
fn conditions_are_chosen_by_name_and_changed_while_it_runs() {
    let served = Served::start();
    let environment = served.control(&["env"]);
    assert!(environment.ends_with(&format!("# conditions: typical, seed {SEED}\n")), "{environment}");
    assert_eq!(served.control(&["conditions", "calm"]), format!("conditions: calm, seed {SEED}\n"));
    assert_eq!(served.control(&["conditions"]), format!("conditions: calm, seed {SEED}\n"));
    assert!(!served.command(&["conditions", "windy"]).status.success());
}

/// What a careful client does: the same launch, with the same token, until it is answered.
#[test]
fn a_careful_client_gets_one_machine_in_hostile_conditions_and_ends_it() {
    let served = Served::with(&["--conditions", "hostile"], "hostile");
    let mut seen = std::collections::BTreeSet::new();
    let mut insist = |request: &str, accepted: &dyn Fn(&Answer) -> bool| -> Answer {
        let since = Instant::now();
        loop {
            let answer = served.0.ask(request);
            match &answer {
                Ok(_) if answer.as_ref().is_ok_and(accepted) => return answer.unwrap(),
                Ok(answer) if answer.status == 200 => {}
                Ok(error) => _ = seen.insert(error.one("Code")),
                Err(Unanswered) => _ = seen.insert("lost".to_owned()),
            }
            assert!(since.elapsed() < PATIENCE, "hostile, seed {SEED}: {request}: {answer:?}");
        }
    };
    let any = |answer: &Answer| answer.status == 200;
    let image =
        insist("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=blank", &any).element("imageId").to_owned();
    let mut ids = Vec::new();
    for token in 0..10 {
        let request = launch(&image, &format!("token-{token}"));
        let id = insist(&request, &any).element("instanceId").to_owned();
        assert_eq!(insist(&request, &any).element("instanceId"), id, "hostile, seed {SEED}");
        ids.push(id);
    }
    for id in &ids {
        insist(&format!("Action=TerminateInstances&InstanceId.1={id}"), &any);
    }
    for id in &ids {
        let describe = format!("Action=DescribeInstances&Filter.1.Name=instance-id&Filter.1.Value.1={id}");
        insist(&describe, &|answer| answer.body.contains("<name>terminated</name>"));
    }
    assert!(seen.len() > 2, "hostile, seed {SEED}: only {seen:?} ever happened");
}

//! What a running endpoint makes of images that come and go.

use crate::{
    place::{PATIENCE, Place},
    serving::Serving,
    system::System,
};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

#[test]
fn a_running_endpoint_offers_what_is_there() {
    let place = Place::new();
    let serving = Serving::start(&place);
    assert_eq!(serving.images(), ["host", "blank"]);
    let archive = place.archive("tiny.tar", System::tiny());
    let said = place.import(&archive, &[]);
    assert_eq!(serving.images(), ["host", "blank", "tiny"]);
    let shown = serving.call("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=tiny");
    assert!(said.contains(shown.element("imageId")), "{said}");
    assert_eq!((shown.element("description"), shown.element("isPublic")), ("Tiny 1", "false"));
    assert!(shown.body.contains("<key>os-release:ID</key><value>tiny</value>"), "{shown:?}");

    let instance = serving.launch("tiny", "#!/bin/sh\n. /etc/os-release; echo \"this is $ID as $(id -u)\"\n");
    serving.until_console(&instance, "this is tiny as 0");
    serving.until_state(&instance, "running");
    // Without the image it goes on, over a stop and a start; and nobody can have another.
    let removed = place.remove();
    assert!(removed.contains(&instance), "{removed}");
    assert_eq!(serving.images(), ["host", "blank"]);
    let gone = serving.call(&format!("Action=DescribeImages&ImageId.1={}", shown.element("imageId")));
    assert_eq!(gone.element("Code"), "InvalidAMIID.NotFound");
    serving.call(&format!("Action=StopInstances&InstanceId.1={instance}"));
    serving.until_state(&instance, "stopped");
    serving.call(&format!("Action=StartInstances&InstanceId.1={instance}"));
    serving.until_state(&instance, "running");
    assert_eq!(place.kept(), (vec![], 1));
    serving.call(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
    let deadline = Instant::now() + PATIENCE;
    while place.kept().1 > 0 {
        assert!(Instant::now() < deadline, "the files of the removed image stay");
        thread::sleep(Duration::from_millis(5));
    }

    // What an endpoint still needs when it ends goes with it.
    place.import(&archive, &[]);
    let instance = serving.launch("tiny", "#!/bin/sh\necho again\n");
    serving.until_console(&instance, "again");
    place.remove();
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

/// A kill that overtook its start would find no machine, and the machine would run on in an instance that waits for its end.
#[test]
fn a_machine_that_is_ended_before_it_was_started_ends() {
    let (place, _) = Place::with_tiny();
    let serving = Serving::start(&place);
    // A machine isn't started as long as somebody changes the images.
    let images = fs::File::open(place.state().join("images")).unwrap();
    images.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| serving.launch("tiny", ""));
        let seen = || serving.call("Action=DescribeInstances").body.contains("<instanceId>");
        let deadline = Instant::now() + PATIENCE;
        while !seen() {
            assert!(Instant::now() < deadline, "the account knows of no instance");
            thread::sleep(Duration::from_millis(2));
        }
        let instance = serving.call("Action=DescribeInstances").element("instanceId").to_owned();
        serving.call(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
        images.unlock().unwrap();
        serving.until_state(&instance, "terminated");
    });
    place.remove();
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

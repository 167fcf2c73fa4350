//! What a running endpoint makes of images that come and go.

use crate::{
    endpoint::PATIENCE,
    place::{PROGRAM, Place, images, launch},
    system::System,
};
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

#[test]
fn a_running_endpoint_offers_what_is_there() {
    let place = Place::new();
    let serving = place.serve();
    assert_eq!(images(&serving), [""; 0]);
    let archive = place.archive("tiny.tar", System::tiny());
    let said = place.import(&archive, &[]);
    assert_eq!(images(&serving), ["tiny"]);
    let shown = serving.call("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=tiny");
    assert!(said.contains(shown.element("imageId")), "{said}");
    assert_eq!((shown.element("description"), shown.element("isPublic")), ("Tiny 1", "false"));
    assert!(shown.body.contains("<key>os-release:ID</key><value>tiny</value>"), "{shown:?}");

    let instance = launch(&serving, "tiny", "#!/bin/sh\n. /etc/os-release; echo \"this is $ID as $(id -u)\"\n");
    serving.until_console(&instance, "this is tiny as 0");
    serving.until_state(&instance, "running");
    // Without the image it goes on, over a stop and a start; and nobody can have another.
    let removed = place.remove();
    assert!(removed.contains(&instance), "{removed}");
    assert_eq!(images(&serving), [""; 0]);
    let gone = serving.ask(&format!("Action=DescribeImages&ImageId.1={}", shown.element("imageId"))).unwrap();
    assert_eq!(gone.element("Code"), "InvalidAMIID.NotFound");
    serving.call(&format!("Action=StopInstances&InstanceId.1={instance}"));
    serving.until_state(&instance, "stopped");
    serving.call(&format!("Action=StartInstances&InstanceId.1={instance}"));
    serving.until_state(&instance, "running");
    assert_eq!(place.kept(), (vec![], 1));
    serving.terminate(&[&instance]);
    place.until_no_tree();

    // What an endpoint still needs when it ends goes with it.
    place.import(&archive, &[]);
    let instance = launch(&serving, "tiny", "#!/bin/sh\necho again\n");
    serving.until_console(&instance, "again");
    place.remove();
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

/// The agent reads what it adds an account to, and what it copies into a home.
#[test]
fn an_image_is_told_nothing_of_the_executable() {
    let place = Place::new();
    let system = System::tiny().link("./etc/group", "/proc/self/maps").link("./etc/skel", "/proc/self");
    let archive = place.archive("tiny.tar", system);
    place.import(&archive, &["--login-user", "mia"]);
    let serving = place.serve();
    let script = "#!/bin/sh\nls -al /home/mia; cat /etc/group; echo told\n";
    let instance = launch(&serving, "tiny", script);
    let console = serving.until_console(&instance, "told");
    let directory = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
    assert!(!console.contains(directory) && !console.contains("r-xp"), "{console}");
    assert!(console.contains("mia:x:1000:") && !console.contains("exe ->"), "{console}");
    serving.terminate(&[&instance]);
    place.remove();
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

/// A kill that overtook its start would find no machine, and the machine would run on in an instance that waits for its end.
#[test]
fn a_machine_that_is_ended_before_it_was_started_ends() {
    let (place, _) = Place::with_tiny();
    let serving = place.serve();
    // A machine isn't started as long as somebody changes the images.
    let held = fs::File::open(place.state().join("images")).unwrap();
    held.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| launch(&serving, "tiny", ""));
        let deadline = Instant::now() + PATIENCE;
        let instance = loop {
            let seen = serving.call("Action=DescribeInstances");
            if seen.body.contains("<instanceId>") {
                break seen.element("instanceId").to_owned();
            }
            assert!(Instant::now() < deadline, "the account knows of no instance");
            thread::sleep(Duration::from_millis(2));
        };
        serving.terminate(&[&instance]);
        held.unlock().unwrap();
        serving.until_state(&instance, "terminated");
    });
    place.remove();
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

/// As where an import of another process replaces and sweeps it.
#[test]
fn an_image_may_go_while_its_lock_is_waited_for() {
    let (place, _) = Place::with_tiny();
    let serving = place.serve();
    let held = fs::File::open(place.state().join("images")).unwrap();
    held.lock().unwrap();
    thread::scope(|scope| {
        let launched = scope.spawn(|| launch(&serving, "tiny", ""));
        let disks = place.run().join("disks");
        let deadline = Instant::now() + PATIENCE;
        // Its disk is made before the image is asked for.
        while fs::read_dir(&disks).unwrap().count() == 0 {
            assert!(Instant::now() < deadline, "no machine is being started");
            thread::sleep(Duration::from_millis(2));
        }
        fs::remove_file(place.state().join("images/tiny.json")).unwrap();
        fs::remove_dir_all(place.tree()).unwrap();
        held.unlock().unwrap();
        let instance = launched.join().unwrap();
        serving.until_state(&instance, "terminated");
        let shown = serving.call(&format!("Action=DescribeInstances&InstanceId.1={instance}"));
        assert!(shown.body.contains("its root directory is gone: the image was removed"), "{shown:?}");
    });
    assert_eq!(images(&serving), [""; 0]);
    // It goes once the account has told its end.
    let deadline = Instant::now() + PATIENCE;
    while fs::read_dir(place.run().join("disks")).unwrap().count() > 0 {
        assert!(Instant::now() < deadline, "its disk stays");
        thread::sleep(Duration::from_millis(2));
    }
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

#[test]
fn the_notes_of_who_uses_an_image_go_with_them() {
    let (place, _) = Place::with_tiny();
    let users = place.tree().join("users");
    let serving = place.serve();
    let instances =
        [launch(&serving, "tiny", "#!/bin/sh\necho up\n"), launch(&serving, "tiny", "#!/bin/sh\necho up\n")];
    for instance in &instances {
        serving.until_console(instance, "up");
    }
    assert_eq!(fs::read_dir(&users).unwrap().count(), 2);
    let kept = serving.volume_of(&instances[1]);
    // Of one that was killed while it wrote, and of those whose endpoint is no more; and what isn't ours.
    for name in ["vol-00000000000000001", "vol-00000000000000002.new", "i-00000000000000001", "notes"] {
        fs::write(users.join(name), "somebody's").unwrap();
    }
    serving.terminate(&[&instances[0]]);
    let names = || -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&users).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let deadline = Instant::now() + PATIENCE;
    while names() != ["notes", kept.as_str()] {
        assert!(Instant::now() < deadline, "{:?}", names());
        thread::sleep(Duration::from_millis(5));
    }
    serving.end();
    assert_eq!(names(), ["notes"]);
    fs::remove_file(users.join("notes")).unwrap();
    place.remove();
    assert_eq!(place.kept(), (vec![], 0));
}

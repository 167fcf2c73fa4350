//! What becomes of images, and of the machines of a copy, when an endpoint was killed.

use crate::{
    endpoint::Server,
    place::{Place, images, launch},
};
use std::{fs, process::Command, thread, time::Duration};

const SAYS_IT_IS_UP: &str = "#!/bin/sh\necho up\n";

/// An instance of `tiny` that runs.
fn running() -> (Place, Server, String) {
    let (place, _) = Place::with_tiny();
    let serving = place.serve();
    let instance = launch(&serving, "tiny", SAYS_IT_IS_UP);
    serving.until_console(&instance, "up");
    serving.until_state(&instance, "running");
    (place, serving, instance)
}

/// One whose endpoint was killed, and its root volume.
fn killed() -> (Place, String, String) {
    let (place, serving, instance) = running();
    let volume = serving.volume_of(&instance);
    // It is written down by then.
    thread::sleep(Duration::from_millis(50));
    serving.kill();
    (place, instance, volume)
}

#[test]
fn an_instance_whose_image_was_removed_meanwhile_boots_again() {
    let (place, instance, _) = killed();
    assert!(place.remove().contains(&instance));
    assert_eq!(place.kept(), (vec![], 1));
    let serving = place.serve();
    assert!(serving.opening.contains("1 instance boots again"), "{}", serving.opening);
    serving.until_state(&instance, "running");
    assert_eq!(images(&serving), [""; 0]);
    serving.terminate(&[&instance]);
    place.until_no_tree();
    serving.end();
}

/// What it holds is only what differs from the image's files.
#[test]
fn a_kept_root_volume_keeps_the_files_of_its_removed_image() {
    let (place, serving, instance) = running();
    let volume = serving.volume_of(&instance);
    let keep = "BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1&BlockDeviceMapping.1.Ebs.DeleteOnTermination=false";
    serving.call(&format!("Action=ModifyInstanceAttribute&InstanceId={instance}&{keep}"));
    serving.terminate(&[&instance]);
    serving.until_state(&instance, "terminated");
    assert!(place.remove().contains(&format!("{volume} of {instance}")));
    assert_eq!(place.kept(), (vec![], 1));
    serving.kill();
    let serving = place.serve();
    assert_eq!(place.kept(), (vec![], 1));
    serving.call(&format!("Action=DeleteVolume&VolumeId={volume}"));
    place.until_no_tree();
    serving.end();
}

/// They have kept disks, and noted who has an image, by instances.
#[test]
fn a_removed_image_of_an_earlier_versions_account_stays_as_long_as_its_disks() {
    let (place, instance, volume) = killed();
    fs::rename(place.run().join("disks"), place.run().join("machines")).unwrap();
    fs::rename(place.run().join("machines").join(&volume), place.run().join("machines").join(&instance)).unwrap();
    let users = place.tree().join("users");
    fs::rename(users.join(&volume), users.join(&instance)).unwrap();
    assert!(place.remove().contains(&instance));
    assert_eq!(place.kept(), (vec![], 1));
    let serving = place.serve();
    serving.until_state(&instance, "running");
    assert!(place.run().join("disks").join(&volume).is_dir() && users.join(&volume).is_file());
    assert!(!place.run().join("machines").exists() && !users.join(&instance).exists());
    serving.terminate(&[&instance]);
    place.until_no_tree();
    serving.end();
}

#[test]
fn an_instance_whose_files_are_gone_stops_and_keeps_nobody_from_starting() {
    let (place, instance, _) = killed();
    place.remove();
    fs::remove_dir_all(place.tree()).unwrap();
    let serving = place.serve();
    serving.until_state(&instance, "stopped");
    serving.terminate(&[&instance]);
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

#[test]
fn an_endpoint_of_a_copy_leaves_the_originals_machines_alone() {
    let (place, serving, instance) = running();
    let note = fs::read_to_string(place.run().join("disks").join(serving.volume_of(&instance)).join("init")).unwrap();
    let init = format!("/proc/{}/stat", note.split(' ').next().unwrap());
    let state =
        || fs::read_to_string(&init).unwrap().rsplit_once(") ").unwrap().1.split(' ').next().unwrap().to_owned();
    assert_eq!(state(), "S");
    let copy = Place::new();
    assert!(Command::new("cp").arg("-a").arg(place.state()).arg(copy.state()).status().unwrap().success());
    let other = copy.serve();
    assert!(other.opening.contains("1 instance boots again"), "{}", other.opening);
    other.terminate(&[&instance]);
    other.end();
    assert_eq!(state(), "S");
    serving.until_state(&instance, "running");
    serving.terminate(&[&instance]);
    serving.end();
}

//! What becomes of the files of snapshots.

use crate::{
    account::{begin_image_of, end, image_of, launch, layers, until_layers},
    place::Place,
};
use std::{thread, time::Duration};

const WRITE: &str = "mkdir -p /opt; echo mine >/opt/file; echo written: $((40 + 2))";
const READ: &str = "echo read: $(cat /opt/file) $((40 + 3))";

#[test]
fn they_stay_until_the_last_machine_that_has_them_ends() {
    let (place, _) = Place::with_tiny();
    let serving = place.serve();
    let (first, _) = launch(&serving, &serving.image("tiny"), WRITE, "written: 42");
    let image = image_of(&serving, &first, "golden", "");
    let (second, _) = launch(&serving, &image, READ, "read: mine 43");
    // Its source, the image, its snapshot and the image below all go; the machine goes on, over a stop and a start.
    end(&serving, &[&first]);
    let gone = format!("Action=DeregisterImage&ImageId={image}&DeleteAssociatedSnapshots=true");
    assert!(serving.call(&gone).body.contains("<returnCode>success"), "{gone}");
    place.remove();
    assert_eq!((place.kept().1, layers(&place).len()), (1, 1));
    serving.call(&format!("Action=StopInstances&InstanceId.1={second}"));
    serving.until_state(&second, "stopped");
    serving.call(&format!("Action=StartInstances&InstanceId.1={second}"));
    serving.until_state(&second, "running");
    // An image of it needs what is below.
    let third = image_of(&serving, &second, "again", "&NoReboot=true");
    end(&serving, &[&second]);
    assert_eq!((place.kept().1, layers(&place).len()), (1, 2));
    let (last, _) = launch(&serving, &third, READ, "read: mine 43");
    end(&serving, &[&last]);
    serving.call(&format!("Action=DeregisterImage&ImageId={third}&DeleteAssociatedSnapshots=true"));
    until_layers(&place, 0);
    place.until_no_tree();
    serving.end();
    assert!(!place.state().join("run").exists(), "something is left");
}

#[test]
fn a_killed_endpoints_images_are_there_again() {
    let place = Place::new();
    let serving = place.serve();
    let (first, _) = launch(&serving, &serving.image("host"), WRITE, "written: 42");
    let image = image_of(&serving, &first, "golden", "&NoReboot=true");
    let (second, _) = launch(&serving, &image, READ, "read: mine 43");
    // One that nobody has begun to take, or that is half taken.
    let begun = begin_image_of(&serving, &first, "begun", "&NoReboot=true");
    thread::sleep(Duration::from_millis(5));
    serving.kill();
    let serving = place.serve();
    assert!(serving.opening.contains("2 instances boot again"), "{}", serving.opening);
    serving.until_state(&second, "running");
    serving.until(&format!("Action=DescribeImages&ImageId.1={begun}"), "<imageState>available");
    for image in [&image, &begun] {
        let (third, _) = launch(&serving, image, READ, "read: mine 43");
        end(&serving, &[&third]);
    }
    assert_eq!(layers(&place).len(), 2);
    end(&serving, &[&first, &second]);
    // Images outlive their machines, and end with their account.
    assert_eq!(layers(&place).len(), 2);
    serving.end();
    assert!(!place.state().join("run").exists(), "something is left");
}

#[test]
fn a_copy_of_an_imported_image_keeps_the_files_that_it_needs() {
    let (place, _) = Place::with_tiny();
    let serving = place.serve();
    let tiny = serving.image("tiny");
    let copy = format!("Action=CopyImage&Name=copy&SourceRegion=us-east-1&SourceImageId={tiny}");
    let copy = serving.call(&copy).element("imageId").to_owned();
    serving.until(&format!("Action=DescribeImages&ImageId.1={copy}"), "<imageState>available");
    place.remove();
    assert_eq!(place.kept().1, 1);
    let (instance, _) = launch(&serving, &copy, WRITE, "written: 42");
    end(&serving, &[&instance]);
    assert_eq!(place.kept().1, 1);
    serving.call(&format!("Action=DeregisterImage&ImageId={copy}&DeleteAssociatedSnapshots=true"));
    place.until_no_tree();
    serving.end();
}

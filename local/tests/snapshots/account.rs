//! Images, their machines and their layers.

use crate::{
    endpoint::{Door, PATIENCE, user_data},
    place::Place,
};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Makes an image of an instance, and waits until it is available.
pub fn image_of(serving: &Door, instance: &str, name: &str, more: &str) -> String {
    let image = begin_image_of(serving, instance, name, more);
    serving.until(&format!("Action=DescribeImages&ImageId.1={image}"), "<imageState>available");
    image
}

pub fn begin_image_of(serving: &Door, instance: &str, name: &str, more: &str) -> String {
    let request = format!("Action=CreateImage&InstanceId={instance}&Name={name}{more}");
    serving.call(&request).one("imageId")
}

/// Launches an instance that runs a script, and waits until that has said something.
pub fn launch(serving: &Door, image: &str, script: &str, said: &str) -> (String, String) {
    let user_data = user_data(&format!("#!/bin/sh\n{script}\n"));
    let request = format!("Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1{user_data}");
    let instance = serving.call(&request).one("instanceId");
    let console = serving.until_console(&instance, said);
    serving.until_state(&instance, "running");
    (instance, console)
}

/// Ends instances, and waits until they are terminated.
pub fn end(serving: &Door, instances: &[&str]) {
    serving.terminate(instances);
    for instance in instances {
        serving.until_state(instance, "terminated");
    }
}

/// The layers that there are.
pub fn layers(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.run().join("layers")).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// Waits until there are so many.
pub fn until_layers(place: &Place, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while layers(place).len() != count {
        assert!(Instant::now() < deadline, "not {count}: {:?}", layers(place));
        thread::sleep(Duration::from_millis(5));
    }
}

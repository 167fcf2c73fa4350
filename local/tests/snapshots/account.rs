//! What a client asks for, again and again until it is known everywhere.

use crate::{
    fixture::Answer,
    place::{PATIENCE, Place},
    serving::Serving,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// The answer to a request, once nothing that it names is unknown any more.
pub fn ask(serving: &Serving, request: &str) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = serving.call(request);
        if answer.status == 200 {
            return answer;
        }
        assert!(Instant::now() < deadline && answer.element("Code").ends_with(".NotFound"), "{request}: {answer:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until an answer has some words.
pub fn until(serving: &Serving, request: &str, words: &str) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = serving.call(request);
        if answer.body.contains(words) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{request}, no {words}: {answer:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Makes an image of an instance, and waits until it is available.
pub fn image_of(serving: &Serving, instance: &str, name: &str, more: &str) -> String {
    let image = begin_image_of(serving, instance, name, more);
    until(serving, &format!("Action=DescribeImages&ImageId.1={image}"), "<imageState>available");
    image
}

pub fn begin_image_of(serving: &Serving, instance: &str, name: &str, more: &str) -> String {
    let request = format!("Action=CreateImage&InstanceId={instance}&Name={name}{more}");
    ask(serving, &request).element("imageId").to_owned()
}

/// Launches an instance that runs a script, and waits until that has said something.
pub fn launch(serving: &Serving, image: &str, script: &str, said: &str) -> (String, String) {
    let user_data = STANDARD.encode(format!("#!/bin/sh\n{script}\n"));
    let user_data = user_data.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let request =
        format!("Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&UserData={user_data}");
    let instance = ask(serving, &request).element("instanceId").to_owned();
    let console = serving.until_console(&instance, said);
    serving.until_state(&instance, "running");
    (instance, console)
}

/// The id of an image of a name.
pub fn named(serving: &Serving, name: &str) -> String {
    let request = format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={name}");
    until(serving, &request, "<imageId>").element("imageId").to_owned()
}

/// Ends instances, and waits until they are terminated.
pub fn end(serving: &Serving, instances: &[&str]) {
    for instance in instances {
        serving.terminate(instance);
    }
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

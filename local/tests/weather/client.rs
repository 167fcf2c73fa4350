//! An endpoint in some conditions, and a client that asks until it is answered.

use crate::{
    server::{PATIENCE, Server, State, eventually},
    wire::Reply,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    thread,
    time::{Duration, Instant},
};

/// An endpoint; killed when this is dropped.
pub struct Endpoint {
    pub state: State,
    server: Option<Server>,
    conditions: &'static str,
}

impl Endpoint {
    pub fn start(conditions: &'static str) -> Self {
        let mut endpoint = Self { state: State::new(), server: None, conditions };
        endpoint.succeed();
        endpoint
    }

    /// Kills it; the next one takes its account over.
    pub fn succeed(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        self.server = Some(Server::start_with(&self.state, &["--conditions", self.conditions, "--seed", "5"]));
    }

    /// Ends it; nothing may be left.
    pub fn end(mut self) {
        self.server.take().unwrap().end();
        self.state.assert_clean();
    }

    /// Asks once.
    pub fn ask(&self, request: &str) -> Option<Reply> {
        self.server.as_ref().unwrap().door.ask(request).ok()
    }

    /// Asks until it is answered. `done` is the code that says that it was done before, though nobody heard of it.
    #[track_caller]
    pub fn insist(&self, request: &str, done: &str) -> Option<Reply> {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let said = match self.ask(request) {
                Some(reply) if reply.status == 200 => return Some(reply),
                Some(reply) if !done.is_empty() && reply.body.contains(done) => return None,
                Some(reply) => reply.body,
                None => "nothing".to_owned(),
            };
            assert!(Instant::now() < deadline, "{request}: {said}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub fn told(&self, request: &str) -> Reply {
        self.insist(request, "").unwrap()
    }

    /// Asks until an element of the answer is this.
    #[track_caller]
    pub fn until(&self, request: &str, element: &str, value: &str) {
        eventually(value, || self.told(request).all(element).iter().any(|found| found == value));
    }

    /// An element of the answer, once it is there.
    #[track_caller]
    pub fn shown(&self, request: &str, element: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.told(request).all(element).pop() {
                return found;
            }
            assert!(Instant::now() < deadline, "{request}: no {element}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The id of an image, once it is available.
    pub fn image(&self, name: &str) -> String {
        let request = format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={name}");
        self.until(&request, "imageState", "available");
        self.shown(&request, "imageId")
    }

    /// Has an image made of an instance; its id, once it is available.
    pub fn make_image(&self, instance: &str, name: &str) -> String {
        let request = format!("Action=CreateImage&InstanceId={instance}&Name={name}&NoReboot=true");
        self.insist(&request, "InvalidAMIName.Duplicate");
        self.image(name)
    }

    /// Launches a machine that runs a script, with further parameters.
    pub fn launch(&self, image: &str, token: &str, script: &str, more: &str) -> String {
        let script = STANDARD.encode(format!("#!/bin/sh\n{script}\n"));
        let script = script.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let request = "Action=RunInstances&InstanceType=t3.nano&MinCount=1&MaxCount=1";
        let more = format!("&ImageId={image}&ClientToken={token}&UserData={script}{more}");
        self.told(&format!("{request}{more}")).one("instanceId")
    }

    #[track_caller]
    pub fn until_running(&self, instance: &str) {
        self.until(&format!("Action=DescribeInstances&InstanceId.1={instance}"), "name", "running");
    }

    #[track_caller]
    pub fn until_console(&self, instance: &str, words: &str) {
        let request = format!("Action=GetConsoleOutput&Latest=true&InstanceId={instance}");
        eventually(words, || {
            let output = self.told(&request).all("output").concat().replace("&#xA;", "").replace('\n', "");
            String::from_utf8_lossy(&STANDARD.decode(output.trim()).unwrap_or_default()).contains(words)
        });
    }

    pub fn terminate(&self, instances: &[&str]) {
        for instance in instances {
            self.told(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
        }
    }
}

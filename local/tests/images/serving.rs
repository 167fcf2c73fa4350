//! An endpoint that offers images, and runs machines of them.

use crate::{
    fixture::{Answer, Signed},
    place::{PATIENCE, Place},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// An endpoint in the foreground; it ends with the value.
pub struct Serving {
    /// None of one that was started on demand.
    process: Option<Child>,
    address: SocketAddr,
    key: String,
    secret: String,
    /// What it has said when it opened.
    pub opening: String,
}

impl Serving {
    pub fn start(place: &Place) -> Self {
        let mut process = place.command(&["serve"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut opening = String::new();
        let mut output = BufReader::new(process.stdout.as_mut().unwrap());
        while !opening.contains("in another shell") {
            assert!(output.read_line(&mut opening).unwrap() > 0, "it did not come up: {opening}");
        }
        let address = opening.lines().next().unwrap().strip_prefix("serving EC2 on http://").unwrap().parse().unwrap();
        let mut serving = Self::known(place, address);
        (serving.process, serving.opening) = (Some(process), opening);
        serving
    }

    /// One that was started on demand, and ends by itself.
    pub fn known(place: &Place, address: SocketAddr) -> Self {
        let secret: serde_json::Value =
            serde_json::from_slice(&fs::read(place.state().join("secret")).unwrap()).unwrap();
        let text = |key: &str| secret[key].as_str().unwrap().to_owned();
        Self { process: None, address, key: text("access_key"), secret: text("secret_key"), opening: String::new() }
    }

    pub fn call(&self, parameters: &str) -> Answer {
        let mut request = Signed::ec2(&format!("{parameters}&Version=2016-11-15"));
        request.key.clone_from(&self.key);
        request.secret.clone_from(&self.secret);
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(&request.bytes(self.address, true)).unwrap();
        let answer = Answer::read(stream);
        assert!(answer.status == 200 || answer.body.contains("<Code>"), "{answer:?}");
        answer
    }

    /// The names of the images of the account's own.
    pub fn images(&self) -> Vec<String> {
        let body = self.call("Action=DescribeImages&Owner.1=self").body;
        body.split("<name>").skip(1).map(|rest| rest.split_once("</name>").unwrap().0.to_owned()).collect()
    }

    pub fn launch(&self, image: &str, user_data: &str) -> String {
        use base64::Engine;
        let named = self.call(&format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={image}"));
        let user_data = base64::engine::general_purpose::URL_SAFE.encode(user_data).replace('=', "%3D");
        let launch = format!(
            "Action=RunInstances&ImageId={}&InstanceType=t3.micro&MinCount=1&MaxCount=1&UserData={user_data}",
            named.element("imageId")
        );
        self.call(&launch).element("instanceId").to_owned()
    }

    /// The root volume of an instance.
    pub fn volume_of(&self, instance: &str) -> String {
        let filter = format!("Filter.1.Name=attachment.instance-id&Filter.1.Value.1={instance}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(&format!("Action=DescribeVolumes&{filter}"));
            if answer.body.contains("<volumeId>") {
                return answer.element("volumeId").to_owned();
            }
            assert!(Instant::now() < deadline, "{answer:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for words on the console; what stands there then.
    pub fn until_console(&self, instance: &str, words: &str) -> String {
        use base64::Engine;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(&format!("Action=GetConsoleOutput&InstanceId={instance}&Latest=true"));
            let output = answer.body.split_once("<output>").and_then(|(_, rest)| rest.split_once("</output>"));
            let text = output.map(|(text, _)| text.split_whitespace().collect::<String>()).unwrap_or_default();
            let text = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.contains(words) {
                return text;
            }
            assert!(Instant::now() < deadline, "no {words:?} on the console: {text}\n{answer:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn until_state(&self, instance: &str, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = self.call(&format!("Action=DescribeInstances&InstanceId.1={instance}")).body;
            if body.contains(&format!("<name>{state}</name>")) {
                return;
            }
            assert!(Instant::now() < deadline, "not {state}: {body}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends an instance, which may be so fresh that this isn't possible at once.
    pub fn terminate(&self, instance: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
            if answer.status == 200 {
                break;
            }
            assert!(Instant::now() < deadline, "{answer:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, and its machines with it.
    pub fn kill(mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub fn end(mut self) {
        let mut process = self.process.take().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::INT)
            .unwrap();
        assert!(process.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

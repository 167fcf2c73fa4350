//! What tests ask of an endpoint's machines.

use super::{
    door::Door,
    processes::{PATIENCE, eventually},
    request::Answer,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

impl Door {
    /// The id of an image.
    #[track_caller]
    pub fn image(&self, name: &str) -> String {
        self.find(&format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={name}"), "imageId")
    }

    /// Launches instances of an image of this name, with further parameters; their ids.
    #[track_caller]
    pub fn launch(&self, image: &str, count: usize, more: &str) -> Vec<String> {
        let image = self.image(image);
        let request =
            format!("Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount={count}&MaxCount={count}");
        self.call(&format!("{request}{more}")).all("instanceId")
    }

    /// Lets everybody in on port 22 of the machines of the default group.
    pub fn let_in_ssh(&self) {
        let group = self.find("Action=DescribeSecurityGroups&GroupName.1=default", "groupId");
        let rule = "IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=0.0.0.0%2F0";
        let open = format!("Action=AuthorizeSecurityGroupIngress&GroupId={group}&{rule}");
        self.insist(&open, "InvalidPermission.Duplicate");
    }

    #[track_caller]
    pub fn describe(&self, instance: &str) -> Answer {
        self.call(&format!("Action=DescribeInstances&InstanceId.1={instance}"))
    }

    #[track_caller]
    pub fn until_state(&self, instance: &str, state: &str) {
        let described = format!("Action=DescribeInstances&InstanceId.1={instance}");
        self.until(&described, &format!("<name>{state}</name>"));
    }

    /// The root volume of an instance, or another that it has.
    #[track_caller]
    pub fn volume_of(&self, instance: &str) -> String {
        let filter = format!("Filter.1.Name=attachment.instance-id&Filter.1.Value.1={instance}");
        self.find(&format!("Action=DescribeVolumes&{filter}"), "volumeId")
    }

    /// How many instances are in a state.
    pub fn count(&self, state: &str) -> usize {
        let filter = format!("Filter.1.Name=instance-state-name&Filter.1.Value.1={state}");
        let found = self.call(&format!("Action=DescribeInstances&{filter}")).all("instanceId");
        found.into_iter().collect::<BTreeSet<_>>().len()
    }

    pub fn console(&self, instance: &str) -> String {
        let answer = self.call(&format!("Action=GetConsoleOutput&InstanceId={instance}&Latest=true"));
        let text = answer.all("output").concat().replace("&#xA;", "");
        let text: String = text.split_whitespace().collect();
        String::from_utf8_lossy(&STANDARD.decode(text).unwrap()).into_owned()
    }

    /// Waits for words on the console; what stands there then.
    #[track_caller]
    pub fn until_console(&self, instance: &str, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let console = self.console(instance);
            if console.contains(words) {
                return console;
            }
            assert!(Instant::now() < deadline, "no {words:?} on the console: {console}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn terminate(&self, instances: &[&str]) {
        for instance in instances {
            self.call(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
        }
    }
}

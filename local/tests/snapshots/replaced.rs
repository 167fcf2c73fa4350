//! Root volumes that are replaced while their instances go on.

use crate::{
    account::{end, image_of, launch},
    endpoint::Door,
    place::Place,
};

const WRITE: &str = "mkdir -p /opt; echo mine >/opt/file; echo written: $((40 + 2))";

fn replace(serving: &Door, instance: &str, more: &str) {
    let request = format!("Action=CreateReplaceRootVolumeTask&InstanceId={instance}{more}");
    let task = serving.call(&request).element("replaceRootVolumeTaskId").to_owned();
    let describe = format!("Action=DescribeReplaceRootVolumeTasks&ReplaceRootVolumeTaskId.1={task}");
    serving.until(&describe, "<taskState>succeeded");
}

#[test]
fn an_instance_goes_back_to_its_launch_and_to_an_image() {
    let place = Place::new();
    let serving = place.serve();
    let (first, _) = launch(&serving, &serving.image("host"), WRITE, "written: 42");
    let golden = image_of(&serving, &first, "golden", "&NoReboot=true");
    let script = "echo found: $(cat /opt/file) $((40 + 3)); mkdir -p /opt; echo other >/opt/file";
    let (second, _) = launch(&serving, &golden, script, "found: mine 43");
    let old = serving.volume_of(&second);
    // User data runs again on the new one, which has the image's file and not the instance's.
    replace(&serving, &second, "");
    serving.until_console(&second, "found: mine 43");
    assert_ne!(serving.volume_of(&second), old);
    serving.until(&format!("Action=DescribeVolumes&VolumeId.1={old}"), "<status>available");
    let host = serving.image("host");
    replace(&serving, &second, &format!("&ImageId={host}&DeleteReplacedRootVolume=true"));
    serving.until_console(&second, "found: 43");
    serving.call(&format!("Action=DeleteVolume&VolumeId={old}"));
    end(&serving, &[&first, &second]);
    serving.end();
    assert!(!place.state().join("run").exists(), "something is left");
}

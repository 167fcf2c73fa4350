//! Images of images: each has what the machines before it have changed.

use crate::{
    account::{end, image_of, launch, layers},
    place::Place,
};

const FIRST: &str = "mkdir -p /opt/tree/sub; echo one >/opt/one; chmod 4711 /opt/one; echo a >/opt/tree/a
echo b >/opt/tree/sub/b; rm /bin/hostname; echo first: $((40 + 2))";
const SECOND: &str =
    "echo second: $(cat /opt/one) $(stat -c %a /opt/one) $(ls /opt/tree) $(ls /bin/hostname 2>&1 | cut -c 1-2)
rm -r /opt/tree; mkdir /opt/tree; echo c >/opt/tree/c; echo two >/opt/two; echo done: $((40 + 3))";
const THIRD: &str = "echo third: $(cat /opt/one /opt/two) $(ls /opt/tree) $(ls /bin/hostname 2>&1 | cut -c 1-2)
echo $(cat /proc/sys/kernel/hostname) in $(cat /etc/hostname); echo done: $((40 + 4))";

fn three_generations(place: &Place, base: &str) {
    let serving = place.serve();
    let (first, _) = launch(&serving, &serving.image(base), FIRST, "first: 42");
    let one = image_of(&serving, &first, "one", "");
    serving.until_state(&first, "running");
    let (second, console) = launch(&serving, &one, SECOND, "done: 43");
    assert!(console.contains("second: one 4711 a sub ls"), "{console}");
    // Without a reboot, as it is.
    let two = image_of(&serving, &second, "two", "&NoReboot=true");
    let (third, console) = launch(&serving, &two, THIRD, "done: 44");
    assert!(console.contains("third: one two c ls"), "{console}");
    let shown = serving.call(&format!("Action=DescribeInstances&InstanceId.1={third}"));
    let name = shown.element("privateDnsName");
    assert!(console.contains(&format!("{name} in {name}")), "it has the name of another: {console}");
    assert_eq!(layers(place).len(), 2);
    // Of one that is stopped.
    serving.call(&format!("Action=StopInstances&InstanceId.1={third}"));
    serving.until_state(&third, "stopped");
    let three = image_of(&serving, &third, "three", "");
    let (fourth, console) = launch(&serving, &three, "echo fourth: $(cat /opt/two) $((40 + 5))", "fourth: two 45");
    assert!(!console.contains("read-only"), "{console}");
    assert_eq!(layers(place).len(), 3);
    end(&serving, &[&first, &second, &third, &fourth]);
    serving.end();
    assert!(!place.state().join("run").exists(), "something is left");
}

#[test]
fn an_image_of_an_image_of_the_host_has_all_that_was_changed() {
    three_generations(&Place::new(), "host");
}

#[test]
fn an_image_of_an_image_of_an_imported_one_has_all_that_was_changed() {
    let (place, _) = Place::with_tiny();
    three_generations(&place, "tiny");
    place.remove();
    assert_eq!(place.kept(), (vec![], 0));
}

#[test]
fn a_volumes_snapshot_becomes_an_image_by_registration_and_a_copy_of_it_boots_too() {
    let place = Place::new();
    let serving = place.serve();
    let (first, _) = launch(&serving, &serving.image("host"), FIRST, "first: 42");
    let taken = serving.call(&format!("Action=CreateSnapshot&VolumeId={}", serving.volume_of(&first)));
    let snapshot = taken.element("snapshotId").to_owned();
    serving.until(&format!("Action=DescribeSnapshots&SnapshotId.1={snapshot}"), "<status>completed");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let register = format!(
        "Action=RegisterImage&Name=registered&RootDeviceName=%2Fdev%2Fsda1&Architecture={architecture}&EnaSupport=true\
         &VirtualizationType=hvm&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1&BlockDeviceMapping.1.Ebs.SnapshotId={snapshot}"
    );
    let image = serving.call(&register).element("imageId").to_owned();
    let copy = format!("Action=CopyImage&Name=copied&SourceRegion=us-east-1&SourceImageId={image}");
    let copy = serving.call(&copy).element("imageId").to_owned();
    serving.until(&format!("Action=DescribeImages&ImageId.1={copy}"), "<imageState>available");
    let (second, console) = launch(&serving, &copy, SECOND, "done: 43");
    assert!(console.contains("second: one 4711 a sub ls"), "{console}");
    end(&serving, &[&first, &second]);
    serving.end();
}

/// Who has more users than root alone, and the tools for it, gives files to others.
const GIVE: &str =
    "mkdir -p /opt; cp /bin/cat /opt/cat; echo x >/opt/a; ln /opt/a /opt/b; mkfifo /opt/pipe; chown 12:34 /opt/cat
chmod 2755 /opt/cat; setcap cap_net_raw+ep /opt/cat; touch -d @1000000000 /opt/a; truncate -s 100M /opt/hole";
const TELL: &str = "echo kept: $(stat -c %u:%g.%a.%h.%F.%s /opt/cat /opt/a /opt/b /opt/pipe | tr ' ' _) $(stat -c %Y /opt/a) \
     $(stat -c %b /opt/hole) $(getcap /opt/cat) end: $((40 + 2))";

#[test]
fn owners_modes_times_links_holes_and_capabilities_stay() {
    let place = Place::new();
    let serving = place.serve();
    let kept = |console: &str| -> String {
        let line = console.lines().find(|line| line.starts_with("kept: ")).unwrap();
        line.trim().to_owned()
    };
    let (first, console) = launch(&serving, &serving.image("host"), &format!("{GIVE}\n{TELL}"), "end: 42");
    let before = kept(&console);
    assert!(before.contains("_file") && before.contains("fifo") && before.contains(" 1000000000 0 "), "{before}");
    if rustix::process::geteuid().is_root() {
        assert!(before.contains("12:34.2755") && before.contains("cap_net_raw"), "{before}");
    }
    let one = image_of(&serving, &first, "one", "");
    let (second, console) = launch(&serving, &one, TELL, "end: 42");
    assert_eq!(kept(&console), before);
    let two = image_of(&serving, &second, "two", "&NoReboot=true");
    let (third, console) = launch(&serving, &two, TELL, "end: 42");
    assert_eq!(kept(&console), before);
    end(&serving, &[&first, &second, &third]);
    serving.end();
}

#[test]
fn there_can_be_many_generations() {
    let (place, _) = Place::with_tiny();
    let serving = place.serve();
    let mut image = serving.image("tiny");
    let mut instances = Vec::new();
    for number in 10..20 {
        let script = format!("mkdir -p /opt; echo {number} >/opt/{number}; echo all: $(ls /opt) end: $((40 + 2))");
        let (instance, console) = launch(&serving, &image, &script, "end: 42");
        let all: Vec<String> = (10..=number).map(|number| number.to_string()).collect();
        assert!(console.contains(&format!("all: {} end", all.join(" "))), "{console}");
        image = image_of(&serving, &instance, &format!("generation-{number}"), "&NoReboot=true");
        instances.push(instance);
    }
    assert_eq!(layers(&place).len(), 10);
    end(&serving, &instances.iter().map(String::as_str).collect::<Vec<_>>());
    serving.end();
}

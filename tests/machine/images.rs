//! Images of machines: taken, launched from, gone with all of their snapshots.

use super::support::{block_on, ec2, eventually, has_ended, insist, sdk, unique};
use aws_sdk_ec2::types::{Filter, Image as Description, Snapshot as SnapshotDescription};
use ec2_harness::prelude::*;

/// The images that bear a tag, as EC2 has them.
fn images(ec2: &Ec2, tag: &str) -> Vec<Description> {
    let by_tag = Filter::builder().name("tag:purpose").values(tag).build();
    let call = sdk(ec2).describe_images().owners("self").filters(by_tag);
    insist(|| block_on(call.clone().send()).map_err(Box::new)).images.unwrap_or_default()
}

/// The snapshots that bear a tag, as EC2 has them.
fn snapshots(ec2: &Ec2, tag: &str) -> Vec<SnapshotDescription> {
    let by_tag = Filter::builder().name("tag:purpose").values(tag).build();
    let call = sdk(ec2).describe_snapshots().owner_ids("self").filters(by_tag);
    insist(|| block_on(call.clone().send()).map_err(Box::new)).snapshots.unwrap_or_default()
}

#[track_caller]
fn is_gone(ec2: &Ec2, tag: &str) {
    eventually("the image is gone, and all of its snapshots", || {
        images(ec2, tag).is_empty() && snapshots(ec2, tag).is_empty()
    });
}

const IDENTITY: &str = "cat /etc/machine-id && cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub";

#[test]
fn what_is_launched_from_an_image_has_its_files_and_an_identity_of_its_own() {
    let (ec2, tag) = (ec2(), unique("golden"));
    let vm = ec2.launch("host").user_data("#!/bin/sh\necho once >>/var/tmp/boots\n").wait().unwrap();
    vm.exec("echo golden >/var/tmp/golden && echo kept >>/root/.ssh/authorized_keys").sudo().wait().unwrap();
    vm.add_volume(gp3(1)).wait().unwrap();
    let before = vm.exec(IDENTITY).sudo().wait().unwrap().stdout;
    let image = vm.snapshot().name("golden: größe").tag("purpose", &tag).wait().unwrap();

    let described = image.describe().wait().unwrap();
    assert_eq!(described.state().unwrap().as_str(), "available");
    assert!(described.name().unwrap().starts_with("golden- gr--e-"), "{:?}", described.name());
    assert_eq!(snapshots(&ec2, &tag).len(), 2, "of all volumes");
    // The machine goes on, as if new.
    let after = vm.exec(IDENTITY).sudo().wait().unwrap().stdout;
    for (before, after) in before.lines().zip(after.lines()) {
        assert!(before != after && !after.is_empty(), "{before} {after}");
    }
    assert_eq!(vm.exec("cat /var/tmp/golden /var/tmp/boots").wait().unwrap().stdout, "golden\nonce\nonce\n");

    let (user, other) = (vm.user(), ec2.launch(&image).wait().unwrap());
    assert_eq!(other.user(), user);
    assert_eq!(other.exec("cat /var/tmp/golden").wait().unwrap().stdout, "golden\n");
    let others = other.exec(IDENTITY).sudo().wait().unwrap().stdout;
    for (one, other) in after.lines().zip(others.lines()).chain(before.lines().zip(others.lines())) {
        assert_ne!(one, other);
    }
    // Our key was brought anew, and not with the image; nobody else's went.
    let keys = other.exec("cat ~/.ssh/authorized_keys; sudo cat /root/.ssh/authorized_keys").wait().unwrap().stdout;
    assert_eq!(keys.matches("ssh-ed25519").count(), vm_keys(&vm), "{keys}");
    assert!(keys.contains("kept"), "{keys}");
    assert_eq!(other.describe().wait().unwrap().block_device_mappings().len(), 2);

    drop(image);
    is_gone(&ec2, &tag);
    // Neither of them needs it.
    vm.exec("true").wait().unwrap();
    other.exec("cat /var/tmp/golden").wait().unwrap();
}

fn vm_keys(vm: &Machine) -> usize {
    let keys = vm.exec("cat ~/.ssh/authorized_keys; sudo cat /root/.ssh/authorized_keys").wait().unwrap().stdout;
    keys.matches("ssh-ed25519").count()
}

#[test]
fn a_machine_that_runs_on_has_what_was_its_own() {
    let (ec2, tag) = (ec2(), unique("running"));
    let vm = ec2.launch("host").wait().unwrap();
    vm.exec("echo golden >/var/tmp/golden; sync; echo 1 >/run/same-boot").sudo().wait().unwrap();
    let before = vm.exec(IDENTITY).sudo().wait().unwrap().stdout;
    let image = vm.snapshot().running().tag("purpose", &tag).wait().unwrap();
    assert_eq!(vm.exec(format!("{IDENTITY} && rm /run/same-boot")).sudo().wait().unwrap().stdout, before);
    vm.reboot().wait().unwrap();
    assert_eq!(vm.exec(IDENTITY).sudo().wait().unwrap().stdout, before);

    let other = ec2.launch(image.id()).wait().unwrap();
    assert_eq!(other.exec("cat /var/tmp/golden").wait().unwrap().stdout, "golden\n");
    let others = other.exec(IDENTITY).sudo().wait().unwrap().stdout;
    before.lines().zip(others.lines()).for_each(|(one, other)| assert_ne!(one, other));
    image.delete().wait().unwrap();
    assert_eq!(image.describe().wait().unwrap_err().kind(), ErrorKind::Ended);
    is_gone(&ec2, &tag);
}

#[test]
fn a_machine_is_taken_as_it_is_where_that_is_said() {
    let (ec2, tag) = (ec2(), unique("as-it-is"));
    let vm = ec2.launch("host").wait().unwrap();
    vm.exec("echo golden >/var/tmp/golden").wait().unwrap();
    let before = vm.exec(IDENTITY).sudo().wait().unwrap().stdout;
    vm.stop().wait().unwrap();
    let error = vm.snapshot().wait().unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && error.to_string().contains("without_cleaning"), "{error}");
    let one = vm.snapshot().without_cleaning().tag("purpose", &tag).wait().unwrap();
    let other = vm.snapshot().without_cleaning().tag("purpose", &tag).wait().unwrap();
    assert_ne!(one.describe().wait().unwrap().name(), other.describe().wait().unwrap().name());
    assert_eq!(vm.describe().wait().unwrap().state().unwrap().name().unwrap().as_str(), "stopped");
    vm.start().wait().unwrap();
    assert_eq!(vm.exec(IDENTITY).sudo().wait().unwrap().stdout, before);
    // Somebody else's machine isn't cleaned, unasked.
    let theirs = ec2.instance(vm.id()).wait().unwrap();
    let error = theirs.snapshot().wait().unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && error.to_string().contains("somebody else's"), "{error}");
    drop((one, other));
    is_gone(&ec2, &tag);
    vm.exec("true").wait().unwrap();
}

#[test]
fn what_is_refused_leaves_nothing() {
    let (ec2, tag) = (ec2(), unique("refused"));
    let vm = ec2.launch("host").wait().unwrap();
    let error = vm.snapshot().tag("purpose", &tag).tag("aws:mine", "").wait().unwrap_err().to_string();
    assert!(error.contains("AWS's own"), "{error}");
    let late = vm.snapshot().tag("purpose", &tag).available_within(std::time::Duration::ZERO).wait();
    match late {
        Err(error) => {
            assert!(error.kind() == ErrorKind::TimedOut && error.to_string().contains("`pending`"), "{error}")
        }
        // It was available at the first look.
        Ok(image) => drop(image),
    }
    is_gone(&ec2, &tag);
    vm.exec("true").wait().unwrap();
    let id = vm.id().to_owned();
    vm.terminate().wait().unwrap();
    eventually("it ends", || has_ended(&ec2, &id));
    assert_eq!(vm.snapshot().wait().unwrap_err().kind(), ErrorKind::Ended);
}

#[test]
fn a_sweep_ends_an_image_that_was_kept_with_all_that_it_has() {
    let (ec2, tag) = (ec2(), unique("kept"));
    let vm = ec2.launch("host").wait().unwrap();
    let image = vm.snapshot().running().without_cleaning().tag("purpose", &tag).wait().unwrap();
    let id = image.id().to_owned();
    image.keep().wait().unwrap();
    assert_eq!((images(&ec2, &tag).len(), snapshots(&ec2, &tag).len()), (1, 1));
    vm.terminate().wait().unwrap();
    // What was seen once may not be the next time.
    let mut swept = ec2.sweep().instance(&id).wait().unwrap();
    eventually("it is swept", || {
        if swept.is_empty() {
            swept = ec2.sweep().instance(&id).wait().unwrap();
        }
        !swept.is_empty()
    });
    let swept: Vec<_> = swept.resources.iter().map(ToString::to_string).collect();
    assert_eq!(swept, [format!("image {id}")]);
    is_gone(&ec2, &tag);
}

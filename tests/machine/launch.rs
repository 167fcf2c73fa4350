//! Launches: what can be said of a machine, and what goes wrong.

use super::support::{
    block_on, closed_group, delete_group, ec2, eventually, has_ended, insist, instances, sdk, unique,
};
use aws_sdk_ec2::{
    error::ProvideErrorMetadata,
    primitives::Blob,
    types::{InstanceNetworkInterfaceSpecification, ResourceType, Tag, TagSpecification},
};
use ec2_harness::{prelude::*, ssh::PrivateKey};
use std::time::Duration;

#[ec2_test]
async fn all_that_can_be_said(ec2: Ec2) -> Result {
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::Instance)
        .tags(Tag::builder().key("from").value("the SDK").build())
        .tags(Tag::builder().key("ec2-harness:run").value("stolen").build())
        .build();
    let of_volumes = Tag::builder().key("backup").value("never").build();
    let of_volumes = TagSpecification::builder().resource_type(ResourceType::Volume).tags(of_volumes).build();
    let interface = InstanceNetworkInterfaceSpecification::builder().device_index(0).associate_public_ip_address(true);
    let interface = interface.build();
    let vm = ec2
        .launch("host")
        .name("web")
        .instance_type("t3.small")
        .tag("team", "ours")
        .root_size(gib(20))
        .run_instances(move |request| request.tag_specifications(tags.clone()).min_count(3).max_count(3))
        .run_instances(move |request| request.tag_specifications(of_volumes.clone()))
        .run_instances(move |request| request.network_interfaces(interface.clone()))
        .run_instances(|request| request.client_token("not-ours"))
        .await?;
    assert_eq!((vm.name(), vm.instance_type().as_deref()), ("web", Some("t3.small")));
    let tags = vm.tags();
    let tag = |key: &str| tags.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    assert_eq!((tag("Name"), tag("team"), tag("from")), (Some("web"), Some("ours"), Some("the SDK")));
    assert_ne!(tag("ec2-harness:run"), Some("stolen"));
    assert_eq!(tag("backup"), None);
    let described = vm.describe().await?;
    assert_ne!(described.client_token(), Some("not-ours"));
    let options = described.metadata_options().unwrap();
    assert_eq!(options.http_tokens().unwrap().as_str(), "required");
    let volume = described.block_device_mappings()[0].ebs().unwrap();
    assert_eq!(volume.delete_on_termination(), Some(true));
    let id = volume.volume_id().unwrap().to_owned();
    let volumes = ec2.clone();
    let size = tokio::task::spawn_blocking(move || {
        let call = sdk(&volumes).describe_volumes().volume_ids(id);
        let found = insist(|| block_on(call.clone().send()).map_err(Box::new));
        let volume = &found.volumes()[0];
        let has = |key: &str| volume.tags().iter().any(|tag| tag.key() == Some(key));
        (volume.size(), has("ec2-harness:run") && has("backup") && !has("from"))
    });
    assert_eq!(size.await?, (Some(20), true));
    Ok(())
}

#[ec2_test]
async fn unknown_images_name_those_that_are_there(ec2: Ec2) -> Result {
    for image in ["debian-12", "no-such-image", "Host"] {
        let error = ec2.launch(image).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{text}");
        assert!([image, "host", "blank", "ec2-harness.toml"].iter().all(|word| text.contains(word)), "{text}");
        assert_eq!(text.contains("did you mean `host`?"), image == "Host", "{text}");
    }
    Ok(())
}

#[ec2_test]
async fn what_ec2_refuses_is_said_with_its_code(ec2: Ec2) -> Result {
    let error = ec2.launch("host").instance_type("t9.enormous").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("t9.enormous") && error.code().is_some(), "{text}");
    let error = ec2.launch("host").subnet("subnet-0123456789abcdef0").await.unwrap_err();
    assert!(error.to_string().contains("subnet-0123456789abcdef0"), "{error}");
    let error = ec2.launch("host").security_groups(["sg-0123456789abcdef0"]).await.unwrap_err();
    assert!(error.to_string().contains("sg-0123456789abcdef0"), "{error}");
    Ok(())
}

#[ec2_test]
async fn a_blank_machine_is_only_an_instance(ec2: Ec2) -> Result {
    let vm = ec2.launch("blank").without_waiting().await?;
    while vm.describe().await?.state().unwrap().name().unwrap().as_str() != "running" {}
    vm.stop().await?;
    vm.terminate().await?;
    vm.wait_terminated().await
}

#[ec2_test]
async fn a_launch_that_does_not_wait_is_waited_for_when_used(ec2: Ec2) -> Result {
    let vm = ec2.launch("host").user_data("#!/bin/sh\nsleep 1; echo done >/etc/done").without_waiting().await?;
    assert_eq!(vm.exec("echo connected").await?.stdout, "connected\n");
    vm.wait_ready().await?;
    vm.assert(file("/etc/done").contains("done")).await
}

#[ec2_test]
async fn one_that_never_comes_up_says_how_far_it_came(ec2: Ec2) -> Result {
    let slow = "#!/bin/sh\nsleep 600\n";
    let error = ec2.launch("host").user_data(slow).ready_within(3.secs()).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Provisioning, "{text}");
    assert!(text.contains("it is running, and SSH answers, but cloud-init isn't done"), "{text}");
    assert!(text.contains("console"), "{text}");
    Ok(())
}

#[ec2_test]
async fn what_holds_no_system_is_not_waited_for(ec2: Ec2) -> Result {
    let since = std::time::Instant::now();
    let error = ec2.launch("blank").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("its image holds no system") && text.contains("without_waiting"), "{text}");
    let vm = ec2.launch("blank").without_waiting().await?;
    let error = vm.exec("true").await.unwrap_err();
    assert!(error.to_string().contains("its image holds no system"), "{error}");
    assert!(since.elapsed() < vm.ec2().config().ready_timeout);
    Ok(())
}

#[test]
fn a_group_that_lets_nobody_in_is_the_reason_of_a_wait_that_times_out() {
    let ec2 = ec2();
    let group = closed_group(&ec2);
    let launch = ec2.launch("host").security_groups([&group]).ready_within(Duration::from_secs(4));
    let error = launch.wait().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("it is running, and the last try failed to connect to"), "{text}");
    assert!(text.contains("allows TCP port 22 from any source") && text.contains(&group), "{text}");
    delete_group(&ec2, &group);
}

#[ec2_test]
async fn user_data_that_powers_off_is_told_as_that(ec2: Ec2) -> Result {
    let off = "#!/bin/sh\npoweroff; sleep 600\n";
    let error = ec2.launch("host").user_data(off).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Provisioning, "{text}");
    assert!(text.contains("it is stop") && text.contains("Instance initiated shutdown"), "{text}");
    Ok(())
}

#[ec2_test]
async fn user_data_that_reboots_is_waited_for(ec2: Ec2) -> Result {
    let vm = ec2.launch("host").user_data("#!/bin/sh\ntouch /etc/booted; reboot; sleep 600\n").await?;
    vm.assert(file("/etc/booted").exists()).await
}

#[test]
fn a_launch_that_fails_leaves_nothing() {
    let ec2 = ec2();
    let tag = unique("failed");
    let slow = "#!/bin/sh\nsleep 600\n";
    let launch = ec2.launch("host").tag("launch-test", &tag).user_data(slow).ready_within(Duration::from_secs(3));
    let error = launch.wait().unwrap_err();
    assert!(error.kind() == ErrorKind::Provisioning && error.to_string().contains("cloud-init"), "{error}");
    eventually("it has ended", || {
        let all = instances(&ec2, "tag:launch-test", &tag);
        all.len() == 1 && all.iter().all(|it| has_ended(&ec2, it.instance_id().unwrap()))
    });
}

fn new_key() -> ssh_key::PrivateKey {
    ssh_key::PrivateKey::random(&mut ssh_key::rand_core::OsRng, ssh_key::Algorithm::Ed25519).unwrap()
}

fn private(key: &ssh_key::PrivateKey) -> PrivateKey {
    PrivateKey::from_text(key.to_openssh(ssh_key::LineEnding::LF).unwrap().to_string()).unwrap()
}

#[test]
fn a_key_of_ones_own_and_a_wrong_one() {
    let ec2 = ec2();
    let (name, right, wrong) = (unique("own-key"), new_key(), new_key());
    let public = Blob::new(right.public_key().to_openssh().unwrap());
    let import = sdk(&ec2).import_key_pair().key_name(&name).public_key_material(public);
    insist(|| match block_on(import.clone().send()) {
        // Its first answer was lost.
        Err(error) if error.code() == Some("InvalidKeyPair.Duplicate") => Ok(()),
        other => other.map(drop).map_err(Box::new),
    });

    let vm = ec2.launch("host").key(&name, private(&right)).wait().unwrap();
    vm.exec("true").wait().unwrap();
    drop(vm);

    let error = ec2.launch("host").key(&name, private(&wrong)).wait().unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{text}");
    assert!(text.contains("cloud-init is done") && text.contains("ec2-user"), "{text}");

    let error = ec2.launch("host").key(&name, private(&right)).user("nobody-here").wait().unwrap_err();
    assert!(error.kind() == ErrorKind::Authentication && error.to_string().contains("nobody-here"), "{error}");
    insist(|| block_on(sdk(&ec2).delete_key_pair().key_name(&name).send()).map_err(Box::new));

    let error = ec2.launch("host").key(&name, private(&right)).ready_within(Duration::from_secs(5)).wait().unwrap_err();
    assert_eq!(error.code(), Some("InvalidKeyPair.NotFound"), "{error}");
}

#[ec2_test]
async fn many_together(ec2: Ec2) -> Result {
    let describes = ec2.statistics().describes;
    let launches: Vec<_> = (0..8).map(|n| ec2.launch("host").name(format!("vm-{n}")).start()).collect();
    let mut machines = Vec::new();
    for launch in launches {
        machines.push(launch.await?);
    }
    for (n, vm) in machines.iter().enumerate() {
        assert_eq!(vm.name(), format!("vm-{n}"));
        vm.exec("true").await?;
    }
    assert!(ec2.statistics().describes > describes);
    let ids: std::collections::BTreeSet<_> = machines.iter().map(|vm| vm.id().to_owned()).collect();
    assert_eq!(ids.len(), 8);
    Ok(())
}

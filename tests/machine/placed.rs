//! What a launch says of its volumes, its place, its rights and its metadata service; and what it says wrongly.

use super::support::{TYPES, block_on, ec2, eventually, has_ended, insist, instances, sdk, unique};
use aws_sdk_ec2::types::{
    Filter, InstanceInterruptionBehavior, InstanceMarketOptionsRequest, MarketType, SpotInstanceType,
    SpotMarketOptions, Volume as Description,
};
use ec2_harness::prelude::*;

/// The value of a tag of a volume.
fn tag(volume: &Description, key: &str) -> Option<String> {
    volume.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value().map(str::to_owned))
}

/// The volumes of a machine, by their devices.
async fn volumes(vm: &Machine) -> Result<Vec<(String, Description)>> {
    let described = vm.describe().await?;
    let mappings = described.block_device_mappings();
    let devices: Vec<(String, String)> = mappings
        .iter()
        .map(|it| (it.device_name().unwrap().to_owned(), it.ebs().unwrap().volume_id().unwrap().to_owned()))
        .collect();
    let ec2 = vm.ec2().clone();
    let found = tokio::task::spawn_blocking(move || {
        let find = |(device, id): (String, String)| {
            let describe = sdk(&ec2).describe_volumes().volume_ids(&id);
            let found = insist(|| block_on(describe.clone().send()).map_err(Box::new));
            (device, found.volumes()[0].clone())
        };
        devices.into_iter().map(find).collect()
    });
    Ok(found.await?)
}

#[ec2_test]
async fn volumes_of_a_launch(ec2: Ec2) -> Result {
    let second =
        NewVolume::new("gp3").size(gib(8)).iops(3500).throughput(200).encrypted().name("second").tag("for", "logs");
    let vm = ec2.launch("host").volumes([gp3(1).device("/dev/sdg"), second]).volumes([gp3(3)]).root_encrypted().await?;
    let volumes = volumes(&vm).await?;
    let sizes: Vec<_> = volumes.iter().map(|(device, it)| (device.as_str(), it.size().unwrap())).collect();
    assert_eq!(sizes[1..], [("/dev/sdf", 8), ("/dev/sdg", 1), ("/dev/sdh", 3)]);
    assert!(volumes.iter().all(|(_, it)| it.attachments()[0].delete_on_termination() == Some(true)));
    let [root, second, first, third] = [0, 1, 2, 3].map(|n| &volumes[n].1);
    assert_eq!([root, first, second, third].map(|it| it.encrypted().unwrap()), [true, false, true, false]);
    assert_eq!((second.iops(), second.throughput()), (Some(3500), Some(200)));
    assert!(volumes.iter().all(|(_, it)| tag(it, "ec2-harness:run").is_some()));
    assert_eq!((tag(first, "Name").as_deref(), tag(first, "for")), (Some(vm.name()), None));
    // EC2 may show a volume for a while as it was made, with the tags of all.
    let since = std::time::Instant::now();
    loop {
        let second = &self::volumes(&vm).await?[1].1;
        if (tag(second, "Name").as_deref(), tag(second, "for").as_deref()) == (Some("second"), Some("logs")) {
            break;
        }
        assert!(since.elapsed() < super::support::PATIENCE, "it never gets its own tags");
    }
    // What is added later is beside them.
    let added = vm.add_volume(gp3(1)).await?;
    assert_eq!(added.describe().await?.attachments()[0].device(), Some("/dev/sdi"));
    Ok(())
}

#[test]
fn volumes_of_a_launch_end_with_it() {
    let ec2 = ec2();
    let vm = ec2.launch("host").volumes([gp3(1), gp3(1)]).wait().unwrap();
    let ids: Vec<_> = vm
        .describe()
        .wait()
        .unwrap()
        .block_device_mappings()
        .iter()
        .map(|it| it.ebs().unwrap().volume_id().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
    drop(vm);
    eventually("they have ended", || {
        let filter = aws_sdk_ec2::types::Filter::builder().name("volume-id").set_values(Some(ids.clone())).build();
        let describe = sdk(&ec2).describe_volumes().filters(filter);
        insist(|| block_on(describe.clone().send()).map_err(Box::new)).volumes().is_empty()
    });
}

#[ec2_test]
async fn zone_profile_and_metadata_service(ec2: Ec2) -> Result {
    let imds = Imds::any_version().hop_limit(2).tags();
    let vm = ec2
        .launch("host")
        .zone("us-east-1b")
        .instance_types(TYPES)
        .imds(imds)
        .instance_profile("web")
        .tag("team", "ours")
        .await?;
    assert_eq!(vm.zone().as_deref(), Some("us-east-1b"));
    let described = vm.describe().await?;
    let profile = described.iam_instance_profile().unwrap().arn().unwrap();
    assert!(profile.ends_with(":instance-profile/web"), "{profile}");
    let options = described.metadata_options().unwrap();
    let tokens = options.http_tokens().unwrap().as_str();
    let tags = options.instance_metadata_tags().unwrap().as_str();
    assert_eq!((tokens, options.http_put_response_hop_limit(), tags), ("optional", Some(2), "enabled"));
    Ok(())
}

#[ec2_test]
async fn a_spot_instance_and_its_request_end_together(ec2: Ec2) -> Result {
    let vm = ec2.launch("host").spot().await?;
    let described = vm.describe().await?;
    assert_eq!(described.instance_lifecycle().map(|it| it.as_str()), Some("spot"));
    let request = described.spot_instance_request_id().unwrap().to_owned();
    vm.terminate().await?;
    let state = tokio::task::spawn_blocking(move || {
        eventually("the request is over", || {
            let describe = sdk(&ec2).describe_spot_instance_requests().spot_instance_request_ids(&request);
            let found = insist(|| block_on(describe.clone().send()).map_err(Box::new));
            let request = &found.spot_instance_requests()[0];
            assert!(request.tags().iter().any(|tag| tag.key() == Some("ec2-harness:run")), "{request:?}");
            ["closed", "cancelled"].contains(&request.state().unwrap().as_str())
        });
    });
    Ok(state.await?)
}

/// Asks for Spot Instances by a request that persists: it launches another when one ends, unless it is cancelled before.
fn persistent() -> InstanceMarketOptionsRequest {
    let options = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::Persistent)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Stop)
        .build();
    InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(options).build()
}

/// What a run still has of Spot requests that may launch another instance.
fn open_requests(ec2: &Ec2, tag: &str) -> Vec<String> {
    let by_tag = Filter::builder().name("tag:spot-test").values(tag).build();
    let describe = sdk(ec2).describe_spot_instance_requests().filters(by_tag);
    let found = insist(|| block_on(describe.clone().send()).map_err(Box::new));
    let is_over = |state: &str| ["closed", "cancelled", "failed"].contains(&state);
    let open = found.spot_instance_requests().iter().filter(|request| !is_over(request.state().unwrap().as_str()));
    open.map(|request| format!("{}: {:?}", request.spot_instance_request_id().unwrap(), request.state())).collect()
}

#[test]
fn a_spot_request_that_is_not_seen_yet_is_cancelled_before_its_instance_ends() {
    let (ec2, tag) = (ec2(), unique("spot"));
    // Most are ended before EC2 shows their requests to everybody.
    for _ in 0..6 {
        let launch = ec2.launch("blank").tag("spot-test", &tag).without_waiting();
        let vm = launch.run_instances(|r| r.instance_market_options(persistent())).wait().unwrap();
        vm.terminate().wait().unwrap();
    }
    // By now whatever was launched in their place is seen.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let alive =
        || instances(&ec2, "tag:spot-test", &tag).into_iter().filter(|it| !has_ended(&ec2, it.instance_id().unwrap()));
    assert_eq!(open_requests(&ec2, &tag), Vec::<String>::new());
    assert_eq!(alive().count(), 0);
}

#[ec2_test]
async fn what_is_said_wrongly_is_told_before_anything_is_made(ec2: Ec2) -> Result {
    let launch = || ec2.launch("host").ready_within(30.secs());
    for (launch, kind, says) in [
        (
            launch().volumes([NewVolume::new("gp3")]),
            ErrorKind::Configuration,
            ["neither a size nor a snapshot", "size"],
        ),
        (launch().volumes([gp3(1).size(mib(1))]), ErrorKind::Configuration, ["whole GiB", "gib(20)"]),
        (
            launch().volumes([gp3(1).device("/dev/sdf"), gp3(2).device("/dev/sdf")]),
            ErrorKind::Configuration,
            ["two of its volumes", "/dev/sdf"],
        ),
        (
            launch().zone("us-east-1a").subnet("subnet-0123456789abcdef0"),
            ErrorKind::Configuration,
            ["subnet-0123456789abcdef0", "us-east-1a"],
        ),
        (launch().zone("us-east-1x"), ErrorKind::NotFound, ["us-east-1x", "us-east-1a, us-east-1b, us-east-1c"]),
        (launch().imds(Imds::v2().tags()).tag("a/b", "x"), ErrorKind::Configuration, ["a/b", "metadata"]),
        (launch().imds(Imds::v2().hop_limit(65)), ErrorKind::Configuration, ["64 hops", "65"]),
        (launch().ipv6(), ErrorKind::Api, ["IPv6", "RunInstances"]),
        (launch().volumes([gp3(1).snapshot("snap-0123456789abcdef0")]), ErrorKind::NotFound, ["snap-0123", "Snapshot"]),
    ] {
        let error = launch.await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(says.iter().all(|says| text.to_lowercase().contains(&says.to_lowercase())), "{text}");
    }
    Ok(())
}

//! What several test files share: EC2 seen from beside ec2-harness, by a client of its own.

#![allow(dead_code)]

use aws_sdk_ec2::{
    error::ProvideErrorMetadata as _,
    types::{Filter, Instance as Description, IpPermission, IpRange},
};
use ec2_harness::prelude::*;
use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// Longer than anything takes on a busy machine; whoever waits this long has found a bug.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What a launch in one zone tries in turn: in hostile conditions any one of them may lack capacity.
pub const TYPES: [&str; 4] = ["t3.micro", "t3.small", "t3.medium", "t3.large"];

/// The account, outside of any test.
pub fn ec2() -> Ec2 {
    Ec2::connect().wait().unwrap()
}

/// Runs a future on a runtime of its own.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A client with connections of its own, which may end with their runtime; what it creates is somebody else's.
pub fn sdk(ec2: &Ec2) -> aws_sdk_ec2::Client {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let mut config = ec2.client().config().to_builder().http_client(http);
    config.set_interceptors([]);
    aws_sdk_ec2::Client::from_conf(config.build())
}

/// What a call answers that is sent again while EC2 fails it, as it may at any time.
#[track_caller]
pub fn insist<T, E: std::fmt::Debug>(mut call: impl FnMut() -> Result<T, Box<E>>) -> T {
    let since = Instant::now();
    loop {
        match call() {
            Ok(answer) => return answer,
            Err(error) => assert!(since.elapsed() < PATIENCE, "never: {error:?}"),
        }
        sleep(Duration::from_millis(50));
    }
}

/// Makes a security group that lets nobody in.
pub fn closed_group(ec2: &Ec2) -> String {
    let name = unique("closed");
    let create = sdk(ec2).create_security_group().group_name(&name).description("lets nobody in");
    insist(|| match block_on(create.clone().send()) {
        // Its first answer was lost.
        Err(error) if error.code() == Some("InvalidGroup.Duplicate") => {
            let find = sdk(ec2).describe_security_groups();
            let find = find.filters(Filter::builder().name("group-name").values(&name).build());
            let found = block_on(find.send()).map_err(|error| format!("{error:?}")).map_err(Box::new)?;
            found
                .security_groups()
                .first()
                .and_then(|group| group.group_id.clone())
                .ok_or_else(|| Box::new(name.clone()))
        }
        other => other.map(|made| made.group_id.unwrap()).map_err(|error| Box::new(format!("{error:?}"))),
    })
}

/// Lets SSH in from anywhere.
pub fn open_group(ec2: &Ec2, group: &str) {
    let from = IpRange::builder().cidr_ip("0.0.0.0/0").build();
    let ssh = IpPermission::builder().ip_protocol("tcp").from_port(22).to_port(22).ip_ranges(from).build();
    let open = sdk(ec2).authorize_security_group_ingress().group_id(group).ip_permissions(ssh);
    insist(|| match block_on(open.clone().send()) {
        Err(error) if error.code() == Some("InvalidPermission.Duplicate") => Ok(()),
        other => other.map(drop).map_err(Box::new),
    });
}

/// Deletes a security group once nobody uses it.
pub fn delete_group(ec2: &Ec2, group: &str) {
    let delete = sdk(ec2).delete_security_group().group_id(group);
    insist(|| match block_on(delete.clone().send()) {
        Err(error) if error.code() == Some("InvalidGroup.NotFound") => Ok(()),
        other => other.map(drop).map_err(Box::new),
    });
}

/// All instances that a filter finds.
pub fn instances(ec2: &Ec2, filter: &str, value: &str) -> Vec<Description> {
    let call = sdk(ec2).describe_instances().filters(Filter::builder().name(filter).values(value).build());
    let answer = insist(|| block_on(call.clone().send()).map_err(Box::new));
    answer.reservations.unwrap_or_default().into_iter().flat_map(|r| r.instances.unwrap_or_default()).collect()
}

/// For how long an instance that exists may not be seen, at the local EC2's pace and on its worst day.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

/// The state of an instance, as EC2 has it; one that EC2 has forgotten is terminated.
pub fn state(ec2: &Ec2, id: &str) -> String {
    let since = Instant::now();
    loop {
        if let Some(found) = instances(ec2, "instance-id", id).first() {
            return found.state().unwrap().name().unwrap().to_string();
        }
        if since.elapsed() > SEEN_WITHIN {
            return "terminated".to_owned();
        }
        sleep(Duration::from_millis(20));
    }
}

/// Whether an instance has ended, or is just ending.
pub fn has_ended(ec2: &Ec2, id: &str) -> bool {
    ["shutting-down", "terminated"].contains(&state(ec2, id).as_str())
}

/// Whether processes live whose environment names a path, as that of their state does.
pub fn has_processes(path: &Path) -> bool {
    let path = path.to_string_lossy();
    std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|process| {
        // That of a process that has ended is empty.
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&*path)
    })
}

/// Waits until something holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// A machine's console once it shows something: EC2 may lag, and shows nothing at first.
pub async fn console_with(vm: &Instance, text: &str) -> Result<String> {
    let since = Instant::now();
    loop {
        let console = vm.console_log().await?;
        if console.contains(text) {
            return Ok(console);
        }
        assert!(since.elapsed() < PATIENCE, "never: the console shows {text:?}: {console}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A value that no other test has.
pub fn unique(prefix: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{prefix}-{}-{nanos}", std::process::id())
}

/// The id of an image, by its name: an endpoint that isn't known to be local has no aliases for them.
pub async fn image(ec2: &Ec2, name: &str) -> String {
    let named = Filter::builder().name("name").values(name).build();
    let answer = sdk(ec2).describe_images().filters(named).send().await.unwrap_or_else(|e| {
        // The SDK's own text says only `service error`.
        panic!("{}", aws_sdk_ec2::error::DisplayErrorContext(e))
    });
    answer.images()[0].image_id().unwrap().to_owned()
}

/// The ids of what bears a tag, of whatever kind; what has ended bears it for a while.
pub fn tagged(ec2: &Ec2, key: &str, value: &str) -> Vec<String> {
    let by = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let call = sdk(ec2).describe_tags().filters(by("key", key)).filters(by("value", value));
    let answer = insist(|| block_on(call.clone().send()).map_err(Box::new));
    answer.tags().iter().filter_map(|tag| tag.resource_id.clone()).collect()
}

/// Whether a machine has volumes in EC2 alone, as a local one has that isn't root's: then its test ends here, and says so, or
/// fails where nothing may be skipped.
pub async fn skips_without_devices(vm: &Instance) -> Result<bool> {
    has_no_device(vm.volume(0).device().await)
}

/// [`skips_without_devices`], for what was found of the device of a volume.
pub fn has_no_device(found: Result<String>) -> Result<bool> {
    match found {
        Err(error) if error.kind() == ErrorKind::Unanswerable && std::env::var_os("EC2_HARNESS_NO_SKIP").is_none() => {
            println!("skipped: {error}");
            Ok(true)
        }
        found => found.map(|_| false),
    }
}

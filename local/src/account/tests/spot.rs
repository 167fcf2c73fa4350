//! Spot Instances: their requests over time, interruptions, and what is shown of both.

use super::*;
use crate::wire::Value;

fn one(member: &'static str, value: impl Into<Value>) -> Structure {
    Structure::new().with(member, value)
}

fn spot(options: Structure) -> Structure {
    one("MarketType", "spot").with("SpotOptions", options)
}

fn persistent() -> Structure {
    one("SpotInstanceType", "persistent").with("InstanceInterruptionBehavior", "stop")
}

impl World {
    fn run_spot(&mut self, options: Structure) -> String {
        let launch = self.launch().with("InstanceMarketOptions", spot(options));
        let id = instance_id(&self.ok("RunInstances", launch));
        self.settle();
        id
    }

    fn specification(&mut self) -> Structure {
        let launch = self.launch();
        let part = |name| launch.string(name).unwrap().to_owned();
        one("ImageId", part("ImageId")).with("InstanceType", part("InstanceType"))
    }

    fn request(&mut self, more: Structure) -> String {
        let specification = self.specification();
        let answer = self.ok("RequestSpotInstances", more.with("LaunchSpecification", specification));
        let request = answer.structures("SpotInstanceRequests").next().unwrap();
        request.string("SpotInstanceRequestId").unwrap().to_owned()
    }

    fn described(&mut self, request: &str) -> Structure {
        let answer = self.ok("DescribeSpotInstanceRequests", one("SpotInstanceRequestIds", vec![request]));
        answer.structures("SpotInstanceRequests").next().unwrap().clone()
    }

    /// The request of an instance.
    fn request_of(&mut self, instance: &str) -> String {
        self.instance(instance).string("SpotInstanceRequestId").unwrap().to_owned()
    }

    /// State and status code of a request.
    fn told(&mut self, request: &str) -> (String, String) {
        let described = self.described(request);
        let code = described.structure("Status").unwrap().string("Code").unwrap();
        (described.string("State").unwrap().to_owned(), code.to_owned())
    }

    #[track_caller]
    fn is(&mut self, request: &str, state: &str, code: &str) {
        assert_eq!(self.told(request), (state.to_owned(), code.to_owned()));
    }

    fn interrupt(&mut self, instance: &str) {
        self.account.interrupt(self.now, instance, None).unwrap();
    }

    /// What the machine of an instance reads below `meta-data`.
    fn reads(&mut self, instance: &str, path: &str) -> Option<String> {
        let nic = self.instance(instance);
        let nic = nic.structures("NetworkInterfaces").next()?.string("NetworkInterfaceId")?.to_owned();
        let tree = self.account.metadata(&nic)?.tree;
        tree.into_iter().find(|(known, _)| *known == format!("meta-data/{path}")).map(|(_, content)| content)
    }

    fn cancel(&mut self, request: &str) -> String {
        let answer = self.ok("CancelSpotInstanceRequests", one("SpotInstanceRequestIds", vec![request]));
        let cancelled = answer.structures("CancelledSpotInstanceRequests").next().unwrap();
        cancelled.string("State").unwrap().to_owned()
    }
}

#[test]
fn a_launch_of_spot_instances_has_a_request_for_each_that_is_fulfilled() {
    let mut world = World::new();
    let tags = one("ResourceType", "spot-instances-request").with("Tags", vec![one("Key", "k").with("Value", "v")]);
    let launch = world.launch().with("InstanceMarketOptions", spot(Structure::new())).with("MaxCount", 2_i64);
    let answer = world.ok("RunInstances", launch.with("TagSpecifications", vec![tags]));
    let requests: Vec<_> =
        answer.structures("Instances").map(|it| it.string("SpotInstanceRequestId").unwrap().to_owned()).collect();
    assert_ne!(requests[0], requests[1]);
    assert!(answer.structures("Instances").all(|it| it.string("InstanceLifecycle") == Some("spot")));
    world.settle();
    for request in &requests {
        world.is(request, "active", "fulfilled");
    }
    let shown = world.described(&requests[0]);
    assert_eq!(shown.string("Type"), Some("one-time"));
    assert_eq!(shown.get("ValidUntil"), None);
    assert!(shown.string("LaunchedAvailabilityZone").is_some());
    assert_eq!(shown.structures("Tags").next().unwrap().string("Value"), Some("v"));
    let specification = shown.structure("LaunchSpecification").unwrap();
    assert_eq!(specification.structures("SecurityGroups").next().unwrap().string("GroupName"), Some("default"));
    let instance = shown.string("InstanceId").unwrap();
    assert_eq!(world.reads(instance, "instance-life-cycle").as_deref(), Some("spot"));
    let found = world.ok("DescribeInstances", filters(&[("instance-lifecycle", &["spot"])]));
    assert_eq!(found.structures("Reservations").next().unwrap().structures("Instances").count(), 2);
    let found = filters(&[("status-code", &["fulfilled"]), ("instance-id", &[instance])]);
    assert_eq!(world.ok("DescribeSpotInstanceRequests", found).structures("SpotInstanceRequests").count(), 1);
    let data = world.ok("GetLaunchTemplateData", one("InstanceId", instance));
    let options = data.structure("LaunchTemplateData").unwrap().structure("InstanceMarketOptions").unwrap();
    assert_eq!(options.structure("SpotOptions").unwrap().string("SpotInstanceType"), Some("one-time"));
    let on_demand = world.running();
    assert_eq!(world.instance(&on_demand).get("InstanceLifecycle"), None);
    assert_eq!(world.reads(&on_demand, "instance-life-cycle").as_deref(), Some("on-demand"));
}

#[test]
fn a_request_is_evaluated_fulfilled_cancelled_and_forgotten() {
    let mut world = World::with(|settings| settings.pace = 1.0);
    let id = world.request(Structure::new());
    // At once: so long is waited after each request.
    world.is(&id, "active", "fulfilled");
    let shown = world.described(&id);
    assert_eq!(shown.string("InstanceInterruptionBehavior"), Some("terminate"));
    assert!(shown.get("ValidUntil").is_some(), "a week");
    let instance = shown.string("InstanceId").unwrap().to_owned();
    world.obey();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.state(&instance), "running");
    assert_eq!(world.cancel(&id), "cancelled");
    world.is(&id, "cancelled", "request-canceled-and-instance-running");
    assert_eq!(world.state(&instance), "running");
    world.ok("TerminateInstances", ids(&[&instance]));
    world.is(&id, "cancelled", "instance-terminated-by-user");
    world.obey();
    world.pass(Duration::from_secs(120));
    world.is(&id, "cancelled", "instance-terminated-by-user");
    world.pass(Duration::from_secs(4 * 3600));
    let error = world.err("DescribeSpotInstanceRequests", one("SpotInstanceRequestIds", vec![id.as_str()]));
    assert!(error.starts_with("InvalidSpotInstanceRequestID.NotFound: "), "{error}");
}

/// Terraform sends it where no price is configured.
#[test]
fn an_empty_price_is_none() {
    let mut world = World::new();
    let id = world.request(one("SpotPrice", ""));
    world.pass(Duration::from_secs(30));
    world.is(&id, "active", "fulfilled");
}

#[test]
fn a_request_waits_for_its_time_and_has_but_so_much() {
    let mut world = World::new();
    let (from, until) = (world.now + Duration::from_secs(100), world.now + Duration::from_secs(200));
    let id = world.request(one("ValidFrom", from).with("ValidUntil", until));
    world.pass(Duration::from_secs(1));
    world.is(&id, "open", "not-scheduled-yet");
    world.pass(Duration::from_secs(100));
    world.is(&id, "active", "fulfilled");

    let cheap = world.request(one("SpotPrice", "0.001").with("ValidUntil", world.now + Duration::from_secs(50)));
    world.pass(Duration::from_secs(1));
    world.is(&cheap, "open", "price-too-low");
    let message = world.described(&cheap).structure("Status").unwrap().string("Message").unwrap().to_owned();
    assert!(message.starts_with("Your Spot request price of 0.001 is lower than the minimum required"), "{message}");
    world.pass(Duration::from_secs(50));
    world.is(&cheap, "cancelled", "schedule-expired");
    let open = world.request(one("SpotPrice", "0.001"));
    assert_eq!(world.cancel(&open), "cancelled");
    world.is(&open, "cancelled", "canceled-before-fulfillment");
    assert_eq!(world.account.live_instances(), 1);
}

#[test]
fn a_request_is_held_until_there_is_capacity() {
    let mut world = World::with(|settings| settings.capacity.push("*/*=1".parse().unwrap()));
    let taken: Vec<String> = (0..3)
        .map(|zone| {
            let placement = one("AvailabilityZone", format!("us-east-1{}", ["a", "b", "c"][zone]));
            let launch = world.launch().with("Placement", placement);
            instance_id(&world.ok("RunInstances", launch))
        })
        .collect();
    world.settle();
    let id = world.request(Structure::new());
    world.pass(Duration::from_secs(5));
    world.is(&id, "open", "capacity-not-available");
    world.ok("TerminateInstances", ids(&[&taken[0]]));
    world.settle();
    world.pass(Duration::from_secs(5));
    world.is(&id, "active", "fulfilled");
}

#[test]
fn an_interrupted_instance_is_told_first_and_ends() {
    let mut world = World::new();
    let id = world.run_spot(Structure::new());
    let request = world.request_of(&id);
    for path in ["spot/instance-action", "spot/termination-time", "events/recommendations/rebalance"] {
        assert_eq!(world.reads(&id, path), None, "{path}");
    }
    let told = world.now;
    world.interrupt(&id);
    world.is(&request, "closed", "marked-for-termination");
    assert_eq!(world.state(&id), "running");
    let action: serde_json::Value = serde_json::from_str(&world.reads(&id, "spot/instance-action").unwrap()).unwrap();
    let at = filter::timestamp(filter::whole_second(told + Duration::from_millis(1200))).replace(".000Z", "Z");
    assert_eq!(action, serde_json::json!({ "action": "terminate", "time": at }));
    assert_eq!(world.reads(&id, "spot/termination-time"), Some(at));
    let notice = world.reads(&id, "events/recommendations/rebalance").unwrap();
    assert_eq!(
        notice,
        format!("{{\"noticeTime\":\"{}\"}}", filter::timestamp(filter::whole_second(told)).replace(".000Z", "Z"))
    );
    let again = world.account.interrupt(world.now, &id, None).unwrap_err();
    assert_eq!(again.code, Code::IncorrectInstanceState);

    world.pass(Duration::from_millis(1200));
    assert_eq!(world.state(&id), "shutting-down");
    assert_eq!(world.effects, [Effect::PowerOff { instance: id.clone() }]);
    world.settle();
    let instance = world.instance(&id);
    assert_eq!(instance.structure("StateReason").unwrap().string("Code"), Some("Server.SpotInstanceTermination"));
    assert!(instance.string("StateTransitionReason").unwrap().starts_with("Service initiated (2026-11-22 12:00:"));
    world.is(&request, "closed", "instance-terminated-no-capacity");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.account.live_instances(), 0, "a one-time request is fulfilled once");
}

#[test]
fn a_persistent_request_is_fulfilled_again_by_the_instance_that_was_stopped() {
    let mut world = World::new();
    let id = world.run_spot(persistent());
    let request = world.request_of(&id);
    world.interrupt(&id);
    world.is(&request, "active", "marked-for-stop");
    assert_eq!(world.reads(&id, "spot/termination-time"), None, "it isn't terminated");
    assert!(world.reads(&id, "spot/instance-action").unwrap().contains("\"action\":\"stop\""));
    world.pass(Duration::from_millis(1200));
    assert_eq!(world.state(&id), "stopping");
    world.is(&request, "disabled", "instance-stopped-no-capacity");
    world.obey();
    world.pass(Duration::from_millis(300));
    assert_eq!(world.state(&id), "stopped");
    let instance = world.instance(&id);
    assert_eq!(instance.structure("StateReason").unwrap().string("Code"), Some("Server.SpotInstanceShutdown"));
    let refused = world.err("StartInstances", ids(&[&id]));
    assert!(refused.starts_with("IncorrectSpotRequestState: You can't start the Spot Instance"), "{refused}");
    world.pass(Duration::from_secs(2));
    world.settle();
    assert_eq!(world.state(&id), "running", "EC2 starts it again");
    world.is(&request, "active", "fulfilled");
    assert_eq!(world.reads(&id, "spot/instance-action"), None);
}

#[test]
fn a_persistent_request_is_fulfilled_again_by_another_instance() {
    let mut world = World::new();
    let request = world.request(one("Type", "persistent"));
    world.settle();
    let first = world.described(&request).string("InstanceId").unwrap().to_owned();
    world.interrupt(&first);
    world.pass(Duration::from_millis(1200));
    world.is(&request, "open", "instance-terminated-no-capacity");
    world.obey();
    world.pass(Duration::from_secs(2));
    world.settle();
    world.is(&request, "active", "fulfilled");
    let second = world.described(&request).string("InstanceId").unwrap().to_owned();
    assert_ne!(first, second);
    assert_eq!((world.state(&first), world.state(&second)), ("terminated".to_owned(), "running".to_owned()));
    // Its owner must cancel the request first, too.
    world.ok("TerminateInstances", ids(&[&second]));
    world.is(&request, "open", "instance-terminated-by-user");
    world.cancel(&request);
    world.settle();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.account.live_instances(), 0);
}

#[test]
fn who_stops_a_spot_instance() {
    let mut world = World::new();
    let one_time = world.run_spot(Structure::new());
    let error = world.err("StopInstances", ids(&[&one_time]));
    let expected = format!(
        "UnsupportedOperation: You can't stop the Spot Instance '{one_time}' because it is associated with a one-time Spot \
         Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests."
    );
    assert_eq!(error, expected);
    // It powers itself off, which is its end.
    world.event(&one_time, Event::PoweredOff);
    world.settle();
    assert_eq!(world.state(&one_time), "terminated");
    let id = world.run_spot(persistent());
    let request = world.request_of(&id);
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    world.is(&request, "disabled", "instance-stopped-by-user");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.state(&id), "stopped", "EC2 leaves it so");
    world.ok("StartInstances", ids(&[&id]));
    world.settle();
    world.is(&request, "active", "fulfilled");
    world.interrupt(&id);
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    assert_eq!(
        world.instance(&id).structure("StateReason").unwrap().string("Code"),
        Some("Client.UserInitiatedShutdown")
    );
}

#[test]
fn what_spot_instances_can_not_be() {
    let mut world = World::new();
    let now = world.now;
    let cases = [
        (one("MaxPrice", "0.0001"), "InvalidParameterValue: "),
        (one("MaxPrice", "dear"), "InvalidParameterValue: "),
        (one("MaxPrice", "0.001"), "SpotMaxPriceTooLow: Your Spot request price of 0.001 is lower than"),
        (one("SpotInstanceType", "persistent"), "InvalidParameterCombination: Persistent Spot Instance requests"),
        (one("InstanceInterruptionBehavior", "stop"), "InvalidParameterCombination: "),
        (one("InstanceInterruptionBehavior", "hibernate"), "UnsupportedOperation: The instance interruption behavior"),
        (one("ValidUntil", now + Duration::from_secs(999)), "InvalidParameterCombination: "),
        (persistent().with("ValidUntil", now), "InvalidTime: "),
        (
            one("BlockDurationMinutes", 60_i64),
            "UnsupportedOperation: The parameter InstanceMarketOptions.SpotOptions.Block",
        ),
    ];
    for (options, expected) in cases {
        let launch = world.launch().with("InstanceMarketOptions", spot(options));
        let error = world.err("RunInstances", launch);
        assert!(error.starts_with(expected), "{error}");
    }
    let launch = world.launch().with("InstanceMarketOptions", one("SpotOptions", one("MaxPrice", "1")));
    assert!(world.err("RunInstances", launch).starts_with("MissingParameter: "));
    let launch =
        world.launch().with("InstanceMarketOptions", spot(Structure::new())).with("DisableApiTermination", true);
    assert!(world.err("RunInstances", launch).starts_with("InvalidParameterCombination: "));
    let specification = world.specification().with("KernelId", "aki-12345678");
    let error = world.err("RequestSpotInstances", one("LaunchSpecification", specification));
    assert!(error.starts_with("UnsupportedOperation: The parameter LaunchSpecification.KernelId "), "{error}");
    let specification = world.specification().with("ImageId", "ami-0123456789abcdef0");
    let error = world.err("RequestSpotInstances", one("LaunchSpecification", specification));
    assert!(error.starts_with("InvalidAMIID.NotFound: "), "{error}");
    let id = world.running();
    let error = world.account.interrupt(world.now, &id, None).unwrap_err();
    assert_eq!(error.code, Code::UnsupportedOperation);
    assert_eq!(
        world.account.interrupt(world.now, "i-0123456789abcdef0", None).unwrap_err().code,
        Code::InvalidInstanceIdNotFound
    );
}

#[test]
fn spot_instances_have_a_quota_of_their_own() {
    let mut world = World::with(|settings| {
        settings.quotas.vcpus = Some(2);
        settings.quotas.spot_vcpus = Some(4);
    });
    world.running();
    for _ in 0..2 {
        world.run_spot(Structure::new());
    }
    let launch = world.launch().with("InstanceMarketOptions", spot(Structure::new()));
    assert_eq!(world.err("RunInstances", launch), "MaxSpotInstanceCountExceeded: Max spot instance count exceeded");
    let specification = world.specification();
    let error = world.err("RequestSpotInstances", one("LaunchSpecification", specification));
    assert!(error.starts_with("MaxSpotInstanceCountExceeded: "), "{error}");
    let launch = world.launch();
    assert!(world.err("RunInstances", launch).starts_with("VcpuLimitExceeded: "));
}

#[test]
fn the_same_token_makes_the_same_requests() {
    let mut world = World::new();
    let specification = world.specification();
    let request = one("LaunchSpecification", specification).with("InstanceCount", 2_i64).with("ClientToken", "t");
    let ids = |answer: &Structure| {
        let requests = answer.structures("SpotInstanceRequests");
        requests.map(|it| it.string("SpotInstanceRequestId").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = world.ok("RequestSpotInstances", request.clone());
    let again = world.ok("RequestSpotInstances", request.clone());
    assert_eq!((ids(&first), ids(&first).len()), (ids(&again), 2));
    let other = world.call("RequestSpotInstances", request.with("InstanceCount", 3_i64)).unwrap_err();
    assert_eq!(other.code, Code::IdempotentParameterMismatch);
}

#[test]
fn prices_stay_and_are_told_once_a_month() {
    let mut world = World::new();
    let input =
        one("InstanceTypes", vec!["t3.micro", "m5.large"]).with("ProductDescriptions", vec!["Linux/UNIX (Amazon VPC)"]);
    let now = world.now;
    let recent = input.clone().with("StartTime", now - Duration::from_secs(3600));
    let answer = world.ok("DescribeSpotPriceHistory", recent.clone());
    assert_eq!(answer.structures("SpotPriceHistory").count(), 2 * 3, "the last before the time, in each zone");
    assert_eq!(answer.string("NextToken"), Some(""));
    world.pass(Duration::from_secs(3600));
    assert_eq!(world.ok("DescribeSpotPriceHistory", recent), answer);
    let all = world.ok("DescribeSpotPriceHistory", input.clone());
    assert_eq!(all.structures("SpotPriceHistory").count(), 4 * 2 * 3);
    let price = |answer: &Structure| {
        answer.structures("SpotPriceHistory").next().unwrap().string("SpotPrice").unwrap().to_owned()
    };
    assert_eq!(price(&all), price(&answer));
    let page = input.with("MaxResults", 5_i64);
    let first = world.ok("DescribeSpotPriceHistory", page.clone());
    let second = world.ok("DescribeSpotPriceHistory", page.with("NextToken", first.string("NextToken").unwrap()));
    assert_ne!(first.list("SpotPriceHistory"), second.list("SpotPriceHistory"));
    // A launch is to be had at that price, and not for less.
    let zone = one("AvailabilityZone", "us-east-1a");
    let launch = world.launch().with("Placement", zone);
    let asked = one("InstanceTypes", vec![launch.string("InstanceType").unwrap()])
        .with("AvailabilityZone", "us-east-1a")
        .with("ProductDescriptions", vec!["Linux/UNIX"]);
    let answer = world.ok("DescribeSpotPriceHistory", asked);
    let launch = launch.with("InstanceMarketOptions", spot(one("MaxPrice", price(&answer))));
    world.ok("RunInstances", launch);
}

#[test]
fn an_interruption_under_way_outlives_the_endpoint() {
    let mut world = World::new();
    let id = world.run_spot(Structure::new());
    let open = world.request(one("SpotPrice", "0.001"));
    let waiting = world.request(Structure::new());
    world.account.interrupt(world.now, &id, Some(Duration::from_secs(60))).unwrap();
    let record = world.account.snapshot().unwrap();
    let record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    world.account = Account::restored(world.account.settings.clone(), None, [record]).unwrap();
    world.account.take_over(world.now);
    world.effects.extend(world.account.take_effects());
    world.settle();
    world.is(&open, "open", "price-too-low");
    world.is(&waiting, "active", "fulfilled");
    assert!(world.reads(&id, "spot/instance-action").is_some());
    world.pass(Duration::from_secs(60));
    world.settle();
    assert_eq!(world.state(&id), "terminated");
    assert_eq!(
        world.instance(&id).structure("StateReason").unwrap().string("Code"),
        Some("Server.SpotInstanceTermination")
    );
}

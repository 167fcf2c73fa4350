//! The client that tests ask by, which asks again: for what goes away by itself, and never where that could make a second one.

use crate::{conditions::Served, endpoint::may_pass};
use std::panic::{AssertUnwindSafe, catch_unwind};

const LAUNCH: &str = "Action=RunInstances&InstanceType=t3.micro&MinCount=1&MaxCount=1&ClientToken=t";

#[test]
fn whatever_is_unknown_may_become_known() {
    let served = Served::start();
    for (request, code) in [
        ("DescribeNatGateways&NatGatewayId.1=nat-0123456789abcdef0", "NatGatewayNotFound"),
        ("DescribeVpcs&VpcId.1=vpc-0123456789abcdef0", "InvalidVpcID.NotFound"),
        (
            "DescribeReplaceRootVolumeTasks&ReplaceRootVolumeTaskId.1=replacevol-0123456789abcdef0",
            "InvalidParameterValue",
        ),
    ] {
        let answer = served.call(&format!("Action={request}"));
        assert_eq!(answer.element("Code"), code);
        assert!(may_pass(&answer), "{answer:?}");
    }
    for wrong in ["DescribeVpcs&VpcId.1=vpc-nonsense", "CreateVpc&CidrBlock=10.0.0.0/8", "Fly"] {
        let answer = served.call(&format!("Action={wrong}"));
        assert!(answer.status >= 400 && !may_pass(&answer), "{answer:?}");
    }
}

#[test]
fn what_nobody_answered_is_asked_for_again_only_where_that_does_no_harm() {
    let served = Served::start();
    let launch = format!("{LAUNCH}&ImageId={}", served.blank());
    served.control(&["fault", "RunInstances", "lost"]);
    served.control(&["fault", "RunInstances", "throttle", "next", "2"]);
    let made = served.0.call(&launch).one("instanceId");
    assert_eq!(served.0.call(&launch).one("instanceId"), made);

    served.control(&["fault", "AllocateAddress", "lost"]);
    let asked = catch_unwind(AssertUnwindSafe(|| served.0.call("Action=AllocateAddress")));
    let said = asked.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("nobody knows whether it was done: ask with a client token"), "{said}");
    served.control(&["fault", "--clear"]);
    served.0.until("Action=DescribeAddresses", "<allocationId>");

    served.control(&["fault", "CreateKeyPair", "lost"]);
    assert!(served.0.insist("Action=CreateKeyPair&KeyName=k", "InvalidKeyPair.Duplicate").is_none());
}

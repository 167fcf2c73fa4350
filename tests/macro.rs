//! `#[ec2_test]` with several machines, and with the attributes and outcomes of others.

use ec2_harness::prelude::*;
use serial_test::{file_serial, serial};
use std::{collections::BTreeSet, error::Error as StdError};

#[ec2_test(user_data = "#!/bin/sh\nhostname >/etc/role", vm(web, user_data = "#!/bin/sh\necho web >/etc/role"))]
async fn machines_reach_each_other(web: Instance, nodes: [Instance; 2], ec2: Ec2, context: TestContext) -> Result {
    let [one, other] = &nodes;
    let ids: BTreeSet<_> = [&web, one, other].map(|vm| vm.id().to_owned()).into();
    assert_eq!(ids.len(), 3);
    assert_eq!(ec2.region(), context.ec2().region());
    web.assert((file("/etc/role").contains("web"), reach(one, tcp(22)), reach(other, tcp(22)))).await?;
    one.assert((file("/etc/role").does_not_contain("web"), reach(other, tcp(22)))).await?;
    // What doesn't listen is refused, and what has ended is not reached.
    let error = one.assert(reach(other, tcp(81))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Assertion, "{error}");
    let address = other.private_ip().unwrap().to_string();
    other.terminate().await?;
    other.wait_terminated().await?;
    one.assert(reach(address, tcp(22)).is_unreachable()).await
}

#[ec2_test]
#[serial]
fn alone_in_this_process(vm: Instance) -> Result<(), Box<dyn StdError>> {
    vm.exec("true").wait()?;
    "7".parse::<u8>()?;
    Ok(())
}

#[ec2_test]
#[file_serial]
async fn alone_on_this_host(vm: Instance) -> Result<(), Error> {
    vm.exec("true").await?;
    Ok(())
}

#[rstest]
#[case(22, true)]
#[case(81, false)]
#[test_attr(ec2_test(instance_type = "t3.small"))]
async fn cases_with_machines(#[case] number: u16, #[case] open: bool, #[ignore] nodes: [Instance; 2]) -> Result {
    assert!(nodes.iter().all(|vm| vm.instance_type().as_deref() == Some("t3.small")));
    let held = nodes[0].assert(reach(&nodes[1], tcp(number))).await;
    assert_eq!(held.is_ok(), open);
    Ok(())
}

#[fixture]
fn greeting() -> &'static str {
    "hello"
}

#[rstest]
#[test_attr(ec2_test)]
async fn a_fixture_beside_a_machine(greeting: &str, #[ignore] vm: Instance) -> Result {
    assert_eq!(vm.exec(format!("echo {greeting}")).await?.stdout.trim(), greeting);
    Ok(())
}

#[cfg(feature = "rstest")]
mod fixtures {
    use ec2_harness::{
        fixtures::{ec2, instance, instances, vpc},
        prelude::*,
    };

    #[rstest]
    fn plain_rstest(ec2: Ec2, instance: Instance) {
        assert_eq!(ec2.region(), instance.ec2().region());
        instance.exec("true").wait().unwrap();
    }

    #[rstest]
    fn a_machine_with_more(
        #[from(instance)]
        #[with("", vec![gp3(2)], 1)]
        vm: Instance,
    ) {
        assert_eq!(vm.network_interfaces().len(), 1);
        assert_eq!(vm.describe().wait().unwrap().block_device_mappings().len(), 2);
    }

    #[rstest]
    fn several_and_a_vpc(#[with(3)] instances: Vec<Instance>, ec2: Ec2, vpc: Vpc) {
        assert_eq!(instances.len(), 3);
        let inside = ec2.launch_default().vpc(&vpc).wait().unwrap();
        assert_eq!(inside.last_described().unwrap().vpc_id(), Some(vpc.id()));
    }

    #[rstest]
    #[tokio::test]
    async fn plain_rstest_on_tokio(instance: Instance) -> Result {
        instance.exec("true").await.map(drop)
    }
}

#[ec2_test(requires = [local, sudo, cloud_init], timeout = "10m")]
fn what_is_required_is_there(vm: Instance, context: TestContext) -> Result {
    assert!(context.elapsed() + context.remaining() <= 10.mins());
    vm.exec("true").sudo().wait().map(drop)
}

#[ec2_test]
async fn a_helper_takes_a_machine(vm: Instance) -> Result {
    async fn prepare(vm: &Machine) -> Result<u32> {
        Ok(vm.exec("echo 42").await?.stdout.trim().parse()?)
    }
    assert_eq!(prepare(&vm).await?, 42);
    Ok(())
}

//! Whether anything leads from outside to a machine's subnet at all.

use crate::{config::Reach, ec2::Machine};
use aws_sdk_ec2::types::{Filter, Route, RouteState, RouteTable};
use std::time::Duration;

/// How long the question may take: it only explains another error.
const WITHIN: Duration = Duration::from_secs(10);

/// What to do where the subnet's routes lead to no internet gateway; `None` where one does, or nobody knows.
pub(super) async fn unrouted(machine: &Machine) -> Option<String> {
    if machine.ec2().config().reach != Reach::Public {
        return None;
    }
    let described = machine.last_described()?;
    let (subnet, vpc) = (described.subnet_id()?, described.vpc_id()?);
    let by = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let own = tables(machine, vec![by("association.subnet-id", subnet)]).await?;
    // A subnet without a table of its own has the main one.
    let main = vec![by("vpc-id", vpc), by("association.main", "true")];
    let table = match own.into_iter().next() {
        Some(table) => table,
        None => tables(machine, main).await?.into_iter().next()?,
    };
    (!table.routes().iter().any(leads_outside)).then(|| {
        format!(
            "no route in {} of its subnet {subnet} leads to an internet gateway: add one, or set `reach` to `private` or to a command",
            table.route_table_id().unwrap_or("the route table")
        )
    })
}

async fn tables(machine: &Machine, filters: Vec<Filter>) -> Option<Vec<RouteTable>> {
    let call = machine.client().describe_route_tables().set_filters(Some(filters)).send();
    tokio::time::timeout(WITHIN, call).await.ok()?.ok()?.route_tables
}

fn leads_outside(route: &Route) -> bool {
    route.gateway_id().is_some_and(|gateway| gateway.starts_with("igw-"))
        && route.state() != Some(&RouteState::Blackhole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ec2::{Ec2, NewVpc},
        task::{OnDrop, Task},
    };

    #[test]
    fn a_vpc_without_a_gateway_is_told() {
        let ec2 = Ec2::connect().wait().unwrap();
        for (new, is_told) in [(NewVpc::new("10.20.0.0/28").without_gateway(), true), ("10.20.0.0/28".into(), false)] {
            let vpc = ec2.create_vpc(new).wait().unwrap();
            let vm = ec2.launch("blank").vpc(&vpc).without_waiting().wait().unwrap();
            vm.describe().wait().unwrap();
            let machine = vm.machine();
            let told = Task::start("ask", OnDrop::Cancel, async move { Ok(unrouted(&machine).await) }).wait().unwrap();
            assert_eq!(told.is_some(), is_told, "{told:?}");
        }
    }

    #[test]
    fn only_an_internet_gateway_that_is_there_leads_outside() {
        let to = |gateway: &str| Route::builder().gateway_id(gateway);
        assert!(leads_outside(&to("igw-1").state(RouteState::Active).build()));
        assert!(!leads_outside(&to("igw-1").state(RouteState::Blackhole).build()));
        assert!(!leads_outside(&to("local").build()));
        assert!(!leads_outside(&Route::builder().nat_gateway_id("nat-1").build()));
    }
}

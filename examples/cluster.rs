//! Three machines in a VPC of their own, each of which serves and fetches from the others by their private addresses.
//!
//! `cargo run --example cluster`

use ec2_harness::prelude::*;
use futures_util::future::try_join_all;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let ec2 = Ec2::connect().await?;
    let vpc = ec2.create_vpc("10.20.0.0/16").await?;
    println!("{} has {} subnets", vpc.id(), vpc.subnets().await?.len());
    let launches = ["one", "two", "three"].map(|name| ec2.launch_default().name(name).vpc(&vpc));
    let machines = try_join_all(launches.map(IntoFuture::into_future)).await?;

    // Each runs until its task is dropped, and then ends with all of its processes.
    let serve = "mkdir -p www && hostname >www/index && cd www && exec python3 -m http.server 8000";
    let _serving: Vec<_> = machines.iter().map(|machine| machine.exec(serve).start()).collect();
    for machine in &machines {
        let others = machines.iter().filter(|other| other.id() != machine.id());
        let reached: Vec<Check> = others.map(|other| reach(other, tcp(8000)).into()).collect();
        machine.assert(reached).within(30.secs()).await?;
        println!("{} reaches the others", machine.name());
    }
    // Where nobody listens, nobody answers.
    machines[0].assert(reach(&machines[1], tcp(8001)).is_unreachable()).await?;
    // With the machines in it, and with what else was made for them.
    vpc.delete().await
}

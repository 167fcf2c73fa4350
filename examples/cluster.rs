//! Several machines, launched together: one serves, the others fetch from it by its private address.
//!
//! `cargo run --example cluster`

use ec2_harness::prelude::*;
use futures_util::future::try_join_all;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let ec2 = Ec2::connect().await?;
    let launches = ["server", "client-1", "client-2"].map(|name| ec2.launch_default().name(name));
    let machines = try_join_all(launches.map(IntoFuture::into_future)).await?;
    let (server, clients) = (&machines[0], &machines[1..]);

    // It runs until its task is dropped, and then ends with all of its processes.
    let _serving =
        server.exec("mkdir -p www && echo hello > www/index && cd www && exec python3 -m http.server 8000").start();
    for client in clients {
        client.assert(reach(server, tcp(8000))).within(20.secs()).await?;
        println!("{} reaches {}", client.name(), server.name());
    }
    Ok(())
}

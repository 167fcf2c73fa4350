//! Bytes from the host to a sandbox and back, by the way in and the switch, beside plain loopback.

use crate::{
    Result, Scope, bytes,
    local::Local,
    median,
    sshd::{self, Access},
};
use std::{
    env,
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// EC2's own within a VPC.
const MTU: &str = "9001";
/// The port in the machine.
const PORT: u16 = 5001;

/// A process of this host that serves bytes on the loopback, until this is dropped.
struct Loopback {
    process: Child,
    address: String,
}

impl Loopback {
    fn start() -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args(["serve-bytes", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut address)?;
        Ok(Self { process, address: address.trim_end().to_owned() })
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn run(scope: Scope) -> Result {
    let (rounds, count) = scope.pick((7, 1 << 30), (1, 1 << 24));
    let mut local = Local::start()?;
    let access = Access::prepare(&mut local)?;
    let image = local.image("host")?;
    let ids = local.launch(&image, "us-east-1a", 1, &access.of_launch())?;
    let machine = ids.first().ok_or("no machine")?;
    let session = access.log_in(&local, machine)?;
    let mtu = sshd::exec(&session, "cat /sys/class/net/eth0/mtu")?;
    if mtu.trim() != MTU {
        return Err(format!("the MTU is {mtu}").into());
    }
    sshd::upload(&session, &env::current_exe()?, "speed")?;
    let mut server = session.channel_session()?;
    server.exec(&format!("./speed serve-bytes 0.0.0.0:{PORT}"))?;
    // It listens once it has said where.
    BufReader::new(&mut server).read_line(&mut String::new())?;
    let loopback = Loopback::start()?;

    let by_switch = || local.connect(machine, PORT);
    let by_loopback = || TcpStream::connect(&loopback.address);
    // Taking turns, so that whatever else the host does meets both.
    let [mut to, mut from, mut plain, mut plain_back] = [const { Vec::new() }; 4];
    for round in 0..=rounds {
        let times = [
            bytes::send(by_switch()?, count)?,
            bytes::receive(by_switch()?, count)?,
            bytes::send(by_loopback()?, count)?,
            bytes::receive(by_loopback()?, count)?,
        ];
        // The first of each is for warming up.
        if round > 0 {
            for (rates, time) in [&mut to, &mut from, &mut plain, &mut plain_back].into_iter().zip(times) {
                rates.push(rate(count, time));
            }
        }
    }
    println!("MTU {MTU}, one connection, median of {rounds} times {} MB", count / 1_000_000);
    for (way, switch, loopback) in [("host to sandbox", to, plain), ("sandbox to host", from, plain_back)] {
        let (switch, loopback) = (median(switch), median(loopback));
        let ratio = loopback / switch;
        println!("{way}: switch {switch:.0} MB/s, loopback {loopback:.0} MB/s, ratio loopback/switch {ratio:.1}");
    }
    Ok(())
}

/// In MB/s.
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / 1e6 / time.as_secs_f64()
}

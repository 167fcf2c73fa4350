//! What an image of 1 MB of changes takes over a small base, and over a large one: the same, since it holds the changes alone.

use crate::{Result, Scope, client::element, local::Local, median};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(300);

pub fn run(scope: Scope) -> Result {
    let (small, big) = scope.pick((10, 1024), (1, 2));
    let rounds = scope.pick(9, 1);
    let mut local = Local::start_at_once()?;
    let host = local.image("host")?;
    let mut machines = Vec::new();
    for size in [small, big] {
        let base = write(&mut local, &host, &format!("head -c {size}M /dev/urandom >/opt/base"))?;
        let image = image_of(&mut local, &base, &format!("base-{size}"))?;
        machines.push(write(&mut local, &image, "head -c 1M /dev/urandom >/opt/change")?);
    }
    // By turns, so that what else the host does hits both.
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (machine, times) in machines.iter().zip(&mut times) {
            let since = Instant::now();
            image_of(&mut local, machine, &format!("{machine}-{round}"))?;
            times.push(since.elapsed());
        }
    }
    let [one, other] = times.map(median);
    let ratio = other.as_secs_f64() / one.as_secs_f64();
    println!("an image of 1 MB of changes over {small} MB takes {one:.1?}, over {big} MB {other:.1?}");
    println!("ratio big/small {ratio:.2}");
    Ok(())
}

/// A machine that has run a command.
fn write(local: &mut Local, image: &str, command: &str) -> Result<String> {
    let script = STANDARD.encode(format!("#!/bin/sh\nmkdir -p /opt; {command}; echo written-$((40 + 2))\n"));
    let script = script.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let machine = local.launch(image, "us-east-1a", 1, &format!("&UserData={script}"))?.remove(0);
    let console = format!("Action=GetConsoleOutput&Latest=true&InstanceId={machine}");
    until("a machine has written", || {
        let answer = local.api.call(&console)?;
        let output = element(&answer, "output").unwrap_or_default().split_whitespace().collect::<String>();
        Ok(String::from_utf8_lossy(&STANDARD.decode(output)?).contains("written-42"))
    })?;
    let state = format!("Action=DescribeInstances&InstanceId.1={machine}");
    until("a machine runs", || Ok(local.api.call(&state)?.contains("<name>running</name>")))?;
    Ok(machine)
}

fn image_of(local: &mut Local, machine: &str, name: &str) -> Result<String> {
    let create = format!("Action=CreateImage&NoReboot=true&InstanceId={machine}&Name={name}");
    let image = element(&local.api.call(&create)?, "imageId")?.to_owned();
    let described = format!("Action=DescribeImages&ImageId.1={image}");
    until("an image is available", || Ok(local.api.call(&described)?.contains("<imageState>available")))?;
    Ok(image)
}

fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(format!("never: {what}").into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

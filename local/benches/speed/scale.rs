//! What an instance without a machine costs among 500, and among 5,000: all of it should be the same.

use crate::{Result, Scope, client::elements, local::Local};
use std::time::{Duration, Instant};

/// The zones that they are spread over: a default subnet has room for 4,091.
const ZONES: [&str; 2] = ["us-east-1a", "us-east-1b"];
/// A page.
const PAGE: usize = 500;

/// The times of one instance.
struct Costs {
    launch_one: Duration,
    launch_many: Duration,
    list: Duration,
    terminate: Duration,
}

pub fn run(scope: Scope) -> Result {
    let (few, many) = scope.pick((500, 5000), (20, 40));
    let mut local = Local::start()?;
    // Terminated instances stay for an hour, so the few come first.
    let few_costs = measure(&mut local, few)?;
    let many_costs = measure(&mut local, many)?;
    for (what, of) in [
        ("launched one by one", (|costs| costs.launch_one) as fn(&Costs) -> Duration),
        ("launched together", |costs| costs.launch_many),
        ("described by pages", |costs| costs.list),
        ("terminated together", |costs| costs.terminate),
    ] {
        let (one, other) = (of(&few_costs), of(&many_costs));
        let ratio = other.as_secs_f64() / one.as_secs_f64();
        println!("{what}: {one:.1?} each of {few}, {other:.1?} each of {many}, ratio {many}/{few} {ratio:.2}");
    }
    Ok(())
}

fn measure(local: &mut Local, count: usize) -> Result<Costs> {
    let image = local.image("blank")?;
    let each = |since: Instant, count: usize| since.elapsed() / count as u32;
    // One half in each zone.
    let since = Instant::now();
    let mut ids = Vec::new();
    for _ in 0..count / 2 {
        ids.extend(local.launch(&image, ZONES[0], 1, "")?);
    }
    let launch_one = each(since, count / 2);
    let since = Instant::now();
    ids.extend(local.launch(&image, ZONES[1], count / 2, "")?);
    let launch_many = each(since, count / 2);
    local.until("running", count)?;
    let since = Instant::now();
    let listed = list(local)?;
    let list = each(since, listed);
    let since = Instant::now();
    for some in ids.chunks(1000) {
        let named: String = (1..).zip(some).map(|(n, id)| format!("&InstanceId.{n}={id}")).collect();
        local.api.call(&format!("Action=TerminateInstances{named}"))?;
    }
    let terminate = each(since, count);
    local.until("terminated", count)?;
    Ok(Costs { launch_one, launch_many, list, terminate })
}

/// Reads all pages; how many instances they show.
fn list(local: &mut Local) -> Result<usize> {
    let mut listed = 0;
    let mut next = String::new();
    loop {
        let page = local.api.call(&format!("Action=DescribeInstances&MaxResults={PAGE}{next}"))?;
        listed += elements(&page, "imageId").len();
        match elements(&page, "nextToken").first() {
            Some(token) => {
                next = format!("&NextToken={}", token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
            }
            None => return Ok(listed),
        }
    }
}

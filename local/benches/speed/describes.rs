//! DescribeInstances of an account of 1,000 instances, beside moto's server: by the same client, as many connections.

use crate::{
    Result, Scope,
    client::{Server, elements},
    local::Local,
    moto::Moto,
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How many instances there are, in each.
const INSTANCES: usize = 1000;
/// What is compared: so many describes.
const DESCRIBES: usize = 10_000;
/// How many clients ask at once.
const CLIENTS: usize = 2;
/// The tag of every hundredth instance.
const TAG: &str = "bench:sample";

/// A way to ask.
struct Question {
    name: &'static str,
    query: fn(&[String], usize) -> String,
    /// How many instances an answer shows.
    shown: usize,
    /// How often each is asked, at least; moto is asked less often, since it takes so long.
    ours: usize,
    moto: usize,
}

const QUESTIONS: [Question; 3] = [
    Question {
        name: "by id",
        query: |ids, number| format!("Action=DescribeInstances&InstanceId.1={}", ids[number % ids.len()]),
        shown: 1,
        ours: DESCRIBES,
        moto: 400,
    },
    Question {
        name: "by tag",
        query: |_, _| {
            format!("Action=DescribeInstances&Filter.1.Name=tag%3A{TAG}&Filter.1.Value.1=yes&MaxResults=1000")
        },
        shown: INSTANCES / 100,
        ours: DESCRIBES,
        moto: 100,
    },
    Question {
        name: "all of them",
        query: |_, _| "Action=DescribeInstances&MaxResults=1000".to_owned(),
        shown: INSTANCES,
        ours: 1000,
        moto: 10,
    },
];

pub fn run(scope: Scope) -> Result {
    let mut local = Local::start()?;
    let image = local.image("blank")?;
    let ids = local.launch(&image, "us-east-1a", INSTANCES, "")?;
    local.until("running", INSTANCES)?;
    let ours = Side { server: local.api_server(), ids };
    ours.tag()?;
    let moto = Moto::start()?;
    let theirs = Side::with_instances(moto.server.clone())?;
    theirs.tag()?;
    println!("{INSTANCES} instances each, {CLIENTS} connections, signed requests; times are of {DESCRIBES} describes");
    let mut least = f64::INFINITY;
    for question in QUESTIONS {
        let (of_ours, of_moto) = scope.pick((question.ours, question.moto), (20, 2));
        let ours = ours.ask(&question, of_ours)?;
        let moto = theirs.ask(&question, of_moto)?;
        let ratio = moto.all.as_secs_f64() / ours.all.as_secs_f64();
        println!("{}: ours {}; moto {}; ratio moto/ours {ratio:.1}", question.name, ours.text(), moto.text());
        least = least.min(ratio);
    }
    if scope == Scope::Full {
        // The least of the three.
        println!("ratio moto/ours {least:.1}");
    }
    Ok(())
}

/// How long describes took.
struct Took {
    asked: usize,
    each: Duration,
    all: Duration,
}

impl Took {
    /// What was measured, and what follows from it.
    fn text(&self) -> String {
        let source = match self.asked {
            DESCRIBES => String::new(),
            asked => format!(", reckoned from {asked}"),
        };
        format!("{:.1} s ({:.3} ms each{source})", self.all.as_secs_f64(), self.each.as_secs_f64() * 1e3)
    }
}

/// A server with its instances.
struct Side {
    server: Server,
    ids: Vec<String>,
}

impl Side {
    /// Launches instances at moto, which takes any image; they run at once.
    fn with_instances(server: Server) -> Result<Self> {
        let run = format!(
            "Action=RunInstances&ImageId=ami-12c6146b&InstanceType=t3.micro&MinCount={INSTANCES}&MaxCount={INSTANCES}"
        );
        let answer = server.connect().call(&run)?;
        let ids = elements(&answer, "instanceId").into_iter().map(str::to_owned).collect();
        Ok(Self { server, ids })
    }

    fn tag(&self) -> Result {
        let some = self.ids.iter().step_by(INSTANCES / (INSTANCES / 100));
        let ids: String = (1..).zip(some).map(|(n, id)| format!("&ResourceId.{n}={id}")).collect();
        self.server.connect().call(&format!("Action=CreateTags&Tag.1.Key={TAG}&Tag.1.Value=yes{ids}"))?;
        Ok(())
    }

    /// Asks so often, by all clients together.
    fn ask(&self, question: &Question, count: usize) -> Result<Took> {
        // For warming up, and to see that the answer is one.
        for number in 0..CLIENTS {
            let answer = self.server.connect().call(&(question.query)(&self.ids, number))?;
            let shown = elements(&answer, "privateDnsName").len().min(elements(&answer, "imageId").len());
            if shown != question.shown {
                return Err(format!("{}: {shown} instances instead of {}", question.name, question.shown).into());
            }
        }
        let next = AtomicUsize::new(0);
        let since = Instant::now();
        let ask = || -> Result<(), String> {
            let mut client = self.server.connect();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                client.call(&(question.query)(&self.ids, number)).map_err(|error| error.to_string())?;
            }
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked".to_owned())?)
        })?;
        let took = since.elapsed();
        let all = took.mul_f64(DESCRIBES as f64 / count as f64);
        Ok(Took { asked: count, each: took / count as u32, all })
    }
}

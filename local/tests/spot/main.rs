//! Spot Instances that run: what a machine reads of its interruption, and what becomes of it.

#[allow(dead_code, reason = "shared with the tests of the wire")]
#[path = "../wire/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "shared with the tests of networks")]
#[path = "../topology/serving.rs"]
mod serving;

use base64::{Engine, engine::general_purpose::STANDARD};
use serving::Serving;

/// Says on the console what the metadata service says: of the instance at once, and of its interruption once it is told.
const WATCH: &str = r#"#!/bin/bash
get() {
    exec 3<>/dev/tcp/169.254.169.254/80
    printf 'GET /latest/meta-data/%s HTTP/1.0\r\nHost: metadata\r\n\r\n' "$1" >&3
    cat <&3
    exec 3>&-
}
say() { echo "$@" >/dev/console; }
say "it lives as $(get instance-life-cycle | tail -n 1)"
for path in spot/instance-action spot/termination-time events/recommendations/rebalance; do
    say "before: $path $(get $path | head -n 1)"
done
(
    until get spot/instance-action | grep -q action; do sleep 0.2; done
    for path in spot/instance-action spot/termination-time events/recommendations/rebalance; do
        say "told: $path $(get $path | tail -n 1)"
    done
) &
"#;

impl Serving {
    /// Launches a Spot Instance on some terms; it and its request.
    fn spot(&self, terms: &str) -> (String, String) {
        let image = self.find("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=host", "imageId");
        let script = STANDARD.encode(WATCH).replace('=', "%3D").replace('+', "%2B").replace('/', "%2F");
        let launch = format!(
            "Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&UserData={script}\
             &InstanceMarketOptions.MarketType=spot{terms}"
        );
        let answer = self.call(&launch);
        (answer.element("instanceId").to_owned(), answer.element("spotInstanceRequestId").to_owned())
    }

    fn until(&self, request: &str, words: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
        loop {
            let answer = self.call(request);
            if answer.body.contains(words) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "no {words}: {answer:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn until_instance(&self, id: &str, words: &str) {
        self.until(&format!("Action=DescribeInstances&InstanceId.1={id}"), words);
    }

    fn until_request(&self, id: &str, words: &str) {
        self.until(&format!("Action=DescribeSpotInstanceRequests&SpotInstanceRequestId.1={id}"), words);
    }

    /// Runs the command; its last argument may be a number of seconds.
    fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ec2-local"));
        command.args(arguments).env("EC2_LOCAL_STATE_DIR", self.state()).output().unwrap()
    }

    fn commanded(&self, arguments: &[&str]) {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_machine_reads_of_its_interruption_which_comes_though_the_endpoint_is_killed() {
    let mut serving = Serving::start();
    let (instance, request) = serving.spot("");
    serving.until_console(&instance, "it lives as spot");
    serving.until_console(&instance, "before: events/recommendations/rebalance HTTP/1.0 404");
    // Longer than anything here takes: the clock is put forward in its time.
    serving.commanded(&["interrupt", &instance, "--notice", "3000"]);
    serving.until_console(&instance, "told: spot/instance-action {\"action\":\"terminate\",\"time\":\"");
    serving.until_console(&instance, "told: spot/termination-time 20");
    serving.until_console(&instance, "told: events/recommendations/rebalance {\"noticeTime\":\"");
    let again = serving.command(&["interrupt", &instance]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("is being interrupted already"), "{again:?}");
    serving.until_request(&request, "<code>marked-for-termination</code>");

    serving.succeed();
    serving.until_instance(&instance, "<name>running</name>");
    serving.until_request(&request, "<code>marked-for-termination</code>");
    serving.commanded(&["advance", "3000"]);
    serving.until_instance(&instance, "<name>terminated</name>");
    serving.until_instance(&instance, "<code>Server.SpotInstanceTermination</code>");
    serving.until_instance(&instance, "<reason>Service initiated (20");
    serving.until_request(&request, "<code>instance-terminated-no-capacity</code>");
}

#[test]
fn a_machine_that_was_stopped_comes_back() {
    let serving = Serving::start();
    let terms = ["SpotInstanceType=persistent", "InstanceInterruptionBehavior=stop"];
    let terms = terms.map(|term| format!("&InstanceMarketOptions.SpotOptions.{term}")).concat();
    let (instance, request) = serving.spot(&terms);
    serving.until_console(&instance, "it lives as spot");
    serving.until_instance(&instance, "<name>running</name>");
    serving.commanded(&["interrupt", &instance, "--notice", "0"]);
    serving.until_request(&request, "<code>instance-stopped-no-capacity</code>");
    serving.until_instance(&instance, "<name>running</name>");
    serving.until_request(&request, "<code>fulfilled</code>");
    serving.call(&format!("Action=CancelSpotInstanceRequests&SpotInstanceRequestId.1={request}"));
    serving.call(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
    serving.until_instance(&instance, "<name>terminated</name>");
}

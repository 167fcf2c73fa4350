//! Spot Instances that run: what a machine reads of its interruption, and what becomes of it.

#[path = "../endpoint/mod.rs"]
mod endpoint;

use endpoint::{Endpoint, user_data};

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

impl Endpoint {
    /// Launches a Spot Instance on some terms; it and its request.
    fn spot(&self, terms: &str) -> (String, String) {
        let image = self.image("host");
        let launch = format!(
            "Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1\
             &InstanceMarketOptions.MarketType=spot{terms}{}",
            user_data(WATCH)
        );
        let answer = self.call(&launch);
        (answer.one("instanceId"), answer.one("spotInstanceRequestId"))
    }

    fn until_instance(&self, id: &str, words: &str) {
        self.until(&format!("Action=DescribeInstances&InstanceId.1={id}"), words);
    }

    fn until_request(&self, id: &str, words: &str) {
        self.until(&format!("Action=DescribeSpotInstanceRequests&SpotInstanceRequestId.1={id}"), words);
    }

    /// Runs the command; its last argument may be a number of seconds.
    fn command(&self, arguments: &[&str]) -> std::process::Output {
        self.state.command().args(arguments).output().unwrap()
    }

    fn commanded(&self, arguments: &[&str]) {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_machine_reads_of_its_interruption_which_comes_though_the_endpoint_is_killed() {
    let mut endpoint = Endpoint::start(&[]);
    let (instance, request) = endpoint.spot("");
    endpoint.until_console(&instance, "it lives as spot");
    endpoint.until_console(&instance, "before: events/recommendations/rebalance HTTP/1.0 404");
    // Longer than anything here takes: the clock is put forward in its time.
    endpoint.commanded(&["interrupt", &instance, "--notice", "3000"]);
    endpoint.until_console(&instance, "told: spot/instance-action {\"action\":\"terminate\",\"time\":\"");
    endpoint.until_console(&instance, "told: spot/termination-time 20");
    endpoint.until_console(&instance, "told: events/recommendations/rebalance {\"noticeTime\":\"");
    let again = endpoint.command(&["interrupt", &instance]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("is being interrupted already"), "{again:?}");
    endpoint.until_request(&request, "<code>marked-for-termination</code>");

    endpoint.succeed();
    endpoint.until_instance(&instance, "<name>running</name>");
    endpoint.until_request(&request, "<code>marked-for-termination</code>");
    endpoint.commanded(&["advance", "3000"]);
    endpoint.until_instance(&instance, "<name>terminated</name>");
    endpoint.until_instance(&instance, "<code>Server.SpotInstanceTermination</code>");
    endpoint.until_instance(&instance, "<reason>Service initiated (20");
    endpoint.until_request(&request, "<code>instance-terminated-no-capacity</code>");
}

#[test]
fn a_machine_that_was_stopped_comes_back() {
    let endpoint = Endpoint::start(&[]);
    let terms = ["SpotInstanceType=persistent", "InstanceInterruptionBehavior=stop"];
    let terms = terms.map(|term| format!("&InstanceMarketOptions.SpotOptions.{term}")).concat();
    let (instance, request) = endpoint.spot(&terms);
    endpoint.until_console(&instance, "it lives as spot");
    endpoint.until_instance(&instance, "<name>running</name>");
    endpoint.commanded(&["interrupt", &instance, "--notice", "0"]);
    endpoint.until_request(&request, "<code>instance-stopped-no-capacity</code>");
    endpoint.until_instance(&instance, "<name>running</name>");
    endpoint.until_request(&request, "<code>fulfilled</code>");
    endpoint.call(&format!("Action=CancelSpotInstanceRequests&SpotInstanceRequestId.1={request}"));
    endpoint.call(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
    endpoint.until_instance(&instance, "<name>terminated</name>");
}

//! Images of images.

use crate::client::start;

/// Each has what the machines before it have written, the endpoint of some of which was killed.
fn come_through(conditions: &'static str) {
    let mut endpoint = start(conditions);
    let mut image = endpoint.available("host");
    let mut instances = Vec::new();
    for (number, name) in ["one", "two", "three"].into_iter().enumerate() {
        let script = format!("echo {name} >/opt/{name}; echo {name}: $(ls /opt) $((40 + {number}))");
        let instance = endpoint.boot(&image, name, &script, "");
        endpoint.until_console(&instance, &format!("{name}: "));
        endpoint.until_state(&instance, "running");
        image = endpoint.make_image(&instance, &format!("golden-{name}"));
        if name == "two" {
            endpoint.succeed();
        }
        instances.push(instance);
    }
    let last = endpoint.boot(&image, "last", "echo last: $(cat /opt/one /opt/two /opt/three) $((40 + 4))", "");
    endpoint.until_console(&last, "last: one two three 44");
    instances.push(last);
    endpoint.terminate(&instances.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn generations_come_through_typical_conditions() {
    come_through("typical");
}

#[test]
fn generations_come_through_hostile_conditions() {
    come_through("hostile");
}

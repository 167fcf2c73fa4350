//! Network interfaces beside the first: made, attached to running machines, configured in them, taken away again.
//!
//! One that is attached by [`Machine::add_network_interface`] ends with its machine, as EC2 itself sees to it. A machine that has had
//! one interface from its launch keeps its public address, as it wouldn't with several.

mod attach;
mod configure;
mod limits;
mod new;

pub(super) use attach::add;
pub(super) use limits::check_launch;
pub use new::NewNetworkInterface;

use super::made::Made;
use crate::{
    connection::{
        api_error,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, VISIBLE_WITHIN, pauses, until_visible_within},
    },
    error::{Error, ErrorKind},
    task::{OnDrop, Operation},
};
use aws_sdk_ec2::types::NetworkInterface as Description;
use std::{
    fmt,
    net::IpAddr,
    panic::Location,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// How long an interface may take to come or to go.
const CHANGES_WITHIN: Duration = Duration::from_secs(5 * 60);

/// A handle on a network interface that was added to a machine; cheap to clone. It goes with the machine.
#[derive(Clone)]
pub struct NetworkInterface(pub(super) Arc<Inner>);

pub(super) struct Inner {
    made: Arc<Made>,
    described: Mutex<Arc<Description>>,
}

impl fmt::Debug for NetworkInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NetworkInterface").field(&self.id()).finish()
    }
}

impl fmt::Display for NetworkInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.made.fmt(f)
    }
}

impl NetworkInterface {
    fn new(made: Arc<Made>, described: Description) -> Self {
        Self(Arc::new(Inner { made, described: Mutex::new(Arc::new(described)) }))
    }

    /// The interface's id, `eni-…`.
    pub fn id(&self) -> &str {
        self.0.made.id()
    }

    /// The interface as EC2 described it last. [`describe`](Self::describe) looks anew.
    pub fn last_described(&self) -> Arc<Description> {
        super::machine::lock(&self.0.described).clone()
    }

    /// Its index, as the machine's, as EC2 described it last.
    pub fn device_index(&self) -> Option<i32> {
        self.last_described().attachment()?.device_index()
    }

    /// Its MAC address, by which it is found in the machine.
    pub fn mac_address(&self) -> Option<String> {
        self.last_described().mac_address.clone()
    }

    /// Its private addresses, the first one first, as EC2 described them last.
    pub fn private_ips(&self) -> Vec<IpAddr> {
        let described = self.last_described();
        described
            .private_ip_addresses()
            .iter()
            .filter_map(|address| address.private_ip_address()?.parse().ok())
            .collect()
    }

    /// Its IPv6 addresses, as EC2 described them last.
    pub fn ipv6_addresses(&self) -> Vec<IpAddr> {
        let described = self.last_described();
        described.ipv6_addresses().iter().filter_map(|address| address.ipv6_address()?.parse().ok()).collect()
    }

    /// Its public address, as EC2 described it last.
    pub fn public_ip(&self) -> Option<IpAddr> {
        self.last_described().association()?.public_ip()?.parse().ok()
    }

    /// Looks at the interface anew.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or doesn't show it.
    pub fn describe(&self) -> Operation<Arc<Description>> {
        let interface = self.clone();
        self.0.made.operation("describe a network interface", OnDrop::Cancel, async move {
            let described = described(&interface.0.made).await?;
            Ok(interface.note(described))
        })
    }

    /// Takes it away from its machine, and deletes it; returns once EC2 has accepted that.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or it isn't detached in time.
    #[track_caller]
    pub fn remove(&self) -> Operation<()> {
        let (interface, at) = (self.clone(), Location::caller());
        let made = interface.0.made.clone();
        made.clone().operation("remove a network interface", OnDrop::Finish, async move {
            attach::detach(&interface).await?;
            made.end(at).await
        })
    }

    fn is_removed(&self) -> bool {
        self.0.made.identity.ended().is_some()
    }

    fn note(&self, described: Description) -> Arc<Description> {
        let described = Arc::new(described);
        super::machine::lock(&self.0.described).clone_from(&described);
        described
    }
}

/// What EC2 shows of an interface of ours, once it shows it.
async fn described(made: &Made) -> Result<Description, Error> {
    let (tried, call) = (format!("find {made}"), made.ec2.connection.client.describe_network_interfaces());
    let call = call.network_interface_ids(made.id());
    let described = until_visible_within(VISIBLE_WITHIN, || async {
        let answer =
            call.clone().send().await.map_err(|e| api_error::failed("DescribeNetworkInterfaces", &tried, e))?;
        let first = answer.network_interfaces.unwrap_or_default().into_iter().next();
        first.ok_or_else(|| Error::new(ErrorKind::NotFound, &tried).because("EC2 doesn't know it"))
    })
    .await?;
    made.was_shown();
    Ok(described)
}

/// Waits until one is as wanted, and tells how it was seen then: a later look may show what was before.
async fn until(made: &Made, tried: &str, is_as_wanted: impl Fn(&Description) -> bool) -> Result<Description, Error> {
    until_within(CHANGES_WITHIN, made, tried, is_as_wanted).await
}

/// As [`until`], for so long.
async fn until_within(
    limit: Duration,
    made: &Made,
    tried: &str,
    is_as_wanted: impl Fn(&Description) -> bool,
) -> Result<Description, Error> {
    let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
    loop {
        match described(made).await {
            Err(error) if error.is_transient() && since.elapsed() < VISIBLE_WITHIN => {}
            described => {
                let described = described?;
                if is_as_wanted(&described) {
                    return Ok(described);
                }
                if since.elapsed() > limit {
                    let status = described.status().map_or("unknown", |status| status.as_str());
                    let after = humantime::format_duration(limit);
                    return Err(Error::new(ErrorKind::TimedOut, tried)
                        .because(format!("after {after} its status is `{status}`")));
                }
            }
        }
        pauses.next().await;
    }
}

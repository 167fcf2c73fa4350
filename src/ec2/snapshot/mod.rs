//! Images of machines: taken, found again, launched from, and deleted with all of their snapshots.

mod cached;
mod clean;
mod image;

pub(crate) use cached::{complete, renew_lease};
pub use image::{Image, ImageHandle};

use super::{Machine, creation::Creation, ready};
use crate::{
    config::check_tags,
    connection::{
        api_error, once,
        patience::{OTHERS_VISIBLE_WITHIN, until_visible_within},
        tags,
    },
    error::{Error, ErrorKind},
    resource::IMAGE,
    run,
    task::operation,
};
use aws_sdk_ec2::types::{Filter, InstanceStateName, ResourceType, Tag, TagSpecification};
use std::time::Duration;

/// How long an image may take until it is available: with large volumes that change much AWS takes most of an hour.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(60 * 60);

/// An image's name has 128 characters at most, of letters, digits and few others.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html>
const NAME_MAX: usize = 128;

/// An image of a machine that is about to be made; see [`Machine::snapshot`].
#[derive(Debug, Clone)]
#[must_use = "no image is made before `.await`, `.wait()` or `.start()`"]
pub struct Snapshot {
    machine: Machine,
    name: Option<String>,
    /// Its whole name in EC2, where that is for all to find it by.
    known_as: Option<String>,
    stops: bool,
    /// Whether the machine is started again.
    goes_on: bool,
    cleans: bool,
    tags: Vec<(String, String)>,
    /// Ours.
    own_tags: Vec<(String, String)>,
    within: Duration,
}

impl Machine {
    /// Prepares an image of the machine, with all of its volumes; it is there once it is available.
    ///
    /// The machine is cleaned of its own state before, so that what is launched from the image is set up as if it were new: of what
    /// cloud-init has done, its machine id, its SSH host keys, and the key that we log in with, where there is a cloud-init that
    /// brings one anew. Then it is stopped, so that the image is consistent, and started again. That boot is the machine's own first
    /// one again, too: it runs its user data, and gets another machine id and other host keys.
    ///
    /// # Errors
    ///
    /// The machine is somebody else's, or is stopped, and may thus not or can't be cleaned. EC2 refuses the image, or it isn't available
    /// in time; nothing is left of it then, and the machine was started again.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            machine: self.clone(),
            name: None,
            known_as: None,
            stops: true,
            goes_on: true,
            cleans: true,
            tags: Vec::new(),
            own_tags: Vec::new(),
            within: AVAILABLE_WITHIN,
        }
    }
}

impl Snapshot {
    /// What its name begins with, and its `Name` tag. Default: the machine's name. Its name in EC2 ends with a part of its own, so that
    /// no two images have the same.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Takes it while the machine runs on. It is only crash-consistent then: as if the power had failed. What was cleaned is put back
    /// afterwards, and the key that we log in with stays in it. Default: the machine is stopped, and started again.
    pub fn running(mut self) -> Self {
        self.stops = false;
        self
    }

    /// Leaves the machine as it is. Default: it is cleaned of its own state.
    pub fn without_cleaning(mut self) -> Self {
        self.cleans = false;
        self
    }

    /// A tag on the image and its snapshots, beside the configuration's and our own.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// How long it may take from EC2's answer until it is available. Default: an hour.
    pub fn available_within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// Takes it under a name that others may have taken already, which is an error then; and the machine, which has served its purpose,
    /// isn't started again.
    pub(crate) fn known_as(mut self, name: String, own_tags: &[(String, String)]) -> Self {
        self.known_as = Some(name);
        self.own_tags = own_tags.to_vec();
        self.goes_on = false;
        self
    }

    async fn run(self) -> Result<Image, Error> {
        let machine = self.machine.clone();
        machine.within_scope("make an image", self.take()).await
    }

    async fn take(self) -> Result<Image, Error> {
        let (machine, tried) = (&self.machine, format!("make an image of {}", self.machine));
        let refused = |reason: &str| Error::new(ErrorKind::Refused, &tried).because(reason);
        check_tags(&machine.ec2().config.tags, &self.tags)
            .map_err(|reason| Error::new(ErrorKind::Configuration, &tried).because(reason))?;
        if self.cleans && !machine.0.identity.is_ours() {
            return Err(refused("it is somebody else's, and would lose its machine id and its host keys")
                .advise("say `.without_cleaning()`"));
        }
        let described = machine
            .await_state(|state| matches!(state, InstanceStateName::Running | InstanceStateName::Stopped), "run")
            .await?;
        let is_running = ready::state(&described) == InstanceStateName::Running;
        if self.cleans && !is_running {
            return Err(
                refused("it is stopped, and is to be cleaned before").advise("start it, or say `.without_cleaning()`")
            );
        }
        let stops = self.stops && is_running;
        if self.cleans {
            clean::clean(machine, !stops).await?;
        }
        if !stops {
            let image = self.make(&tried).await?;
            let made = image.until_available(&tried, self.within).await;
            if self.cleans {
                clean::put_back(machine).await?;
            }
            return made.map(|_| image);
        }
        machine.stop().await?;
        if self.cleans {
            machine.0.known_host.forget();
        }
        let image = match self.make(&tried).await {
            Ok(image) => image.until_taken(&tried, self.within).await.map(|_| image),
            Err(error) => Err(error),
        };
        let available = async {
            let image = image?;
            image.until_available(&tried, self.within).await.map(|_| image)
        };
        if !self.goes_on {
            return available.await;
        }
        // However it went, the machine goes on; meanwhile the image becomes available.
        let (available, started) = tokio::join!(available, machine.start());
        let image = available?;
        started.map_err(Error::from)?;
        Ok(image)
    }

    /// Has EC2 begin it.
    async fn make(&self, tried: &str) -> Result<Image, Error> {
        let (machine, ec2) = (&self.machine, self.machine.ec2());
        let called = self.name.clone().unwrap_or_else(|| machine.name().to_owned());
        let name = self.known_as.clone().map_or_else(|| unique_name(&called), Ok)?;
        let mut own: Vec<_> = self.tags.iter().chain(&self.own_tags).cloned().collect();
        // Whoever launches it logs in as here.
        own.extend(machine.user().map(|user| (tags::LOGIN_USER.to_owned(), user)));
        let creation = Creation {
            ec2: ec2.clone(),
            kind: &IMAGE,
            tried: tried.to_owned(),
            name: called,
            tags: own,
            of_ours: machine.0.identity.is_ours(),
        };
        let call = ec2.connection.client.create_image().instance_id(machine.id()).name(&name).no_reboot(true);
        let (connection, trying) = (ec2.connection.clone(), tried.to_owned());
        let guard = creation
            .send(move |attempt| {
                let (call, tried, name, connection) = (call.clone(), trying.clone(), name.clone(), connection.clone());
                async move {
                    let tags = with_snapshots(attempt.tags);
                    let call = call.set_tag_specifications(Some(tags)).customize().config_override(once());
                    match call.send().await.map_err(|e| api_error::failed("CreateImage", &tried, e)) {
                        // An earlier try may have come through; or, where the name isn't ours alone, somebody else's.
                        Err(error) if error.code() == Some("InvalidAMIName.Duplicate") => {
                            let by_name = Filter::builder().name("name").values(&name).build();
                            let found = until_visible_within(connection.paced(OTHERS_VISIBLE_WITHIN), || async {
                                let found = (IMAGE.find)(&connection, vec![by_name.clone()]).await?;
                                let not_seen = || Error::new(ErrorKind::NotFound, &tried).because("it isn't seen yet");
                                found.into_iter().find(|found| found.token().is_some()).ok_or_else(not_seen)
                            });
                            match found.await {
                                Ok(found) if found.token() == Some(&attempt.token) => Ok(found.id),
                                _ => Err(error),
                            }
                        }
                        answer => answer?.image_id.ok_or_else(|| {
                            Error::new(ErrorKind::Internal, tried).because("EC2 answered without an image")
                        }),
                    }
                }
            })
            .await?;
        Ok(Image::new(guard))
    }
}

operation!(Snapshot -> Image, "make an image", Finish);

/// The tags of an image are its snapshots', too.
fn with_snapshots(image: Vec<TagSpecification>) -> Vec<TagSpecification> {
    let tags: Vec<Tag> = image.iter().flat_map(|specification| specification.tags().to_vec()).collect();
    tags::specifications(&[ResourceType::Image, ResourceType::Snapshot], &tags)
}

/// A name that no other image has, of what EC2 takes.
fn unique_name(called: &str) -> Result<String, Error> {
    let own = run::random_id()?;
    let is_taken = |c: char| c.is_ascii_alphanumeric() || " ()[]./-'@_".contains(c);
    let called: String = called.chars().map(|c| if is_taken(c) { c } else { '-' }).collect();
    let room = NAME_MAX - own.len() - 1;
    let called: String = called.trim().chars().take(room).collect();
    Ok(format!("{called}-{own}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_as_ec2_takes_and_no_two_are_the_same() {
        let name = unique_name("crate::tests::größe").unwrap();
        assert!(name.starts_with("crate--tests--gr--e-") && name.is_ascii(), "{name}");
        assert_ne!(unique_name("one").unwrap(), unique_name("one").unwrap());
        assert_eq!(unique_name(&"x".repeat(400)).unwrap().len(), NAME_MAX);
        assert!(unique_name("").unwrap().len() > 3);
    }
}

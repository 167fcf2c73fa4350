//! What the macro says of a test, over the configuration.

use super::requirement::Requirement;
use crate::{
    config::{Config, Keep},
    ec2::{ImageSource, NewVolume},
};
use std::{panic::Location, time::Duration};

/// A test as it was declared.
#[derive(Debug)]
#[must_use]
pub struct Test {
    pub(crate) name: String,
    pub(crate) at: &'static Location<'static>,
    /// The text that a panic must contain to be the expected one; `None`: no panic is expected.
    pub(crate) should_panic: Option<&'static str>,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) user_data: Option<String>,
    pub(crate) volumes: Vec<NewVolume>,
    pub(crate) extra_nics: u16,
    pub(crate) vpc: Option<String>,
    pub(crate) image: Option<ImageSource>,
    instance_type: Option<String>,
    region: Option<String>,
    timeout: Option<Duration>,
    keep: Option<Keep>,
    tags: Vec<(String, String)>,
}

impl Test {
    /// A test by its path, crate included; it is called as libtest does, without the crate.
    #[track_caller]
    pub fn new(path: &str) -> Self {
        Self {
            name: path.split_once("::").map_or(path, |(_, name)| name).to_owned(),
            at: Location::caller(),
            should_panic: None,
            requirements: Vec::new(),
            user_data: None,
            volumes: Vec::new(),
            extra_nics: 0,
            image: None,
            instance_type: None,
            vpc: None,
            region: None,
            timeout: None,
            keep: None,
            tags: Vec::new(),
        }
    }

    /// Expects a panic with this text in it.
    pub fn should_panic(mut self, expected: &'static str) -> Self {
        self.should_panic = Some(expected);
        self
    }

    /// The image.
    pub fn image(mut self, image: impl Into<ImageSource>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// The instance type.
    pub fn instance_type(mut self, instance_type: impl Into<String>) -> Self {
        self.instance_type = Some(instance_type.into());
        self
    }

    /// The user data of the machines that are declared by parameters.
    pub fn user_data(mut self, user_data: impl Into<String>) -> Self {
        self.user_data = Some(user_data.into());
        self
    }

    /// The volumes, beside the root, of the machines that are declared by parameters.
    pub fn volumes(mut self, volumes: impl IntoIterator<Item = NewVolume>) -> Self {
        self.volumes.extend(volumes);
        self
    }

    /// How many network interfaces the machines that are declared by parameters have beside the first.
    pub fn extra_nics(mut self, count: u16) -> Self {
        self.extra_nics = count;
        self
    }

    /// The range of the VPC that is the test's own; its machines are launched in it.
    pub fn vpc(mut self, range: impl Into<String>) -> Self {
        self.vpc = Some(range.into());
        self
    }

    /// The region.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// How long the test may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// What the finished test leaves running.
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = Some(keep);
        self
    }

    /// A tag on all that the test makes.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// What must be there, else the test is skipped.
    pub fn requires(mut self, requirement: Requirement) -> Self {
        self.requirements.push(requirement);
        self
    }

    /// The configuration, with what this test says over it.
    pub(crate) fn configure(&self, mut config: Config) -> Config {
        if let Some(query) = self.image.as_ref().and_then(ImageSource::as_query) {
            config.image = query.clone();
        }
        if let Some(instance_type) = &self.instance_type {
            config.instance_type = instance_type.clone();
            config.instance_types.clear();
        }
        config.region = self.region.clone().or(config.region);
        config.timeout = self.timeout.unwrap_or(config.timeout);
        config.keep = self.keep.unwrap_or(config.keep);
        config.tags.extend(self.tags.iter().cloned());
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_called_as_libtest_calls_it() {
        assert_eq!(Test::new("my_crate::module::case_1").name, "module::case_1");
        assert_eq!(Test::new("alone").name, "alone");
    }

    #[test]
    fn what_a_test_says_wins_over_the_configuration() {
        let test = Test::new("c::t").image("debian-12").keep(Keep::Always).tag("team", "ours").tag("a", "1");
        let mut config = Config::default();
        config.tags.insert("team".into(), "theirs".into());
        config.tags.insert("b".into(), "2".into());
        let config = test.configure(config);
        assert_eq!((config.image, config.keep), ("debian-12".into(), Keep::Always));
        assert_eq!(config.instance_type, Config::default().instance_type);
        assert_eq!(config.timeout, Config::default().timeout);
        let tags = config.tags.into_iter().collect::<Vec<_>>();
        assert_eq!(tags, [("a", "1"), ("b", "2"), ("team", "ours")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}

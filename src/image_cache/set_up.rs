//! A set-up: what the macro says of a function, and where its image comes from.

use super::{key, provide};
use crate::{
    ec2::{Ec2, ImageSource, Machine, MakeImage, Source},
    error::{Error, Failure},
};
use futures_util::future::BoxFuture;
use std::{fmt, panic::Location, sync::Arc, time::Duration};

/// How long an image is used that says nothing of it.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A set-up whose image tests are launched from: what [`#[ec2_snapshot]`](macro@crate::ec2_snapshot) makes of a function, by the function's
/// name. `#[ec2_test(image = …)]`, [`Ec2::launch`] and [`Ec2::get_or_create_image`] take it.
#[derive(Clone, Copy)]
pub struct SetUp {
    pub(super) name: &'static str,
    pub(super) at: &'static Location<'static>,
    pub(super) body: fn(Machine) -> Result<(), Failure>,
    /// Its body, token by token: what doesn't change it, such as its layout and comments, doesn't change the key.
    pub(super) tokens: &'static str,
    pub(super) from: Option<fn() -> ImageSource>,
    pub(super) max_age: Duration,
    pub(super) inputs: &'static [&'static str],
    /// What the inputs are relative to.
    pub(super) directory: &'static str,
}

impl fmt::Debug for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SetUp").field(&self.name).finish()
    }
}

impl SetUp {
    /// A set-up of this name, by its body and the tokens of that.
    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    pub const fn new(name: &'static str, tokens: &'static str, body: fn(Machine) -> Result<(), Failure>) -> Self {
        let at = Location::caller();
        Self { name, at, body, tokens, from: None, max_age: MAX_AGE, inputs: &[], directory: "" }
    }

    /// What its machine is launched from.
    #[doc(hidden)]
    #[must_use]
    pub const fn from(mut self, from: fn() -> ImageSource) -> Self {
        self.from = Some(from);
        self
    }

    /// How old the image may be.
    #[doc(hidden)]
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Files whose content it depends on.
    #[doc(hidden)]
    #[must_use]
    pub const fn inputs(mut self, directory: &'static str, inputs: &'static [&'static str]) -> Self {
        self.directory = directory;
        self.inputs = inputs;
        self
    }

    /// The function's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What its machine is launched from: what it says, else the configured image.
    pub(super) fn base(&self, ec2: &Ec2) -> ImageSource {
        self.from.map_or_else(|| (&ec2.config.image).into(), |from| from())
    }
}

impl From<SetUp> for ImageSource {
    fn from(set_up: SetUp) -> Self {
        Self(Source::Made(Arc::new(set_up)))
    }
}

impl MakeImage for SetUp {
    fn name(&self) -> &str {
        self.name
    }

    fn identity<'a>(&'a self, ec2: &'a Ec2, instance_types: &'a [String]) -> BoxFuture<'a, Result<String, Error>> {
        Box::pin(async move { Ok(key::of(self, ec2, instance_types).await?.to_string()) })
    }

    fn provide<'a>(
        &'a self,
        ec2: &'a Ec2,
        instance_types: &'a [String],
        gone: Option<String>,
    ) -> BoxFuture<'a, Result<String, Error>> {
        Box::pin(provide::provide(*self, ec2, instance_types, gone))
    }
}

//! What a machine is launched from: an image that has a name, or one that is made when it is needed.

use super::Ec2;
use crate::error::Error;
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc};

/// What a machine is launched from: an AMI id, an alias or `resolve:ssm:/…` as text, an [`Image`](super::Image) or its handle, or the
/// name of an [`#[ec2_snapshot]`](macro@crate::ec2_snapshot).
#[derive(Debug, Clone)]
pub struct ImageSource(pub(crate) Source);

#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// An AMI's id, an alias, or `resolve:ssm:/…`.
    Named(String),
    /// Made when it is needed, unless it is there.
    Made(Arc<dyn MakeImage>),
}

/// What makes images.
pub(crate) trait MakeImage: fmt::Debug + Send + Sync {
    /// What a person calls it.
    fn name(&self) -> &str;

    /// What the image depends on, for machines of these instance types: as long as it stays the same, so does the image.
    fn identity<'a>(&'a self, ec2: &'a Ec2, instance_types: &'a [String]) -> BoxFuture<'a, Result<String, Error>>;

    /// The id of the image for these instance types, which is made if there is none. One that EC2 has said to be `gone` is made again.
    fn provide<'a>(
        &'a self,
        ec2: &'a Ec2,
        instance_types: &'a [String],
        gone: Option<String>,
    ) -> BoxFuture<'a, Result<String, Error>>;
}

impl<S: Into<String>> From<S> for ImageSource {
    fn from(name: S) -> Self {
        Self(Source::Named(name.into()))
    }
}

impl ImageSource {
    /// What a person calls it.
    pub(crate) fn name(&self) -> &str {
        match &self.0 {
            Source::Named(name) => name,
            Source::Made(maker) => maker.name(),
        }
    }

    /// Its name in the configuration or at EC2, if it has one.
    pub(crate) fn as_name(&self) -> Option<&str> {
        match &self.0 {
            Source::Named(name) => Some(name),
            Source::Made(_) => None,
        }
    }

    /// What makes it when it is needed.
    pub(crate) fn maker(&self) -> Option<Arc<dyn MakeImage>> {
        match &self.0 {
            Source::Named(_) => None,
            Source::Made(maker) => Some(maker.clone()),
        }
    }
}

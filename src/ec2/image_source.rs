//! What a machine is launched from: an image that has a name, or one that is made when it is needed.

use super::Ec2;
use crate::{config::ImageQuery, error::Error};
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc};

/// What a machine is launched from: an AMI id, an alias or `resolve:ssm:/…` as text, an [`ImageQuery`], an [`Image`](super::Image) or its
/// handle, or the name of an [`#[ec2_snapshot]`](macro@crate::ec2_snapshot).
#[derive(Debug, Clone)]
pub struct ImageSource(pub(crate) Source);

#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Looked up.
    Query(ImageQuery),
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

impl<Q: Into<ImageQuery>> From<Q> for ImageSource {
    fn from(query: Q) -> Self {
        Self(Source::Query(query.into()))
    }
}

impl ImageSource {
    /// What a person calls it.
    pub(crate) fn name(&self) -> String {
        match &self.0 {
            Source::Query(query) => query.to_string(),
            Source::Made(maker) => maker.name().to_owned(),
        }
    }

    /// What it is looked up by, if it is.
    pub(crate) fn as_query(&self) -> Option<&ImageQuery> {
        match &self.0 {
            Source::Query(query) => Some(query),
            Source::Made(_) => None,
        }
    }

    /// What makes it when it is needed.
    pub(crate) fn maker(&self) -> Option<Arc<dyn MakeImage>> {
        match &self.0 {
            Source::Query(_) => None,
            Source::Made(maker) => Some(maker.clone()),
        }
    }
}

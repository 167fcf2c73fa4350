//! Images that fit, for a test to look at.

use super::{Plain, find, plain, resolve, tried};
use crate::{
    config::{Architecture, ImageQuery},
    ec2::{Ec2, ImageHandle},
    error::{Error, ErrorKind},
    task::{OnDrop, Operation},
};
use aws_sdk_ec2::types::Image as Description;

impl Ec2 {
    /// The images that fit, the newest first; none is no error. The architecture is that of the configured instance type, unless the query
    /// says another.
    ///
    /// ```no_run
    /// # use ec2_harness::prelude::*;
    /// # async fn example(ec2: Ec2) -> Result {
    /// for image in ec2.images("ubuntu-24.04-daily").await? {
    ///     println!("{:?} {:?}", image.image_id(), image.name());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound): nobody knows the alias, or EC2 the id. [`Configuration`](ErrorKind::Configuration): a parameter of
    /// Systems Manager's, which EC2 resolves only at a launch. EC2 refuses, or can't be reached.
    pub fn images(&self, query: impl Into<ImageQuery>) -> Operation<Vec<Description>> {
        let (ec2, query) = (self.clone(), query.into());
        Operation::new("list images", OnDrop::Cancel, async move {
            let tried = tried(&ec2.connection, &query);
            let architecture = ec2.architecture();
            let (query, plain) = plain(&ec2.connection, &ec2.config, &query, architecture)?;
            match &plain {
                Plain::Parameter(name) => Err(resolved_by_ec2(name, tried)),
                Plain::Id(id) => {
                    find::by_id(&ec2.connection, id, query.owner.as_deref(), &tried).await.map(|image| vec![image])
                }
                Plain::Named { .. } => find::all(&ec2.connection, &query, &plain, architecture, &tried).await,
            }
        })
    }

    /// The newest image that fits, as [`images`](Self::images) lists them: a handle that never deletes it.
    ///
    /// # Errors
    ///
    /// As those of `images`; and [`NotFound`](ErrorKind::NotFound) if none fits, with what may have been meant.
    pub fn find_image(&self, query: impl Into<ImageQuery>) -> Operation<ImageHandle> {
        let (ec2, query) = (self.clone(), query.into());
        Operation::new("find an image", OnDrop::Cancel, async move {
            let image = resolve(&ec2, &query, ec2.architecture()).await?;
            match image.described {
                Some(_) => Ok(ImageHandle::existing(&ec2, image.id)),
                None => Err(resolved_by_ec2(&image.id, tried(&ec2.connection, &query))),
            }
        })
    }

    fn architecture(&self) -> Architecture {
        Architecture::of_type(self.config.instance_types.first().unwrap_or(&self.config.instance_type))
    }
}

fn resolved_by_ec2(parameter: &str, tried: String) -> Error {
    Error::new(ErrorKind::Configuration, tried)
        .because(format!("EC2 resolves `{parameter}` at a launch alone"))
        .advise("launch from it and look at the machine, or say an alias or `ImageQuery::named(…)`")
}

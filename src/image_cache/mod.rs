//! Images that are made once by a set-up and reused by tests, processes and runs: `#[ec2_snapshot]`.
//!
//! An image is known by its key, which follows from all that it is made from. Whoever needs one looks for it: in this process, where the
//! first asks for all; on this host, where a file for each key is locked by the one who looks or makes; in EC2, by tags, which is all that
//! hosts have in common. If there is none, the set-up runs on a machine of its own, of which the image is taken under a name that follows
//! from the key, so that of two hosts one alone succeeds.
//!
//! - **Whole or gone.** While it is made it belongs to the run of its maker, and ends as all of that does, should the maker be killed.
//!   One call makes it whole, and everybody's. Whoever finds one that only lacks that call makes it; its set-up had succeeded.
//! - **Its end.** It is kept for `max_age` since it was used last, and then goes with any sweep. One that is older than `max_age` is replaced.
//! - **A failing set-up** fails every test of the run that needs it, and runs once: the first reports it, the others say where.
//!
//! What this room isn't: the taking of images, which any machine has ([`crate::ec2::Snapshot`]).

mod age;
mod body;
mod build;
mod failure;
mod inputs;
mod key;
mod look;
mod note;
mod provide;
mod set_up;

pub use body::{SetUpOutcome, run, run_async};
pub use set_up::SetUp;

use crate::{
    ec2::{Ec2, ImageHandle},
    error::ErrorKind,
    task::{OnDrop, Operation},
};

impl Ec2 {
    /// The image of an [`#[ec2_snapshot]`](macro@crate::ec2_snapshot) for the configured instance types; made if there is none. It belongs to
    /// nobody: it is there until nobody has used it for its `max_age`, or until somebody deletes it by the handle.
    ///
    /// # Errors
    ///
    /// Its set-up fails, or has failed before in this run; EC2 refuses, or has no capacity for the machine that it is made of.
    pub fn get_or_create_image(&self, set_up: SetUp) -> Operation<ImageHandle> {
        let ec2 = self.clone();
        Operation::new("get or create an image", OnDrop::Cancel, async move {
            let types = match &*ec2.config.instance_types {
                [] => vec![ec2.config.instance_type.clone()],
                types => types.to_vec(),
            };
            let provide = async {
                let id = provide::provide(set_up, &ec2, &types, None).await?;
                match ec2.image(&id).await {
                    // It has vanished since it was found.
                    Err(failure) if failure.kind() == ErrorKind::NotFound => {
                        let again = provide::provide(set_up, &ec2, &types, Some(id)).await?;
                        Ok(ec2.image(again).await?)
                    }
                    found => Ok(found?),
                }
            };
            ec2.scope.run(|| format!("get or create the snapshot {}", set_up.name()), provide).await
        })
    }
}

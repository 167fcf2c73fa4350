//! VPCs: made with all that machines need in them, shared by name, found, deleted.
//!
//! A VPC of ours is several things to EC2: itself, subnets, a gateway. Each is noted, tagged and guarded by itself; together they are
//! one value here. The security group of a run's machines in it is made with the first launch, and goes with the VPC.

mod delete;
mod find;
mod make;
mod new;
mod plan;
mod shared;

pub use new::NewVpc;

pub(super) use find::Place;

use super::{
    Ec2,
    guard::Guard,
    made::{Made, handle_and_guard},
    per_run,
};
use crate::{
    connection::patience::OTHERS_VISIBLE_WITHIN,
    engine,
    error::Error,
    resource::VPC,
    task::{OnDrop, Operation, Task},
    teardown::{detached::Detached, signals},
};
use aws_sdk_ec2::types::{Subnet, Vpc as Description};
use delete::Kept;
use shared::Lease;
use std::{fmt, panic::Location, sync::Arc};
use tokio::runtime::Handle;

/// A handle on a VPC; cheap to clone. It never deletes the VPC by itself: [`Vpc`] does.
#[derive(Clone)]
pub struct VpcHandle(Arc<Inner>);

struct Inner {
    made: Arc<Made>,
    /// Where machines can stand in it, where we have just made that: it may not be seen yet. Else it is looked up.
    places: Vec<Place>,
    /// Its lease, where it is shared by name.
    lease: Option<Lease>,
}

/// A VPC that we have made, and that is deleted with this value: at once outside of a test, after the test's outcome is known within
/// one; our machines in it end with it, unless they are kept. It derefs to [`VpcHandle`], which has all operations.
#[must_use = "the VPC is deleted when this is dropped"]
pub struct Vpc {
    handle: VpcHandle,
    /// `None` once it was kept.
    guards: Option<Guards>,
}

/// Those of its parts, and its own, in the order of their ending.
type Guards = (Vec<Guard<Arc<Made>>>, Guard<Arc<Made>>);

handle_and_guard!(VpcHandle, Vpc);

impl fmt::Display for VpcHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the VPC {}", self.id())
    }
}

impl PartialEq for VpcHandle {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for VpcHandle {}

impl Ec2 {
    /// Makes a VPC with all that machines need in it: `create_vpc("10.20.0.0/16")`, or a [`NewVpc`] that says more. Returns once machines
    /// can be launched in it. While a quota is used up it waits for others to end, for as long as a machine may take to be ready.
    ///
    /// # Errors
    ///
    /// Its range or that of a subnet is such as EC2 never takes, the region hasn't the zone, a quota stays used up; nothing is left then.
    pub fn create_vpc(&self, vpc: impl Into<NewVpc>) -> Operation<Vpc> {
        let (ec2, vpc) = (self.clone(), vpc.into());
        Operation::new("create a VPC", OnDrop::Finish, async move {
            let creating = make::create(&ec2, &vpc);
            ec2.scope.run(|| format!("create the VPC {}", vpc.range), creating).await
        })
    }

    /// The VPC that is shared by this name in the account and region, whoever asks for it, from whichever host; it is made if there is
    /// none, once, however many ask at the same time. What is unfinished, since the process that made it was killed, is completed. It
    /// is as the one who came first has made it: nobody checks that later ones ask for the same.
    ///
    /// It belongs to no run. Each use renews its lease, which is twice the configuration's; after it, any `ec2-harness sweep` deletes it.
    ///
    /// # Errors
    ///
    /// As [`create_vpc`](Self::create_vpc); or the name is empty, or has one of `*`, `?` and `\`.
    pub fn get_or_create_vpc(&self, name: impl Into<String>, vpc: impl Into<NewVpc>) -> Operation<VpcHandle> {
        let (ec2, name, vpc) = (self.clone(), name.into(), vpc.into());
        Operation::new("get or create a VPC", OnDrop::Finish, async move {
            let getting = shared::get_or_create(&ec2, &name, &vpc);
            ec2.scope.run(|| format!("get or create the VPC `{name}`"), getting).await
        })
    }

    /// A handle on a VPC that exists already. It is never deleted by us, unless [`VpcHandle::delete`] is called.
    ///
    /// # Errors
    ///
    /// EC2 doesn't know the VPC, for 5 s since it may be fresh, or refuses to describe it.
    pub fn vpc(&self, id: impl Into<String>) -> Operation<VpcHandle> {
        let (ec2, id) = (self.clone(), id.into());
        Operation::new("find a VPC", OnDrop::Cancel, async move {
            let made = Arc::new(Made::new(ec2, &VPC, id.clone(), id, None));
            find::described(&made, OTHERS_VISIBLE_WITHIN).await.map(|_| VpcHandle::of(made))
        })
    }
}

impl Vpc {
    fn new(handle: VpcHandle, parts: Vec<Guard<Arc<Made>>>, vpc: Guard<Arc<Made>>) -> Self {
        Self { handle, guards: Some((parts, vpc)) }
    }

    /// A handle without the duty to delete the VPC.
    pub fn handle(&self) -> VpcHandle {
        self.handle.clone()
    }

    /// Leaves the VPC beyond this guard and its test, and prints its id. Its lease begins anew: after it, `ec2-harness sweep` deletes it.
    ///
    /// # Errors
    ///
    /// EC2 refuses to renew the lease: the VPC stays nevertheless. Or it can't be noted here that it is kept: then it goes.
    pub fn keep(mut self) -> Operation<VpcHandle> {
        Operation::new("keep a VPC", OnDrop::Finish, async move {
            if let Some((parts, vpc)) = self.guards.take() {
                for part in parts {
                    part.keep().await?;
                }
                vpc.keep_and_tell().await?;
            }
            Ok(self.handle())
        })
    }
}

impl Drop for Vpc {
    fn drop(&mut self) {
        let Some((parts, vpc)) = self.guards.take() else { return };
        if self.handle.ec2().scope.test_name().is_some() {
            // A test ends all that it has made together, what is in use by others after them.
            return;
        }
        parts.into_iter().for_each(|part| drop(part.disarm()));
        if vpc.disarm().identity.is_forgotten() {
            return;
        }
        if !engine::is_current_thread() {
            signals::give_way();
        }
        let handle = self.handle();
        // As with every guard.
        let is_detached = engine::is_current_thread() || Handle::try_current().is_ok();
        let detached = is_detached.then(Detached::new);
        let ending = Task::start("end a VPC", OnDrop::Finish, async move {
            let ended = delete::when_dropped(&handle).await;
            if detached.is_some()
                && let Err(error) = &ended
            {
                eprintln!("ec2-harness: failed to {error}");
            }
            ended
        });
        if !is_detached && let Err(error) = ending.wait() {
            eprintln!("ec2-harness: failed to {error}");
        }
    }
}

impl VpcHandle {
    fn of(made: Arc<Made>) -> Self {
        Self(Arc::new(Inner { made, places: Vec::new(), lease: None }))
    }

    fn made_with(made: Arc<Made>, places: Vec<Place>) -> Self {
        Self(Arc::new(Inner { made, places, lease: None }))
    }

    fn shared(made: Arc<Made>, places: Vec<Place>, lease: Lease) -> Self {
        Self(Arc::new(Inner { made, places, lease: Some(lease) }))
    }

    /// The VPC's id, `vpc-…`.
    pub fn id(&self) -> &str {
        self.0.made.id()
    }

    pub(in crate::ec2) fn ec2(&self) -> &Ec2 {
        &self.0.made.ec2
    }

    /// Looks at the VPC.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or doesn't show it.
    pub fn describe(&self) -> Operation<Description> {
        let made = self.0.made.clone();
        self.operation(
            "describe a VPC",
            OnDrop::Cancel,
            async move { find::described(&made, OTHERS_VISIBLE_WITHIN).await },
        )
    }

    /// Its subnets, as EC2 shows them.
    ///
    /// # Errors
    ///
    /// EC2 refuses.
    pub fn subnets(&self) -> Operation<Vec<Subnet>> {
        let vpc = self.clone();
        self.operation("find a VPC's subnets", OnDrop::Cancel, async move { vpc.shown_subnets().await })
    }

    /// The security group that our machines in it have unless their launch says otherwise: SSH from where the tests run, all between
    /// its members. It is made if need be, once a run, and goes with the VPC.
    ///
    /// # Errors
    ///
    /// EC2 refuses it, or this host's address can't be found.
    pub fn security_group(&self) -> Operation<String> {
        let vpc = self.clone();
        self.operation("make a security group", OnDrop::Finish, async move {
            let ec2 = vpc.ec2();
            find::join(ec2).await?;
            per_run::group_of(&ec2.connection, &ec2.config, vpc.id()).await
        })
    }

    /// Deletes it with all that we have made in it: machines, also kept ones, security groups, subnets, gateway. Returns once it is gone,
    /// which takes as long as a machine takes to be terminated. Deleting what has gone already is no error.
    ///
    /// # Errors
    ///
    /// Something in it isn't ours: it is named, and left with its network; our machines have ended nevertheless. Or EC2 can't be
    /// reached.
    #[track_caller]
    pub fn delete(&self) -> Operation<()> {
        let (vpc, at) = (self.clone(), Location::caller());
        Operation::new("delete a VPC", OnDrop::Finish, async move {
            delete::delete(&vpc, Kept::Go, &format!("at {}:{}", at.file(), at.line())).await
        })
    }

    fn operation<T, F>(&self, name: &'static str, on_drop: OnDrop, future: F) -> Operation<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.0.made.operation(name, on_drop, future)
    }
}

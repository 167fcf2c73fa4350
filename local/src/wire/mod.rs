//! EC2's Query protocol: requests in, answers out, and the locked front door.
//!
//! What this room isn't: EC2. It knows names, types and list shapes, but no rule and no state. What stands behind it is
//! a [`Service`]; [`serve`] puts the door before it.
//!
//! - **Codec.** A table made from the public service model (`local/model/`) drives it both ways, so that no request is
//!   read and no answer is laid out by hand. A request's unknown action or parameter, a value of the wrong type, a list
//!   with a gap: each is an error with EC2's code. So is an answer that the model doesn't have, an `InternalError`.
//! - **Signatures.** Signature Version 4 in the `Authorization` header or in a presigned query, for one access key, for `ec2`
//!   in any region, and for STS's `GetCallerIdentity`, which is answered here. Version 2 among the parameters, for `ec2`. So
//!   with the temporary keys that instances have by their roles.
//! - **Door.** HTTP/1.1 on the loopback. Host and Origin are checked; headers, bodies, connections and their times are
//!   bounded; what the account has begun is finished even if its client hangs up, and a panic of it is an `InternalError`.
//!
//! Two members that are text to the model are base64 to EC2: `UserData` of a request and `Output` of
//! `GetConsoleOutput`. The codec passes them as they are.

mod activity;
#[cfg(test)]
mod arbitrary;
mod connections;
mod decode;
mod encode;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod model;
mod nearest;
mod query;
mod server;
mod session;
mod signature;
mod sts;
mod value;

pub use activity::Activity;
pub use decode::decode;
pub(crate) use decode::unserved;
pub use encode::encode;
pub use exchange::Door;
pub(crate) use nearest::hint;
pub use server::serve;
pub(crate) use session::unique_id;
pub use session::{Session, SessionCredentials, SessionKey};
pub use signature::Credentials;
pub use value::{Structure, Value};

use crate::error::ApiError;
use std::{future::Future, pin::Pin};
use time::OffsetDateTime;

/// A request that has passed the door: signed, decoded, every name and type in it known to the model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The action, for example `RunInstances`.
    pub action: &'static str,
    /// The region that the signature was made for: EC2 is regional, and one endpoint serves all regions.
    pub region: String,
    /// The id that the answer will bear.
    pub request_id: String,
    /// The input, by the model's member names (`InstanceIds`, not `InstanceId.1`).
    pub input: Structure,
}

/// What stands behind the door: the account, in the end.
pub trait Service: Send + Sync + 'static {
    /// Answers one request, by the model's member names of the output.
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Structure, Failure>> + Send + '_>>;

    /// What time it is for what ends by itself, as temporary credentials do. Default: the host's.
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// What a request gets in place of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// EC2's error.
    Error(ApiError),
    /// Nothing: the connection breaks.
    Lost,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

/// Whether EC2 has an action of this name; where it hasn't, what may have been meant is said.
pub(crate) fn check_action(name: &str) -> Result<(), String> {
    match model::model() {
        Ok(model) if !model.knows(name) => Err(hint(name, model.names())),
        _ => Ok(()),
    }
}

/// For the account's tests: whether the model has an answer.
#[cfg(test)]
pub(crate) fn check_answer(action: &str, answer: &Structure) -> Result<(), ApiError> {
    encode::encode(action, answer, "").map(drop)
}

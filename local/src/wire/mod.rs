//! EC2's Query protocol: requests in, answers out, and the locked front door.
//!
//! What this room isn't: EC2. It knows names, types and list shapes, but no rule and no state.

mod value;

pub use value::{Structure, Value};

use crate::error::ApiError;
use std::{future::Future, pin::Pin};

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
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Structure, ApiError>> + Send + '_>>;
}

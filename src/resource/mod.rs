//! What we make in EC2 and must end: one table of all kinds.
//!
//! A kind is a file and a line in [`KINDS`]. Journal, register, guards, sweep, dry run and watchdog go by the table, and know
//! none of them. What this room isn't: who ends what, and when ([`crate::teardown`]).

mod elastic_ip;
mod found;
mod image;
mod instance;
mod internet_gateway;
mod key_pair;
mod kind;
mod left;
mod network_interface;
mod pages;
mod security_group;
mod snapshot;
mod spot_request;
mod subnet;
#[cfg(test)]
mod tests;
mod volume;
mod vpc;

pub(crate) use elastic_ip::KIND as ELASTIC_IP;
pub(crate) use found::{Ending, Found, SpotRequest};
pub(crate) use image::KIND as IMAGE;
pub(crate) use instance::{KIND as INSTANCE, spot_request_of};
pub(crate) use internet_gateway::KIND as INTERNET_GATEWAY;
pub(crate) use key_pair::KIND as KEY_PAIR;
pub(crate) use kind::{Kind, Life, Token};
pub(crate) use left::{Left, result_of};
pub(crate) use network_interface::KIND as NETWORK_INTERFACE;
pub(crate) use security_group::KIND as SECURITY_GROUP;
pub(crate) use subnet::KIND as SUBNET;
pub(crate) use volume::KIND as VOLUME;
pub(crate) use vpc::{KIND as VPC, inside};

/// All kinds.
pub(crate) static KINDS: &[&Kind] = &[
    // Before the instances, which are of the same rank: one that persists would launch another.
    &spot_request::KIND,
    &IMAGE,
    &INSTANCE,
    &KEY_PAIR,
    &SECURITY_GROUP,
    &ELASTIC_IP,
    &NETWORK_INTERFACE,
    &snapshot::KIND,
    &VOLUME,
    &SUBNET,
    &INTERNET_GATEWAY,
    &VPC,
    #[cfg(test)]
    &tests::KIND,
];

/// The kind that EC2 has this word for.
pub(crate) fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.word == word)
}

/// All kinds, in the order of their ending: what is in use by others comes after them.
pub(crate) fn in_order() -> Vec<&'static Kind> {
    let mut kinds = KINDS.to_vec();
    kinds.sort_by_key(|kind| kind.rank);
    kinds
}

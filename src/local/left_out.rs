//! The crate's feature `local` is off: there is never one.

use crate::{
    config::Config,
    error::{Error, ErrorKind},
    ssh::Route,
};
use ipnet::IpNet;

/// A local EC2, of which there is none.
#[derive(Debug, Clone)]
pub(crate) enum Local {}

impl Local {
    pub(crate) fn open(_: &Config, _: bool) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Configuration, "start the local EC2")
            .because("ec2-harness was built without its feature `local`")
            .advise("turn the feature on, or set `target`"))
    }

    pub(crate) fn url(&self) -> Option<String> {
        match *self {}
    }

    pub(crate) fn follow(&self) -> String {
        match *self {}
    }

    pub(crate) fn takeovers(&self) -> usize {
        match *self {}
    }

    pub(crate) fn credentials(&self) -> (String, String) {
        match *self {}
    }

    pub(crate) fn account(&self) -> String {
        match *self {}
    }

    pub(crate) fn pace(&self) -> f64 {
        match *self {}
    }

    pub(crate) fn seed(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn identity(&self) -> String {
        match *self {}
    }

    pub(crate) fn is_gone(&self) -> bool {
        match *self {}
    }

    pub(crate) fn route(&self, _: &str) -> Route {
        match *self {}
    }

    pub(crate) fn outside(&self) -> Result<IpNet, Error> {
        match *self {}
    }
}

pub(crate) fn is_there() -> bool {
    false
}

pub(crate) fn run_named_role() {}

//! The crate's feature `local` is off: there is never one.

use crate::{
    config::Config,
    error::{Error, ErrorKind},
    ssh::Route,
};
use ipnet::IpNet;

/// A local EC2, of which there is none; the compiler is to take code that has one for code that may run, as it is elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Local(Nothing);

#[derive(Debug, Clone)]
enum Nothing {}

impl Local {
    pub(crate) fn open(_: &Config, _: bool) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Configuration, "start the local EC2")
            .because("ec2-harness was built without its feature `local`")
            .advise("turn the feature on, or set `target`"))
    }

    pub(super) fn url(&self) -> Option<String> {
        match self.0 {}
    }

    pub(super) fn follow(&self) -> String {
        match self.0 {}
    }

    pub(crate) fn takeovers(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn credentials(&self) -> (String, String) {
        match self.0 {}
    }

    pub(crate) fn account(&self) -> String {
        match self.0 {}
    }

    pub(crate) fn pace(&self) -> f64 {
        match self.0 {}
    }

    pub(crate) fn seed(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn identity(&self) -> String {
        match self.0 {}
    }

    pub(crate) fn is_gone(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn route(&self, _: &str) -> Route {
        match self.0 {}
    }

    pub(crate) fn outside(&self) -> Result<IpNet, Error> {
        match self.0 {}
    }
}

pub(crate) fn is_there() -> bool {
    false
}

pub(crate) fn run_named_role() {}

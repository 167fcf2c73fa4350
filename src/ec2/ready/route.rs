//! The way to a machine.

use super::state;
use crate::{
    config::Reach,
    ec2::Machine,
    error::{Error, ErrorKind},
    ssh::Route,
};
use aws_sdk_ec2::types::InstanceStateName;

/// The way that needs no address: the local EC2's own tunnel knows machines by their ids.
pub(super) fn immediate(machine: &Machine) -> Option<Route> {
    let ec2 = &machine.0.ec2;
    match (&ec2.connection.local, &ec2.config.reach) {
        (Some(local), Reach::Public | Reach::Private) => Some(local.route(machine.id())),
        _ => None,
    }
}

/// The way to a machine as far as it is described; an error where there will never be one.
pub(super) fn route(machine: &Machine) -> Result<Option<Route>, Error> {
    if let Some(route) = immediate(machine) {
        return Ok(Some(route));
    }
    let Some(described) = machine.last_described() else { return Ok(None) };
    let (private, public) =
        (described.private_ip_address(), described.public_ip_address().or(described.ipv6_address()));
    let tcp = |host: &str| Route::Tcp { host: host.to_owned(), port: 22 };
    match &machine.0.ec2.config.reach {
        Reach::Private => Ok(private.map(tcp)),
        Reach::Public if public.is_none() && state(&described) == InstanceStateName::Running => Err(Error::new(
            ErrorKind::Connection,
            format!("connect to {machine}"),
        )
        .because("it is running without a public address")
        .advise(
            "set `reach` to `private` or to a command such as [\"ssh\", \"-W\", \"{address}:{port}\", \"bastion\"]",
        )),
        Reach::Public => Ok(public.map(tcp)),
        Reach::Command(words) => Ok(private.map(|private| {
            let zone = described.placement().and_then(|placement| placement.availability_zone()).unwrap_or_default();
            let replacements = [
                ("{address}", private),
                ("{public}", public.unwrap_or_default()),
                ("{instance}", machine.id()),
                ("{port}", "22"),
                ("{user}", &machine.user().unwrap_or_default()),
                ("{region}", &machine.0.ec2.connection.region),
                ("{zone}", zone),
            ];
            let fill = |word: &String| {
                replacements.iter().fold(word.clone(), |word, (placeholder, value)| word.replace(placeholder, value))
            };
            Route::Command(words.iter().map(fill).collect())
        })),
    }
}

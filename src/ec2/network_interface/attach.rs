//! Making an interface for a machine, attaching it, and taking it away again.

use super::{
    Description, Inner, NetworkInterface, NewNetworkInterface, configure, limits::free_index, until, until_within,
};
use crate::{
    connection::{
        api_error, once,
        patience::{OTHERS_VISIBLE_WITHIN, until_visible},
    },
    ec2::{Machine, creation::Creation, guard::Guard, machine::lock, made::Made},
    error::{Error, ErrorKind},
    resource::{ELASTIC_IP, NETWORK_INTERFACE},
    task::{OnDrop, Operation},
};
use aws_sdk_ec2::types::{
    AttachmentStatus, DomainType, Instance, InstanceStateName, NetworkInterfaceAttachmentChanges,
    NetworkInterfaceStatus,
};
use std::sync::Arc;

impl Machine {
    /// The network interfaces beside the first that its launch or [`Machine::add_network_interface`] has added, in the order in which they
    /// came, as far as they haven't been removed.
    pub fn network_interfaces(&self) -> Vec<NetworkInterface> {
        let mut added = lock(&self.0.network_interfaces);
        added.retain(|interface| !interface.is_removed());
        added.clone()
    }

    /// Makes a network interface, attaches it at the machine's next free index, and waits until it is attached. It ends with the
    /// machine, or by [`NetworkInterface::remove`] before.
    ///
    /// # Errors
    ///
    /// The machine's type takes no more, or not so many addresses: nothing is made then. EC2 refuses a part of it: nothing is left then.
    pub fn add_network_interface(&self, interface: NewNetworkInterface) -> Operation<NetworkInterface> {
        let machine = self.clone();
        self.operation("add a network interface", OnDrop::Finish, async move { add(&machine, interface).await })
    }
}

/// Adds one, within whatever operation it is a part of.
pub(in crate::ec2) async fn add(machine: &Machine, wanted: NewNetworkInterface) -> Result<NetworkInterface, Error> {
    let tried = format!("add {wanted} to {machine}");
    // One after the other, so that two don't choose the same index.
    let _attaching = machine.0.attaching.lock().await;
    machine
        .await_state(|state| matches!(state, InstanceStateName::Running | InstanceStateName::Stopped), "run")
        .await?;
    // What was attached just before counts, too.
    machine.look_up().await?;
    let Some(holder) = machine.last_described() else {
        return Err(Error::new(ErrorKind::Internal, tried).because("EC2 doesn't show the machine"));
    };
    let index = free_index(&machine.ec2().connection, &holder, &wanted, &tried).await?;
    let guard = create(machine, &holder, &wanted, &tried).await?;
    let made = guard.owned().clone();
    until(&made, &tried, |described| described.status() == Some(&NetworkInterfaceStatus::Available)).await?;
    let attached = attach(&made, machine, index, &tried).await?;
    let attachment = attached.attachment().and_then(|it| it.attachment_id()).unwrap_or_default().to_owned();
    let (address, attached) = if wanted.public {
        let (address, associated) = public_address(machine, &made, &tried).await?;
        (Some(address), associated)
    } else {
        (None, attached)
    };
    let interface = NetworkInterface::new(made.clone(), attached);
    if machine.0.identity.is_ours() || machine.scope().test_name().is_none() {
        end_with_machine(&made, machine, &attachment).await?;
        guard.disarm().ends_with(machine.id());
        lock(&machine.0.parts).push(made.clone());
    }
    if let Some(address) = &address {
        lock(&machine.0.addresses).push((made, address.owned().clone()));
    }
    // Else its guard leaves it to the test's end: somebody else's machine goes on.
    if wanted.configured {
        configure::configure(machine, &interface).await?;
    }
    match address {
        // A test's end takes it; elsewhere it is held as long as the machine.
        Some(address) if machine.scope().test_name().is_none() => lock(&machine.0.held).push(address),
        _ => {}
    }
    lock(&machine.0.network_interfaces).push(interface.clone());
    Ok(interface)
}

async fn create(
    machine: &Machine,
    holder: &Instance,
    wanted: &NewNetworkInterface,
    tried: &str,
) -> Result<Guard<Arc<Made>>, Error> {
    let of_machine = || holder.security_groups().iter().filter_map(|group| group.group_id.clone()).collect();
    let call = machine
        .client()
        .create_network_interface()
        .set_subnet_id(wanted.subnet.clone().or_else(|| holder.subnet_id.clone()))
        .set_groups(Some(wanted.security_groups.clone().unwrap_or_else(of_machine)))
        .set_secondary_private_ip_address_count((wanted.addresses > 1).then(|| i32::from(wanted.addresses) - 1))
        .set_ipv6_address_count((wanted.ipv6_addresses > 0).then(|| wanted.ipv6_addresses.into()));
    let sent = tried.to_owned();
    let creation = Creation {
        ec2: machine.ec2().clone(),
        kind: &NETWORK_INTERFACE,
        tried: tried.to_owned(),
        name: wanted.name.clone().unwrap_or_else(|| machine.name().to_owned()),
        tags: wanted.tags.clone(),
        of_ours: wanted.subnet.is_none() && wanted.security_groups.is_none(),
    };
    creation
        .send(move |attempt| {
            let (call, tried) = (call.clone(), sent.clone());
            let call = call.client_token(attempt.token).set_tag_specifications(Some(attempt.tags));
            async move {
                let answer = call.send().await.map_err(|e| api_error::failed("CreateNetworkInterface", &tried, e))?;
                answer
                    .network_interface
                    .and_then(|interface| interface.network_interface_id)
                    .ok_or_else(|| Error::new(ErrorKind::Internal, tried).because("EC2 answered without an interface"))
            }
        })
        .await
}

/// Attaches it; tells how it was seen then.
async fn attach(made: &Made, machine: &Machine, index: i32, tried: &str) -> Result<Description, Error> {
    let is_attached = |described: &Description| {
        described.attachment().is_some_and(|attachment| {
            attachment.status() == Some(&AttachmentStatus::Attached) && attachment.instance_id() == Some(machine.id())
        })
    };
    let call = machine.client().attach_network_interface().network_interface_id(made.id()).instance_id(machine.id());
    let call = call.device_index(index);
    let attached = until_visible(|| async {
        call.clone().send().await.map_err(|e| api_error::failed("AttachNetworkInterface", tried, e))
    });
    match attached.await {
        // An earlier try may have come through whose answer was lost, and may not be seen yet.
        Err(error) if error.code() == Some("InvalidNetworkInterface.InUse") => {
            let limit = made.ec2.connection.paced(OTHERS_VISIBLE_WITHIN);
            until_within(limit, made, tried, is_attached).await.map_err(|_| error)
        }
        Err(error) => Err(error),
        Ok(_) => until(made, tried, is_attached).await,
    }
}

/// Has it end with its machine: what is attached later doesn't by itself.
async fn end_with_machine(made: &Made, machine: &Machine, attachment: &str) -> Result<(), Error> {
    let tried = format!("have {made} end with {machine}");
    let changes = NetworkInterfaceAttachmentChanges::builder().attachment_id(attachment).delete_on_termination(true);
    let call = machine.client().modify_network_interface_attribute().network_interface_id(made.id());
    let call = call.attachment(changes.build());
    until_visible(|| async {
        let answer = call.clone().send().await;
        answer.map(drop).map_err(|e| api_error::failed("ModifyNetworkInterfaceAttribute", &tried, e))
    })
    .await
}

/// Gives its first address a public one; tells how it was seen then.
async fn public_address(machine: &Machine, made: &Made, tried: &str) -> Result<(Guard<Arc<Made>>, Description), Error> {
    let (call, sent) = (machine.client().allocate_address().domain(DomainType::Vpc), tried.to_owned());
    let creation = Creation {
        ec2: machine.ec2().clone(),
        kind: &ELASTIC_IP,
        tried: tried.to_owned(),
        name: machine.name().to_owned(),
        tags: Vec::new(),
        of_ours: true,
    };
    let address = creation
        .send(move |attempt| {
            let (call, tried) = (call.clone().set_tag_specifications(Some(attempt.tags)), sent.clone());
            async move {
                let answer = call.customize().config_override(once()).send().await;
                let answer = answer.map_err(|e| api_error::failed("AllocateAddress", &tried, e))?;
                answer
                    .allocation_id
                    .ok_or_else(|| Error::new(ErrorKind::Internal, tried).because("EC2 answered without an address"))
            }
        })
        .await?;
    let call = machine.client().associate_address().allocation_id(address.owned().id()).network_interface_id(made.id());
    let call = call.allow_reassociation(true);
    until_visible(|| async {
        call.clone().send().await.map(drop).map_err(|e| api_error::failed("AssociateAddress", tried, e))
    })
    .await?;
    let is_seen = |described: &Description| described.association().is_some() && described.attachment().is_some();
    let associated = until(made, tried, is_seen).await?;
    address.owned().was_shown();
    Ok((address, associated))
}

/// Takes it away from its machine; what has been taken away already is no error.
pub(super) async fn detach(interface: &NetworkInterface) -> Result<(), Error> {
    let Inner { made, .. } = &*interface.0;
    let tried = format!("detach {made}");
    // As it was seen last: a look may show what was before it was attached.
    let known = interface.last_described();
    let Some(attachment) = known.attachment().and_then(|attachment| attachment.attachment_id()) else {
        return Ok(());
    };
    let call = made.ec2.connection.client.detach_network_interface().attachment_id(attachment);
    match call.send().await.map_err(|e| api_error::failed("DetachNetworkInterface", &tried, e)) {
        // It has been detached meanwhile, or is just being so.
        Err(error) if matches!(error.code(), Some("InvalidAttachmentID.NotFound" | "IncorrectState")) => {}
        other => drop(other?),
    }
    until(made, &tried, |described| described.status() == Some(&NetworkInterfaceStatus::Available)).await?;
    made.ends_by_itself();
    Ok(())
}

//! Network interfaces beside those that end with their machines.

use super::{Found, Kind, Life, Token, pages::all_pages};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::{AttachmentStatus, Filter, NetworkInterface, NetworkInterfaceAttachment};

/// That it is attached, which EC2 itself says by the code of any bad parameter.
const IN_USE: &str = "InvalidNetworkInterface.InUse";

/// A network interface. One that is attached is in use until it is detached, or its machine has ended.
pub(crate) static KIND: Kind = Kind {
    word: "network-interface",
    token: Token::Attempt,
    life: Life::Test,
    rank: 1,
    in_use: &[IN_USE],
    users: Some(|connection, id| Box::pin(users(connection, id))),
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(super::left::end_each(connection, endings, move |id| async move {
            match delete(connection, &id).await {
                Err(error) if matches!(error.code(), Some(IN_USE | "InvalidParameterValue")) => {
                    detach(connection, &id, error).await
                }
                other => other,
            }
        }))
    },
};

async fn delete(connection: &Connection, id: &str) -> Result<(), Error> {
    let call = connection.client.delete_network_interface().network_interface_id(id).send().await;
    let tried = format!("delete the network interface {id}");
    call.map(drop).map_err(|e| api_error::failed("DeleteNetworkInterface", tried, e))
}

/// Takes it away from a machine that it doesn't end with, and says by the error that it is in use until then.
async fn detach(connection: &Connection, id: &str, error: Error) -> Result<(), Error> {
    let by_id = Filter::builder().name("network-interface-id").values(id).build();
    let interfaces = interfaces(connection, vec![by_id]).await?;
    let Some(attachment) = interfaces.iter().find_map(NetworkInterface::attachment) else { return Err(error) };
    if ends_with_its_machine(attachment) {
        return Ok(());
    }
    if attachment.status() == Some(&AttachmentStatus::Attached) {
        let call = connection.client.detach_network_interface().set_attachment_id(attachment.attachment_id.clone());
        let tried = format!("detach the network interface {id}");
        match call.send().await.map_err(|e| api_error::failed("DetachNetworkInterface", tried, e)) {
            // It has been detached meanwhile.
            Err(error) if error.code() == Some("InvalidAttachmentID.NotFound") => {}
            other => drop(other?),
        }
    }
    Err(error.with_code(IN_USE))
}

/// Whether it is the machine's, which takes it along.
fn ends_with_its_machine(attachment: &NetworkInterfaceAttachment) -> bool {
    attachment.delete_on_termination() == Some(true)
}

/// The instance that it is attached to.
async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, Error> {
    let by_id = Filter::builder().name("network-interface-id").values(id).build();
    let interfaces = interfaces(connection, vec![by_id]).await?;
    Ok(interfaces.into_iter().filter_map(|interface| interface.attachment?.instance_id).collect())
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let found = interfaces(connection, filters).await?.into_iter().filter_map(|interface| {
        let has_ended = interface.attachment().is_some_and(ends_with_its_machine);
        let (tags, id) = (interface.tag_set.unwrap_or_default(), interface.network_interface_id?);
        Some(Found::new(&KIND, id, tags, has_ended))
    });
    Ok(found.collect())
}

/// The instances with an interface that a filter finds, or the interfaces that no instance has.
pub(super) async fn holders(connection: &Connection, filter: Filter) -> Result<Vec<String>, Error> {
    let holder = |interface: NetworkInterface| {
        let instance = interface.attachment.and_then(|attachment| attachment.instance_id);
        instance.or(interface.network_interface_id)
    };
    Ok(interfaces(connection, vec![filter]).await?.into_iter().filter_map(holder).collect())
}

async fn interfaces(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<NetworkInterface>, Error> {
    let call = connection.client.describe_network_interfaces().set_filters(Some(filters));
    Ok(all_pages!("DescribeNetworkInterfaces", "find network interfaces", call, network_interfaces))
}

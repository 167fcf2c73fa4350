//! Snapshots as EC2 shows them.

use super::{Snapshot, State, Taking};
use crate::{
    account::{Context, describe::Listing, filter::whole_second, ids::SnapshotId, permission::is_account},
    error::{ApiError, Code},
    wire::Structure,
};

const LISTING: Listing = Listing {
    action: "DescribeSnapshots",
    ids: "SnapshotIds",
    id: "SnapshotId",
    sizes: 5..=1000,
    filters: &[
        ("description", "Description"),
        ("encrypted", "Encrypted"),
        ("owner-alias", "OwnerAlias"),
        ("owner-id", "OwnerId"),
        ("progress", "Progress"),
        ("snapshot-id", "SnapshotId"),
        ("start-time", "StartTime"),
        ("status", "State"),
        ("storage-tier", "StorageTier"),
        ("transfer-type", "TransferType"),
        ("volume-id", "VolumeId"),
        ("volume-size", "VolumeSize"),
    ],
};

/// The account has its own snapshots, and nobody has shared any with it.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let account = context.settings.account.as_str();
    let owners: Vec<&str> = input.strings("OwnerIds").collect();
    let users: Vec<&str> = input.strings("RestorableByUserIds").collect();
    let known = |name: &str, words: &[&str]| words.contains(&name) || is_account(name);
    let unknown_owner = owners.iter().find(|owner| !known(owner, &["self", "amazon"]));
    let unknown_user = users.iter().find(|user| !known(user, &["self", "all"]));
    if let Some(user) = unknown_owner.or(unknown_user) {
        return Err(ApiError::new(Code::InvalidUserIdMalformed, format!("Invalid user id: \"{user}\"")));
    }
    let is_own = owners.is_empty() || owners.iter().any(|owner| ["self", account].contains(owner));
    let restores = |snapshot: &Snapshot, user: &str| match user {
        "all" => snapshot.permissions.is_public(),
        "self" => true,
        user => user == account || snapshot.permissions.names(user),
    };
    let wanted =
        |snapshot: &Snapshot| is_own && (users.is_empty() || users.iter().any(|user| restores(snapshot, user)));
    LISTING.answer_where("Snapshots", input, &context.region.snapshots, &context.region.tags, wanted, |id, snapshot| {
        shown(context, id, snapshot)
    })
}

/// One snapshot.
pub(super) fn shown(context: &Context<'_>, id: &SnapshotId, snapshot: &Snapshot) -> Structure {
    let state = snapshot.state(context.now);
    let message = match &snapshot.taking {
        Taking::Failed(why) => Some(why.as_str()),
        _ => None,
    };
    let completed = (state == State::Completed).then(|| whole_second(snapshot.completes));
    shown_of_many(context, id, snapshot)
        .with("StorageTier", "standard")
        .with("TransferType", "standard")
        .with_some("KmsKeyId", snapshot.kms_key.as_deref())
        .with_some("CompletionTime", completed)
        .with_some("StateMessage", message)
}

/// What CreateSnapshots tells of each.
pub(super) fn shown_of_many(context: &Context<'_>, id: &SnapshotId, snapshot: &Snapshot) -> Structure {
    Structure::new()
        .with("SnapshotId", id)
        .with("VolumeId", &snapshot.volume)
        .with("VolumeSize", snapshot.gib)
        .with("Description", snapshot.description.as_str())
        .with("Encrypted", snapshot.encrypted)
        .with("OwnerId", context.settings.account.as_str())
        .with("StartTime", whole_second(snapshot.started))
        .with("State", snapshot.state(context.now).name())
        .with("Progress", format!("{}%", snapshot.progress(context.now)))
        .with("Tags", context.region.tags.shown(id))
}

const TIERS: Listing = Listing {
    action: "DescribeSnapshotTierStatus",
    ids: "SnapshotIds",
    id: "SnapshotId",
    sizes: 5..=1000,
    filters: &[
        ("last-tiering-operation", "LastTieringOperationStatus"),
        ("snapshot-id", "SnapshotId"),
        ("volume-id", "VolumeId"),
    ],
};

/// All are in the standard tier, and none was ever moved.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshotTierStatus.html>.
pub(in crate::account) fn describe_tiers(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    TIERS.answer("SnapshotTierStatuses", input, &region.snapshots, &region.tags, |id, snapshot| {
        Structure::new()
            .with("SnapshotId", id)
            .with("VolumeId", &snapshot.volume)
            .with("Status", snapshot.state(context.now).name())
            .with("OwnerId", context.settings.account.as_str())
            .with("StorageTier", "standard")
            .with("Tags", region.tags.shown(id))
    })
}

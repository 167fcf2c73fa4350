//! What an instance's metadata tells of its profile: the role, and credentials of it, which change long before they end.

use super::Association;
use crate::{
    account::{
        Account,
        ids::{Id, NetworkInterfaceId},
        region::Region,
        settings::Settings,
    },
    wire::{Session, SessionKey},
};
use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// For how long credentials are good: as AWS's are, of the account's clock, whatever the pace, since clients of AWS's renew those
/// that end within a quarter of an hour. What an instance had before its profile was taken away is good until then, too.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>.
const LIFETIME: Duration = Duration::hours(6);

/// How long the same are told; AWS says only that it is at least five minutes before their end.
const TURN: Duration = Duration::hours(1);

impl Account {
    /// The key that the temporary credentials of instances follow from.
    pub fn session_key(&self) -> SessionKey {
        SessionKey::new(&self.settings.seed)
    }

    /// What the metadata service tells, beside all else, of the role of the instance that holds a NIC: paths and contents, as
    /// in [`Metadata`](crate::network::Metadata).
    pub fn role_metadata(&self, now: OffsetDateTime, nic: &str) -> Vec<(String, String)> {
        let Ok(nic) = NetworkInterfaceId::parse(nic) else { return Vec::new() };
        let told = |region: &Region| metadata(&self.settings, &self.session_key(), region, &nic, now);
        self.regions.values().find_map(told).unwrap_or_default()
    }
}

/// What the metadata service tells of the role of the instance that holds a NIC.
fn metadata(
    settings: &Settings,
    key: &SessionKey,
    region: &Region,
    nic: &NetworkInterfaceId,
    now: OffsetDateTime,
) -> Option<Vec<(String, String)>> {
    let instance = region.instances.get(region.network_interfaces.get(nic)?.instance()?)?;
    let association = region.instance_profile_associations.get(instance.profile_association.as_ref()?)?;
    association.is_in_force(settings, now).then(|| tell(settings, key, association, now))
}

fn tell(
    settings: &Settings,
    key: &SessionKey,
    association: &Association,
    now: OffsetDateTime,
) -> Vec<(String, String)> {
    let Association { instance, profile, since, .. } = association;
    let turns = (now - *since).whole_seconds().max(0) / TURN.whole_seconds();
    let updated = since.saturating_add(TURN.saturating_mul(i32::try_from(turns).unwrap_or(i32::MAX)));
    let updated = updated.replace_nanosecond(0).unwrap_or(updated);
    let expiration = updated.saturating_add(LIFETIME);
    let issued = key.issue(&Session::new(&profile.role, instance.as_ref(), expiration));
    let time = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
    let info = json!({
        "Code": "Success",
        "LastUpdated": time(updated),
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id(settings),
    });
    let credentials = json!({
        "Code": "Success",
        "LastUpdated": time(updated),
        "Type": "AWS-HMAC",
        "AccessKeyId": issued.access_key,
        "SecretAccessKey": issued.secret,
        "Token": issued.token,
        "Expiration": time(expiration),
    });
    let text = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
    vec![
        ("meta-data/iam/info".to_owned(), text(&info)),
        (format!("meta-data/iam/security-credentials/{}", profile.role), text(&credentials)),
    ]
}

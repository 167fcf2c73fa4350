//! IAM instance profiles, as far as EC2 knows them: which instance has which, and what its metadata tells of that.
//!
//! There is no IAM here. Every well-formed name of the account's is a profile with a role of the same name, unless the settings
//! name those that there are.

mod actions;
mod credentials;
mod named;

pub(super) use actions::ACTIONS;

pub use named::{InstanceProfile, InstanceProfileError};

use super::{
    Context,
    describe::Listing,
    ids::{IamInstanceProfileAssociationId, Id, InstanceId},
    instance::{Instance, State, later},
    region::Region,
    request::{combination, invalid, missing, only, required},
    settings::Settings,
    tags::Tags,
};
use crate::{
    error::{ApiError, Code},
    wire::{Structure, Value, unique_id},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// How long AWS takes to bind a profile to an instance, and to part them: within seconds an instance sees it.
const ASSOCIATING: Duration = Duration::from_secs(3);

/// The bond between an instance and a profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Association {
    pub(super) instance: InstanceId,
    profile: Profile,
    since: OffsetDateTime,
    /// When it is gone, if it is ending.
    #[serde(default)]
    ends: Option<OffsetDateTime>,
}

/// A profile, as it was when it was named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Profile {
    name: String,
    arn: String,
    role: String,
}

impl Profile {
    /// The profile that a request names, by its name or its ARN.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IamInstanceProfileSpecification.html>.
    fn read(settings: &Settings, specification: &Structure) -> Result<Self, ApiError> {
        only(specification, "IamInstanceProfile.", &["Arn", "Name"])?;
        let text = |member| specification.string(member).filter(|text| !text.is_empty());
        match (text("Name"), text("Arn")) {
            (Some(_), Some(_)) => Err(combination(
                "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
            )),
            (None, None) => Err(missing("iamInstanceProfile.name")),
            (Some(name), None) => {
                let arn = format!("arn:aws:iam::{}:instance-profile/{name}", settings.account);
                Self::known(settings, name, arn).ok_or_else(|| unknown("name", name))
            }
            (None, Some(arn)) => {
                let path = arn.strip_prefix(&format!("arn:aws:iam::{}:instance-profile/", settings.account));
                let name = path.filter(|path| is_path(path)).and_then(|path| path.rsplit('/').next());
                let known = name.and_then(|name| Self::known(settings, name, arn.to_owned()));
                known.ok_or_else(|| unknown("arn", arn))
            }
        }
    }

    fn known(settings: &Settings, name: &str, arn: String) -> Option<Self> {
        let known = settings.instance_profiles.iter().find(|profile| profile.name == name);
        let role = match known {
            Some(profile) => profile.role.as_str(),
            None if settings.instance_profiles.is_empty() && named::is_name(name) => name,
            None => return None,
        };
        Some(Self { name: name.to_owned(), arn, role: role.to_owned() })
    }

    fn id(&self, settings: &Settings) -> String {
        unique_id("AIPA", &settings.account, &self.name)
    }

    fn shown(&self, settings: &Settings) -> Structure {
        Structure::new().with("Arn", self.arn.as_str()).with("Id", self.id(settings))
    }
}

/// Whether it is what stands in an ARN before a name and with it: `web`, `team/web`.
fn is_path(path: &str) -> bool {
    path.len() <= 512
        && path.split('/').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Source of the wording: <https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/ec2/ec2_instance.go>.
fn unknown(member: &str, value: &str) -> ApiError {
    let kind = if member == "arn" { "ARN" } else { "name" };
    let message = format!(
        "Value ({value}) for parameter iamInstanceProfile.{member} is invalid. Invalid IAM Instance Profile {kind}"
    );
    invalid(message)
}

impl Association {
    fn state(&self, settings: &Settings, now: OffsetDateTime) -> &'static str {
        match self.ends {
            Some(_) => "disassociating",
            None if now < later(self.since, settings.paced(ASSOCIATING)) => "associating",
            None => "associated",
        }
    }

    /// Whether the instance has the profile's role by now.
    fn is_in_force(&self, settings: &Settings, now: OffsetDateTime) -> bool {
        match self.ends {
            Some(ends) => now < ends,
            None => now >= later(self.since, settings.paced(ASSOCIATING)),
        }
    }
}

/// What a launch asks for, if it asks for any.
pub(super) fn read(context: &Context<'_>, input: &Structure) -> Result<Option<Profile>, ApiError> {
    let Some(specification) = input.structure("IamInstanceProfile") else { return Ok(None) };
    // Packer and others send an empty one for what they have nothing to say of.
    if specification.members().all(|(_, value)| matches!(value, Value::String(text) if text.is_empty())) {
        return Ok(None);
    }
    Profile::read(context.settings, specification).map(Some)
}

/// Binds a profile to an instance that has none.
pub(super) fn bind(
    context: &mut Context<'_>,
    instance: &InstanceId,
    profile: Profile,
) -> IamInstanceProfileAssociationId {
    let id: IamInstanceProfileAssociationId = context.shared.source.id();
    let association = Association { instance: instance.clone(), profile, since: context.now, ends: None };
    context.region.instance_profile_associations.insert(id.clone(), association);
    if let Some(instance) = context.region.instances.get_mut(instance) {
        instance.profile_association = Some(id.clone());
    }
    id
}

/// The instance is gone, and has no profile any more.
pub(super) fn release(context: &mut Context<'_>, instance: &InstanceId) {
    let association = context.region.instances.get_mut(instance).and_then(|it| it.profile_association.take());
    if let Some(id) = association {
        context.region.instance_profile_associations.remove(&id);
    }
}

/// Lets go what has ended by now.
pub(super) fn sweep(context: &mut Context<'_>) {
    let now = context.now;
    let ended = context.region.instance_profile_associations.iter();
    let ended = ended.filter(|(_, association)| association.ends.is_some_and(|ends| ends <= now));
    let ended: Vec<InstanceId> = ended.map(|(_, association)| association.instance.clone()).collect();
    ended.iter().for_each(|instance| release(context, instance));
}

/// The profile of an instance as Describe shows it, and its name, which only filters see.
pub(super) fn of(settings: &Settings, region: &Region, instance: &Instance) -> Option<(Structure, String)> {
    let association = region.instance_profile_associations.get(instance.profile_association.as_ref()?)?;
    Some((association.profile.shown(settings), association.profile.name.clone()))
}

const LISTING: Listing = Listing {
    action: "DescribeIamInstanceProfileAssociations",
    ids: "AssociationIds",
    id: "AssociationId",
    sizes: 5..=1000,
    filters: &[("instance-id", "InstanceId"), ("state", "State")],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeIamInstanceProfileAssociations.html>.
pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let associations = &context.region.instance_profile_associations;
    let row = |id: &_, association: &_| shown(context, id, association);
    LISTING.answer_where("IamInstanceProfileAssociations", input, associations, None::<&Tags>, |_| true, row)
}

fn shown(context: &Context<'_>, id: &IamInstanceProfileAssociationId, association: &Association) -> Structure {
    Structure::new()
        .with("AssociationId", id)
        .with("InstanceId", &association.instance)
        .with("IamInstanceProfile", association.profile.shown(context.settings))
        .with("State", association.state(context.settings, context.now))
}

fn answer(context: &Context<'_>, id: &IamInstanceProfileAssociationId) -> Result<Structure, ApiError> {
    let association = context.region.instance_profile_associations.require(id)?;
    Ok(Structure::new().with("IamInstanceProfileAssociation", shown(context, id, association)))
}

fn asked(context: &Context<'_>, input: &Structure) -> Result<Profile, ApiError> {
    let specification = input.structure("IamInstanceProfile").ok_or_else(|| missing("IamInstanceProfile"))?;
    Profile::read(context.settings, specification)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateIamInstanceProfile.html>.
pub(super) fn associate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let instance = context.region.instances.parse(required(input, "InstanceId")?)?;
    let profile = asked(context, input)?;
    check_state(context, &instance)?;
    if context.region.instances.require(&instance)?.profile_association.is_some() {
        let message = format!("There is an existing association for instance {instance}");
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    let id = bind(context, &instance, profile);
    answer(context, &id)
}

fn check_state(context: &Context<'_>, id: &InstanceId) -> Result<(), ApiError> {
    if matches!(context.region.instances.require(id)?.state, State::Running | State::Stopped) {
        return Ok(());
    }
    let message = format!("The instance '{id}' is not in the 'running' or 'stopped' states.");
    Err(ApiError::new(Code::IncorrectInstanceState, message))
}

/// An association that isn't ending.
fn present(context: &Context<'_>, input: &Structure) -> Result<IamInstanceProfileAssociationId, ApiError> {
    let associations = &context.region.instance_profile_associations;
    let id = associations.parse(required(input, "AssociationId")?)?;
    match associations.require(&id)?.ends {
        None => Ok(id),
        Some(_) => {
            let message = IamInstanceProfileAssociationId::not_found(&[id.as_ref()]);
            Err(ApiError::new(IamInstanceProfileAssociationId::NOT_FOUND, message))
        }
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisassociateIamInstanceProfile.html>.
pub(super) fn disassociate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = present(context, input)?;
    let ends = later(context.now, context.settings.paced(ASSOCIATING));
    context.region.instance_profile_associations.require_mut(&id)?.ends = Some(ends);
    answer(context, &id)
}

/// The new bond has an id of its own, and the instance is never without a profile.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReplaceIamInstanceProfileAssociation.html>.
pub(super) fn replace(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = present(context, input)?;
    let profile = asked(context, input)?;
    let instance = context.region.instance_profile_associations.require(&id)?.instance.clone();
    check_state(context, &instance)?;
    release(context, &instance);
    let id = bind(context, &instance, profile);
    answer(context, &id)
}

//! Tags of all resources.
//!
//! Source of the rules: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>.

use super::{
    Context, Region,
    action::{Action, action},
    filter::Filters,
    history::History,
    ids,
    pagination::Page,
    request::{at_most_a_thousand, invalid, missing, required_list},
    stored::{Kept, Stored},
    table::Eventual,
};
use crate::{
    conditions::View,
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use std::collections::BTreeMap;
use time::OffsetDateTime;

pub(super) const ACTIONS: &[Action] = &[
    action("CreateTags", create, &["Resources", "Tags"]),
    action("DeleteTags", delete, &["Resources", "Tags"]),
    action("DescribeTags", describe, &["Filters", "MaxResults", "NextToken"]),
];

/// The tags of one resource.
pub(super) type TagSet = BTreeMap<String, String>;

/// The tags of all resources of a region, by the resource's id.
#[derive(Debug, Clone, Default)]
pub(super) struct Tags {
    tags: Kept<TagSet>,
    /// What the tags were before they were changed.
    history: History<String, TagSet>,
    /// What the replica knows that answers the present request.
    view: Option<View>,
}

const LIMIT: usize = 50;
const KEY_LENGTH: usize = 128;
const VALUE_LENGTH: usize = 256;

impl Tags {
    pub(super) fn get(&self, id: impl AsRef<str>) -> Option<&TagSet> {
        let id = id.as_ref();
        self.history.was(id, self.view.as_ref(), "tags").or_else(|| self.tags.get(id))
    }

    /// The resources that have tags.
    pub(super) fn resources(&self) -> impl Iterator<Item = &str> {
        self.tags.keys()
    }

    /// The tags of each resource.
    fn iter(&self) -> impl Iterator<Item = (&str, &TagSet)> {
        self.tags.keys().filter_map(|id| Some((id, self.get(id)?)))
    }

    /// Changes the tags of a resource that was made before.
    fn change(&mut self, id: &str, change: impl FnOnce(&mut TagSet)) {
        let tags = self.tags.entry(id);
        self.history.keep(id.to_owned(), || tags.clone());
        change(tags);
    }

    pub(super) fn set(&mut self, id: impl AsRef<str>, tags: TagSet) {
        if !tags.is_empty() {
            self.tags.insert(id.as_ref(), tags);
        }
    }

    /// Forgets the tags of a resource that is gone.
    pub(super) fn forget(&mut self, id: impl AsRef<str>) {
        self.tags.remove(id.as_ref());
        self.history.forget(id.as_ref());
    }

    /// The member `Tags` of what Describe shows.
    pub(super) fn shown(&self, id: impl AsRef<str>) -> Value {
        shown(self.get(id))
    }

    pub(super) fn stored(&mut self) -> &mut dyn Stored {
        &mut self.tags
    }
}

impl Eventual for Tags {
    fn look(&mut self, view: Option<View>) {
        self.history.look(view.as_ref());
        self.view = view;
    }

    fn note(&mut self, made: Option<OffsetDateTime>) {
        self.history.note(made);
    }
}

/// Tags as Describe shows them.
pub(super) fn shown(tags: Option<&TagSet>) -> Value {
    let tags = tags.into_iter().flatten();
    tags.map(|(key, value)| Structure::new().with("Key", key.as_str()).with("Value", value.as_str())).collect()
}

/// The tags that a create call asks for, by resource type.
#[derive(Debug, Default)]
pub(super) struct TagSpecifications(BTreeMap<String, TagSet>);

impl TagSpecifications {
    /// Reads TagSpecifications; `taggable` are the resource types that the action can make.
    pub(super) fn read(input: &Structure, taggable: &[&str]) -> Result<Self, ApiError> {
        let mut specifications = BTreeMap::new();
        for specification in input.structures("TagSpecifications") {
            let Some(resource_type) = specification.string("ResourceType") else {
                return Err(invalid("Tag specification resource type must have a value"));
            };
            if !taggable.contains(&resource_type) {
                let message = format!("'{resource_type}' is not a valid taggable resource type for this operation.");
                return Err(invalid(message));
            }
            let tags = read(specification)?;
            if tags.is_empty() {
                return Err(invalid("Tag specification must have at least one tag"));
            }
            if specifications.insert(resource_type.to_owned(), tags).is_some() {
                let message = format!(
                    "The same resource type '{resource_type}' may not be specified more than once in tag specifications"
                );
                return Err(invalid(message));
            }
        }
        Ok(Self(specifications))
    }

    /// The tags for resources of a type.
    pub(super) fn of(&self, resource_type: &str) -> TagSet {
        self.0.get(resource_type).cloned().unwrap_or_default()
    }
}

/// Reads the member `Tags`.
fn read(input: &Structure) -> Result<TagSet, ApiError> {
    let mut tags = TagSet::new();
    for tag in input.structures("Tags") {
        let key = tag.string("Key").unwrap_or_default();
        let value = tag.string("Value").unwrap_or_default();
        check_key(key)?;
        if value.chars().count() > VALUE_LENGTH {
            return Err(invalid(format!("Tag value exceeds the maximum length of {VALUE_LENGTH} characters")));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(invalid(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    check_count(tags.len())?;
    Ok(tags)
}

fn check_key(key: &str) -> Result<(), ApiError> {
    if key.is_empty() {
        return Err(invalid("Tag key cannot be null or empty"));
    }
    if key.chars().count() > KEY_LENGTH {
        return Err(invalid(format!("Tag key exceeds the maximum length of {KEY_LENGTH} characters")));
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(invalid(format!("Tag keys starting with 'aws:' are reserved for internal use ('{key}')")));
    }
    Ok(())
}

/// Whether a tag is AWS's own: it counts for nothing, and nobody can take it away.
fn is_own(key: &str) -> bool {
    key.starts_with("aws:")
}

fn check_count(count: usize) -> Result<(), ApiError> {
    if count > LIMIT {
        return Err(ApiError::new(
            Code::TagLimitExceeded,
            format!("The maximum number of Tags for a resource has been reached ({LIMIT})."),
        ));
    }
    Ok(())
}

/// Tags that the metadata service shows stand in a path there, so their keys can't be any.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html>.
pub(super) fn check_metadata_keys<'a>(keys: impl IntoIterator<Item = &'a String>) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_+=,.@:".contains(c);
    match keys.into_iter().find(|key| !key.chars().all(allowed) || matches!(key.as_str(), "." | ".." | "_index")) {
        None => Ok(()),
        Some(key) => Err(invalid(format!(
            "'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and must not be \
             a reserved name ('.', '..', '_index')"
        ))),
    }
}

/// Whether a resource exists, and is seen, that may have tags.
pub(super) fn exists(region: &Region, id: &str) -> bool {
    fn has<I: ids::Id, R>(table: &super::table::Table<I, R>, id: &str) -> bool {
        I::parse(id).is_ok_and(|id| table.sees(&id))
    }
    has(&region.instances, id)
        || has(&region.images, id)
        || has(&region.key_pairs, id)
        || has(&region.launch_templates, id)
        || has(&region.spot_requests, id)
        || has(&region.placement_groups, id)
        || has(&region.security_groups, id)
        || has(&region.security_group_rules, id)
        || has(&region.vpcs, id)
        || has(&region.subnets, id)
        || has(&region.network_interfaces, id)
        || has(&region.elastic_addresses, id)
        || has(&region.volumes, id)
        || has(&region.snapshots, id)
        || has(&region.replace_root_volume_tasks, id)
        || has(&region.route_tables, id)
        || has(&region.internet_gateways, id)
        || has(&region.egress_only_gateways, id)
        || has(&region.network_acls, id)
        || has(&region.nat_gateways, id)
        || has(&region.peering_connections, id)
        || has(&region.dhcp_option_sets, id)
}

fn resources<'a>(region: &Region, input: &'a Structure) -> Result<Vec<&'a str>, ApiError> {
    let resources = required_list(input, "Resources").map_err(|_| missing("ResourceId"))?;
    at_most_a_thousand(&resources, "resourceIdSet")?;
    match resources.iter().find(|id| !exists(region, id)) {
        None => Ok(resources),
        Some(id) => Err(ids::unknown(id)),
    }
}

pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let tags = read(input)?;
    if tags.is_empty() {
        return Err(missing("Tag"));
    }
    let resources = resources(context.region, input)?;
    for id in &resources {
        let present = context.region.tags.tags.get(id);
        let fresh = tags.keys().filter(|key| !present.is_some_and(|present| present.contains_key(*key))).count();
        let others = present.map_or(0, |present| present.keys().filter(|key| !is_own(key)).count());
        check_count(others + fresh)?;
        if context.region.shows_tags_in_metadata(id) {
            check_metadata_keys(tags.keys())?;
        }
    }
    for id in resources {
        context.region.tags.change(id, |present| present.extend(tags.clone()));
    }
    Ok(Structure::new())
}

/// Without Tags, all tags go; with a value, the tag goes only if it has that value; an empty value counts as one.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    for tag in input.structures("Tags") {
        check_key(tag.string("Key").unwrap_or_default())?;
    }
    for id in resources(context.region, input)? {
        context.region.tags.change(id, |tags| {
            if input.list("Tags").is_empty() {
                tags.retain(|key, _| is_own(key));
            }
            for tag in input.structures("Tags") {
                let key = tag.string("Key").unwrap_or_default();
                if tag.string("Value").is_none_or(|value| tags.get(key).is_some_and(|present| present == value)) {
                    tags.remove(key);
                }
            }
        });
    }
    Ok(Structure::new())
}

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let known = [("key", "Key"), ("value", "Value"), ("resource-id", "ResourceId"), ("resource-type", "ResourceType")];
    let filters = Filters::read(input, &known, true)?;
    let page = Page::read(input, "DescribeTags", &(5..=1000))?;
    let mut shown = Vec::new();
    let mut next = None;
    let region = &*context.region;
    // In the order of ids and keys, which stays while tags come and go.
    let after = page.after().and_then(|row| row.split_once(' '));
    let tagged = region.tags.iter().filter(|(id, _)| after.is_none_or(|(last, _)| *id >= last) && exists(region, id));
    let all = tagged.flat_map(|(id, tags)| tags.iter().map(move |(key, value)| (id, key.as_str(), value)));
    let mut last = (String::new(), String::new());
    for (id, key, value) in all.filter(|(id, key, _)| after.is_none_or(|after| (*id, *key) > after)) {
        let row = Structure::new()
            .with("Key", key)
            .with("Value", value.as_str())
            .with("ResourceId", id)
            .with("ResourceType", ids::resource_type(id).unwrap_or_default());
        let own = TagSet::from([(key.to_owned(), value.clone())]);
        if !filters.pass_tags(Some(&own)) || !filters.pass(&row, &Structure::new()) {
            continue;
        }
        if shown.len() == page.size {
            next = Some(page.token(format!("{} {}", last.0, last.1)));
            break;
        }
        last = (id.to_owned(), key.to_owned());
        shown.push(row);
    }
    Ok(Structure::new().with("Tags", shown).with_some("NextToken", next))
}

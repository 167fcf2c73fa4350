//! Images: from what a test says (`ami-…`, an alias, `resolve:ssm:/…`) to what RunInstances needs.

use crate::{
    config::{Config, ImageAlias, nearest},
    connection::{
        Connection, api_error,
        patience::{OTHERS_VISIBLE_WITHIN, until_visible_within},
        tags,
    },
    error::{Error, ErrorKind},
    target::Target,
};
use aws_sdk_ec2::types::{self, Filter};
use std::collections::HashMap;
use tokio::sync::Mutex;

/// What was found out of an image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// What goes into `ImageId`.
    pub(crate) id: String,
    /// The user that logs in, where it is known.
    pub(crate) user: Option<String>,
    /// The image as EC2 describes it; `None` where only EC2 resolves it.
    pub(crate) described: Option<types::Image>,
}

/// An alias that is known without configuration.
struct BuiltIn {
    alias: &'static str,
    owner: &'static str,
    name: &'static str,
    user: &'static str,
}

/// The publishers' account numbers, each from the publisher's own page; `images` in the configuration overrides them.
///
/// Debian: <https://wiki.debian.org/Cloud/AmazonEC2Image>, Ubuntu: <https://documentation.ubuntu.com/aws/>, Amazon Linux:
/// <https://docs.aws.amazon.com/linux/al2023/ug/ec2.html>.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn { alias: "debian-12", owner: "136693071363", name: "debian-12-{arch}-*", user: "admin" },
    BuiltIn { alias: "debian-13", owner: "136693071363", name: "debian-13-{arch}-*", user: "admin" },
    BuiltIn {
        alias: "ubuntu-22.04",
        owner: "099720109477",
        name: "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{arch}-server-*",
        user: "ubuntu",
    },
    BuiltIn {
        alias: "ubuntu-24.04",
        owner: "099720109477",
        name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-*",
        user: "ubuntu",
    },
    BuiltIn { alias: "al2023", owner: "amazon", name: "al2023-ami-2023.*-{aws-arch}", user: "ec2-user" },
    BuiltIn { alias: "al2", owner: "amazon", name: "amzn2-ami-hvm-2.0.*-{aws-arch}-gp2", user: "ec2-user" },
];

/// Which user logs in, by a part of the image's name or by its owner; probed where none of these fits.
const USERS: &[(&str, &str)] = &[
    ("ubuntu", "ubuntu"),
    ("debian", "admin"),
    ("al2023", "ec2-user"),
    ("amzn", "ec2-user"),
    ("rhel", "ec2-user"),
    ("suse", "ec2-user"),
    ("sles", "ec2-user"),
    ("fedora", "fedora"),
    ("rocky", "rocky"),
    ("almalinux", "ec2-user"),
    ("flatcar", "core"),
    ("fcos", "core"),
];

/// The users to try where nothing is known, the most common first.
pub(crate) const CANDIDATES: &[&str] =
    &["ec2-user", "ubuntu", "admin", "fedora", "rocky", "cloud-user", "core", "root"];

/// What names stand for, with whether it is for ARM.
#[derive(Debug, Default)]
struct Resolved(Mutex<HashMap<(String, bool), Image>>);

/// Finds an image for an instance type; what a name stands for is looked up once per process, so that all its machines are alike.
pub(crate) async fn resolve_once(
    connection: &Connection,
    config: &Config,
    wanted: &str,
    instance_type: &str,
) -> Result<Image, Error> {
    let key = (wanted.to_owned(), instance_type_is_arm(instance_type));
    let resolved = connection.memo.of::<Resolved>();
    if let Some(known) = resolved.0.lock().await.get(&key) {
        return Ok(known.clone());
    }
    let image = resolve(connection, config, wanted, key.1).await?;
    resolved.0.lock().await.insert(key, image.clone());
    Ok(image)
}

/// Finds an image.
async fn resolve(connection: &Connection, config: &Config, wanted: &str, arm: bool) -> Result<Image, Error> {
    let tried = format!("find the image `{wanted}` in {} of {}", connection.region, connection.target);
    if wanted.starts_with("resolve:ssm:") {
        // EC2 resolves it by itself.
        return Ok(Image { id: wanted.to_owned(), user: None, described: None });
    }
    if wanted.starts_with("ami-") {
        return by_id(connection, wanted, None, &tried).await;
    }
    if let Some(alias) = config.images.get(wanted) {
        return match alias {
            ImageAlias { id: Some(id), user, .. } if id.starts_with("resolve:ssm:") => {
                Ok(Image { id: id.clone(), user: user.clone(), described: None })
            }
            ImageAlias { id: Some(id), user, .. } => by_id(connection, id, user.clone(), &tried).await,
            ImageAlias { owner: Some(owner), name: Some(name), architecture, user, .. } => {
                newest(connection, &[owner.as_str()], name, architecture.as_deref(), user.clone(), &tried).await
            }
            _ => Err(not_found(connection, config, wanted, tried)),
        };
    }
    let built_in = BUILT_IN.iter().find(|built_in| built_in.alias == wanted);
    let known = match (&connection.target, built_in) {
        (Target::Aws | Target::Endpoint(_), Some(known)) => known,
        (Target::Aws, None) => return Err(not_found(connection, config, wanted, tried)),
        // The local EC2's images bear plain names, Amazon's as those that were imported; an alias of another system is never quietly
        // something else.
        (Target::Local | Target::Endpoint(_), _) => {
            return match newest(connection, &["self", "amazon"], wanted, None, None, &tried).await {
                Err(error) if error.kind() == ErrorKind::NotFound => Err(not_found(connection, config, wanted, tried)),
                other => other,
            };
        }
    };
    let name = known
        .name
        .replace("{aws-arch}", if arm { "arm64" } else { "x86_64" })
        .replace("{arch}", if arm { "arm64" } else { "amd64" });
    let architecture = if arm { "arm64" } else { "x86_64" };
    newest(connection, &[known.owner], &name, Some(architecture), Some(known.user.into()), &tried).await
}

/// Graviton types have a `g` behind the generation: `t4g`, `m7gd`; `a1` is the first of them.
pub(crate) fn instance_type_is_arm(instance_type: &str) -> bool {
    let family = instance_type.split('.').next().unwrap_or_default();
    let after_generation =
        family.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim_start_matches(|c: char| c.is_ascii_digit());
    family == "a1" || after_generation.starts_with('g')
}

async fn by_id(connection: &Connection, id: &str, user: Option<String>, tried: &str) -> Result<Image, Error> {
    // One that was made a moment ago may not be seen yet.
    let image = until_visible_within(connection.paced(OTHERS_VISIBLE_WITHIN), || async {
        let answer = connection.client.describe_images().image_ids(id).send().await;
        let images = answer.map_err(|e| api_error::failed("DescribeImages", tried, e))?.images.unwrap_or_default();
        images.into_iter().next().ok_or_else(|| Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't know it"))
    })
    .await?;
    Ok(found(image, user))
}

async fn newest(
    connection: &Connection,
    owners: &[&str],
    name: &str,
    architecture: Option<&str>,
    user: Option<String>,
    tried: &str,
) -> Result<Image, Error> {
    let filter = |key: &str, value: &str| Filter::builder().name(key).values(value).build();
    let mut pages = connection
        .client
        .describe_images()
        .set_owners(Some(owners.iter().map(|owner| (*owner).to_owned()).collect()))
        .filters(filter("name", name))
        .filters(filter("state", "available"))
        .set_filters_if(architecture.map(|architecture| filter("architecture", architecture)))
        .into_paginator()
        .items()
        .send();
    let mut images = Vec::new();
    while let Some(image) = pages.next().await {
        images.push(image.map_err(|e| api_error::failed("DescribeImages", tried, e))?);
    }
    images
        .into_iter()
        // The dates are RFC 3339 in UTC, so their order is that of their text.
        .max_by(|a, b| a.creation_date().cmp(&b.creation_date()))
        .map(|image| found(image, user))
        .ok_or_else(|| {
            Error::new(ErrorKind::NotFound, tried)
                .because(format!("owner {} has no available image with a name like `{name}`", owners.join(" or ")))
        })
}

fn found(image: types::Image, user: Option<String>) -> Image {
    let tagged = tags::value(image.tags(), tags::LOGIN_USER).map(str::to_owned);
    let name = image.name().unwrap_or_default().to_lowercase();
    let by_name = USERS.iter().find(|(part, _)| name.contains(part)).map(|(_, user)| (*user).to_owned());
    Image {
        id: image.image_id().unwrap_or_default().to_owned(),
        user: user.or(tagged).or(by_name),
        described: Some(image),
    }
}

fn not_found(connection: &Connection, config: &Config, wanted: &str, tried: String) -> Error {
    let mut known: Vec<&str> = config.images.keys().map(String::as_str).collect();
    let advice = if connection.target == Target::Local {
        known.extend(["host", "blank"]);
        "use one of them, import it (`ec2-local image import`), map the alias under `images` in ec2-harness.toml to an image \
         that is there, or set `target`"
    } else {
        known.extend(BUILT_IN.iter().map(|built_in| built_in.alias));
        "use one of them, an AMI id or `resolve:ssm:/…`, or add it under `images` in ec2-harness.toml"
    };
    let meant = nearest(wanted, &known).map(|known| format!(" (did you mean `{known}`?)")).unwrap_or_default();
    Error::new(ErrorKind::NotFound, tried)
        .because(format!("there is no image of that name here{meant}; there are {}", known.join(", ")))
        .advise(advice)
}

/// A filter that is only sent where it is wanted.
trait SetFiltersIf {
    fn set_filters_if(self, filter: Option<Filter>) -> Self;
}

impl SetFiltersIf for aws_sdk_ec2::operation::describe_images::builders::DescribeImagesFluentBuilder {
    fn set_filters_if(self, filter: Option<Filter>) -> Self {
        match filter {
            Some(filter) => self.filters(filter),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graviton_types_are_told_apart() {
        for arm in ["t4g.small", "m7gd.large", "c6gn.xlarge", "a1.medium", "im4gn.large"] {
            assert!(instance_type_is_arm(arm), "{arm}");
        }
        for x86 in ["t3.micro", "m5ad.large", "g4dn.xlarge", "g5.xlarge", "c7i.large"] {
            assert!(!instance_type_is_arm(x86), "{x86}");
        }
    }
}

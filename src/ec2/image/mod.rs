//! Images: from what a test says ([`ImageQuery`]) to what RunInstances needs.

mod built_in;
mod find;
mod list;

pub(crate) use built_in::CANDIDATES;

use super::{Ec2, specification::Key};
use crate::{
    config::{Architecture, Config, ImageQuery, KeyType, What, nearest},
    connection::{Connection, tags},
    error::{Error, ErrorKind},
    ssh::PrivateKey,
    target::Target,
};
use aws_sdk_ec2::types;
use std::collections::HashMap;
use tokio::sync::Mutex;

/// What was found out of an image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// What goes into `ImageId`.
    pub(crate) id: String,
    /// The user that logs in, where it is known.
    pub(crate) user: Option<String>,
    /// The only type of keys that it takes, where it is known.
    pub(crate) key_type: Option<KeyType>,
    /// The image as EC2 describes it; `None` where only EC2 resolves it.
    pub(crate) described: Option<types::Image>,
}

/// What queries stand for, by the architecture. The aliases are out of them: who shares a connection may have others.
#[derive(Debug, Default)]
struct Resolved(Mutex<HashMap<(ImageQuery, Plain, Architecture), Image>>);

/// A query without the aliases in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Plain {
    Id(String),
    /// `resolve:ssm:/…`, which EC2 resolves by itself.
    Parameter(String),
    Named {
        pattern: String,
        owners: Vec<String>,
        /// The word that it was said by, where it is an image's own name.
        word: Option<String>,
    },
}

/// The image for each of some instance types: what a query stands for depends on their architecture. It is looked up once per process, so
/// that all its machines are alike.
pub(super) async fn for_types(ec2: &Ec2, query: &ImageQuery, instance_types: &[String]) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    for instance_type in instance_types {
        images.push(resolve_once(ec2, query, Architecture::of_type(instance_type)).await?);
    }
    Ok(images)
}

/// The id of the image that a query stands for, or the parameter that EC2 resolves by itself.
pub(crate) async fn image_id(ec2: &Ec2, query: &ImageQuery, architecture: Architecture) -> Result<String, Error> {
    resolve_once(ec2, query, architecture).await.map(|image| image.id)
}

async fn resolve_once(ec2: &Ec2, query: &ImageQuery, architecture: Architecture) -> Result<Image, Error> {
    let tried = tried(&ec2.connection, query);
    let (query, plain) = plain(&ec2.connection, &ec2.config, query, architecture)?;
    let key = (query, plain, architecture);
    let resolved = ec2.connection.memo.of::<Resolved>();
    if let Some(known) = resolved.0.lock().await.get(&key) {
        return Ok(known.clone());
    }
    let image = look(ec2, &key.0, &key.1, architecture, &tried).await?;
    resolved.0.lock().await.insert(key, image.clone());
    Ok(image)
}

/// Finds an image, whatever is known.
async fn resolve(ec2: &Ec2, query: &ImageQuery, architecture: Architecture) -> Result<Image, Error> {
    let tried = tried(&ec2.connection, query);
    let (query, plain) = plain(&ec2.connection, &ec2.config, query, architecture)?;
    look(ec2, &query, &plain, architecture, &tried).await
}

async fn look(
    ec2: &Ec2,
    query: &ImageQuery,
    plain: &Plain,
    architecture: Architecture,
    tried: &str,
) -> Result<Image, Error> {
    let query = query.clone();
    let described = match plain {
        Plain::Parameter(id) => {
            let key_type = query.key_type.or_else(|| built_in::key_type(id));
            let user = query.user.or_else(|| built_in::user(id));
            return Ok(Image { id: id.clone(), user, key_type, described: None });
        }
        Plain::Id(id) => find::by_id(&ec2.connection, id, query.owner.as_deref(), tried).await?,
        named @ Plain::Named { .. } => find::newest(ec2, &query, named, architecture, tried).await?,
    };
    let name = described.name().unwrap_or_default();
    let tagged = tags::value(described.tags(), tags::LOGIN_USER).map(str::to_owned);
    Ok(Image {
        id: described.image_id().unwrap_or_default().to_owned(),
        user: query.user.or(tagged).or_else(|| built_in::user(name)),
        key_type: query.key_type.or_else(|| built_in::key_type(name)),
        described: Some(described),
    })
}

fn tried(connection: &Connection, query: &ImageQuery) -> String {
    format!("find the image `{query}` in {} of {}", connection.region, connection.target)
}

/// What a query says once the aliases that it names are put in their place.
fn plain(
    connection: &Connection,
    config: &Config,
    query: &ImageQuery,
    architecture: Architecture,
) -> Result<(ImageQuery, Plain), Error> {
    let (mut query, mut seen) = (query.clone(), Vec::new());
    let own = || vec!["self".to_owned(), "amazon".to_owned()];
    loop {
        let word = match &query.what {
            What::Named(pattern) => {
                let pattern = query.architecture.unwrap_or(architecture).fill(pattern);
                let owners = query.owner.clone().map_or_else(own, |owner| vec![owner]);
                return Ok((query, Plain::Named { pattern, owners, word: None }));
            }
            What::Word(word) => word.clone(),
        };
        if word.starts_with("resolve:ssm:") {
            let parameter = query.architecture.unwrap_or(architecture).fill(&word);
            return Ok((query, Plain::Parameter(parameter)));
        }
        if word.starts_with("ami-") {
            return Ok((query, Plain::Id(word)));
        }
        // An alias may have the name of what it stands for: `debian-12` of the configuration may be ours, or the built-in one.
        let configured = config.images.get(&word).filter(|_| !seen.contains(&word));
        let built_in = || built_in::alias(&word).filter(|_| connection.target != Target::Local);
        if let Some(alias) = configured.cloned().or_else(built_in) {
            query = query.of_alias(&alias);
            seen.push(word);
            continue;
        }
        if connection.target == Target::Aws {
            return Err(unknown(connection, config, &word));
        }
        // The local EC2's images bear plain names, Amazon's as those that were imported; an alias of another system is never quietly
        // something else.
        let owners = query.owner.clone().map_or_else(own, |owner| vec![owner]);
        return Ok((query, Plain::Named { pattern: word.clone(), owners, word: Some(word) }));
    }
}

/// A word that stands for nothing.
fn unknown(connection: &Connection, config: &Config, word: &str) -> Error {
    let mut known: Vec<&str> = config.images.keys().map(String::as_str).collect();
    let advice = if connection.target == Target::Local {
        known.extend(["host", "blank"]);
        "use one of them, import it (`ec2-local image import`), map the alias under `images` in ec2-harness.toml to an image \
         that is there, or set `target`"
    } else {
        known.extend(built_in::aliases().map(|alias| alias as &str));
        "use one of them, an AMI id or `resolve:ssm:/…`, or `ImageQuery::named`, or add it under `images` in ec2-harness.toml"
    };
    let meant = nearest(word, &known).map(|known| format!(" (did you mean `{known}`?)")).unwrap_or_default();
    Error::new(ErrorKind::NotFound, tried(connection, &word.into()))
        .because(format!("there is no image of that name here{meant}; there are {}", known.join(", ")))
        .advise(advice)
}

/// Who logs in to a machine whose image EC2 has resolved by itself; `None` where that isn't known either.
pub(super) async fn user_of(connection: &Connection, machine: Option<&types::Instance>) -> Option<String> {
    let image = find::by_id(connection, machine?.image_id()?, None, "find the image of a machine").await.ok()?;
    let tagged = tags::value(image.tags(), tags::LOGIN_USER).map(str::to_owned);
    tagged.or_else(|| built_in::user(image.name().unwrap_or_default()))
}

/// The type of the run's own key that is to log in, where nothing else is said: one that all of the images take.
pub(super) fn choose_key(key: &Key, images: &[Image]) -> Key {
    match key {
        Key::OfRun(None) => {
            Key::OfRun(Some(images.iter().find_map(|image| image.key_type).unwrap_or(KeyType::Ed25519)))
        }
        said => said.clone(),
    }
}

/// Sees that an image takes the key: to find out would take a machine, and all the time that it may take until it is ready.
pub(super) fn check_key(tried: &str, images: &[Image], name: &str, key: &PrivateKey) -> Result<(), Error> {
    match images.iter().find(|image| image.key_type == Some(KeyType::Rsa)) {
        Some(image) if key.is_ed25519() => {
            let called = image.described.as_ref().and_then(|described| described.name()).unwrap_or(&image.id);
            Err(Error::new(ErrorKind::Configuration, tried)
                .because(format!("its image {called} takes RSA keys alone, and {name} is an Ed25519 key"))
                .advise(
                    "leave `key_type` out or say `rsa`, or give an RSA key; if the image takes Ed25519 keys after all, say so by \
                     `ImageQuery::key_type`",
                ))
        }
        _ => Ok(()),
    }
}

/// An error of RunInstances, with what to do about an image that isn't there, or isn't for the type.
pub(super) fn advised(error: Error, connection: &Connection, instance_type: &str, image: &Image) -> Error {
    match error.code() {
        Some("InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" | "InvalidAMIID.Unavailable") => {
            error.or_advise(&find::advice(connection))
        }
        // Both of a parameter that isn't there, and of one that isn't an image: <https://github.com/aws/aws-cdk/issues/26712>.
        Some("SsmInvalidParameter") => error.or_advise(&format!(
            "see what `aws ssm get-parameter --region {} --name …` has: the parameter must be there, and of the data type `aws:ec2:image`",
            connection.region
        )),
        Some("InvalidParameterValue") => {
            let of_type = Architecture::of_type(instance_type);
            match image.described.as_ref().and_then(|described| described.architecture()) {
                Some(architecture) if architecture.as_str() != of_type.as_str() => error.or_advise(&format!(
                    "choose an instance type of {}, or an image of {}",
                    architecture.as_str(),
                    of_type.as_str()
                )),
                _ => error,
            }
        }
        _ => error,
    }
}

//! The key that logs in.

use super::{adopt, name, once_per_run, write};
use crate::{
    config::{Config, KeyType},
    connection::{Connection, api_error, once, patience::until_answered, tags},
    ec2::{key_pair, specification::Key},
    engine,
    error::{Error, ErrorKind},
    resource::KEY_PAIR,
    ssh::PrivateKey,
    state_directory::PRIVATE_KEY,
};
use aws_sdk_ec2::{
    primitives::Blob,
    types::{Filter, ResourceType},
};
use std::{fs, io, path::PathBuf, sync::Arc};

/// A key pair of the account, with its private half.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) private: PrivateKey,
    /// Where the private half is; `None` where it is in memory only.
    pub(crate) path: Option<PathBuf>,
}

/// The key that a launch asks for; the run's own is made.
pub(crate) async fn key(connection: &Arc<Connection>, config: &Config, key: &Key) -> Result<Login, Error> {
    match key {
        Key::Given(name, private) => Ok(Login { name: name.clone(), private: private.clone(), path: None }),
        Key::File(name, path) => {
            Ok(Login { name: name.clone(), private: PrivateKey::from_file(path)?, path: Some(path.clone()) })
        }
        Key::OfRun(key_type) => {
            let (key_type, making) = (key_type.unwrap_or_default(), connection.clone());
            let name = pair_name(connection, key_type);
            let of = match key_type {
                KeyType::Ed25519 => "run",
                KeyType::Rsa => "run-rsa",
            };
            // Other processes may be making it.
            let text = engine::blocking("make the run's key", move || private_key(&making, key_type)).await?;
            let private = PrivateKey::from_text(&text)?;
            once_per_run(connection, &KEY_PAIR, of, |attempt| import(connection, config, &name, &text, attempt))
                .await?;
            Ok(Login { name, private, path: Some(key_path(connection, key_type)) })
        }
    }
}

/// The key to a machine that exists already, launched with a key pair of this name: the configured one, else the run's, should it be of
/// this run.
pub(crate) fn existing_key(
    connection: &Connection,
    config: &Config,
    pair: Option<&str>,
) -> Result<Option<PrivateKey>, Error> {
    match &config.private_key {
        Some(path) => PrivateKey::from_file(path).map(Some),
        None => {
            let of = |key_type| pair == Some(&*pair_name(connection, key_type));
            let key_type = [KeyType::Ed25519, KeyType::Rsa].into_iter().find(|it| of(*it));
            let key_type = key_type.or(config.key_type).unwrap_or_default();
            fs::read_to_string(key_path(connection, key_type)).ok().map(PrivateKey::from_text).transpose()
        }
    }
}

/// What the run's key pair of a type is called.
fn pair_name(connection: &Connection, key_type: KeyType) -> String {
    match key_type {
        KeyType::Ed25519 => name(connection),
        KeyType::Rsa => format!("{}-rsa", name(connection)),
    }
}

fn key_path(connection: &Connection, key_type: KeyType) -> PathBuf {
    connection.run.directory().join(file(key_type))
}

/// The name of a private key's file in the run's directory.
fn file(key_type: KeyType) -> String {
    match key_type {
        KeyType::Ed25519 => PRIVATE_KEY.to_owned(),
        KeyType::Rsa => format!("{PRIVATE_KEY}-rsa"),
    }
}

/// The run's private key; made by its first process.
fn private_key(connection: &Connection, key_type: KeyType) -> Result<String, Error> {
    let path = key_path(connection, key_type);
    let failed =
        |e: io::Error| Error::new(ErrorKind::Internal, format!("make the run's key {}", path.display())).caused_by(e);
    let _lock = connection.run.lock(&format!("{}.lock", file(key_type)))?;
    match fs::read_to_string(&path) {
        Ok(text) => return Ok(text),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        Err(_) => {}
    }
    let key = key_pair::private_key(key_type).map_err(failed)?;
    write(&path, &key).map_err(failed)?;
    Ok(key)
}

async fn import(
    connection: &Arc<Connection>,
    config: &Config,
    name: &str,
    private: &str,
    attempt: String,
) -> Result<String, Error> {
    let tried = format!("import the run's key as {name}");
    let public = key_pair::public_key(private)?;
    let tags = tags::tags(config, connection.run, &[(tags::ATTEMPT.to_owned(), attempt)], None, config.lease);
    until_answered(connection, || async {
        let answer = connection
            .client
            .import_key_pair()
            .key_name(name)
            .public_key_material(Blob::new(public.clone()))
            .set_tag_specifications(Some(tags::specifications(&[ResourceType::KeyPair], &tags)))
            .customize()
            .config_override(once())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(name.to_owned()),
            Err(e) => match api_error::failed("ImportKeyPair", &tried, e) {
                error if error.code() == Some("InvalidKeyPair.Duplicate") => {
                    let by_name = Filter::builder().name("key-name").values(name).build();
                    let find = || (KEY_PAIR.find)(connection, vec![by_name.clone()]);
                    adopt(connection, &tried, find).await.map(|_| name.to_owned())
                }
                error => Err(error),
            },
        }
    })
    .await
}

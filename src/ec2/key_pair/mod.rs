//! Key pairs: listed, made here, imported, deleted.

mod generate;

pub(in crate::ec2) use generate::{private_key, public_key};

use super::{Ec2, Launch, creation::Creation, guard::Guard, made::Made};
use crate::{
    config::KeyType,
    connection::{api_error, once, patience::until_answered},
    engine,
    error::{Error, ErrorKind},
    resource::KEY_PAIR,
    run,
    ssh::PrivateKey,
    task::{OnDrop, Operation},
};
use aws_sdk_ec2::{primitives::Blob, types::KeyPairInfo};
use std::{panic::Location, sync::Arc};

/// A key pair of the account that we have made, and that is deleted with this value: at once outside of a test, after the test's outcome
/// is known within one. Machines that have its public half keep it.
#[derive(Debug)]
#[must_use = "the key pair is deleted when this is dropped"]
pub struct KeyPair {
    guard: Guard<Arc<Made>>,
    private: PrivateKey,
}

impl Ec2 {
    /// All key pairs of the account in this region, whosever they are.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or can't be reached.
    pub fn key_pairs(&self) -> Operation<Vec<KeyPairInfo>> {
        let ec2 = self.clone();
        Operation::new("list key pairs", OnDrop::Cancel, async move {
            let listing = until_answered(&ec2.connection, || async {
                let answer = ec2.connection.client.describe_key_pairs().send().await;
                answer.map_err(|e| api_error::failed("DescribeKeyPairs", "list the key pairs", e))
            });
            let answer = ec2.scope.run(|| "list key pairs".into(), listing).await?;
            Ok(answer.key_pairs.unwrap_or_default())
        })
    }

    /// Makes a key pair: its private half here, where it stays, and EC2 gets the public one. [`Launch::key_pair`] takes it.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or can't be reached; nothing is left then.
    pub fn create_key_pair(&self, key_type: KeyType) -> Operation<KeyPair> {
        let ec2 = self.clone();
        Operation::new("create a key pair", OnDrop::Finish, async move {
            let name = format!("ec2-harness-{}-{}", ec2.connection.run.id(), run::random_id()?);
            let made = engine::blocking("make a key", move || {
                let tried = "make a key";
                private_key(key_type).map_err(|e| Error::new(ErrorKind::Internal, tried).caused_by(e))
            });
            let text = made.await?;
            let (public, private) = (public_key(&text)?, PrivateKey::from_text(text)?);
            import(&ec2, name, public, private).await
        })
    }

    /// Imports a public key, as `authorized_keys` has it, under a name that the region doesn't have yet. Whoever logs in by it has its
    /// private half in an SSH agent (`SSH_AUTH_SOCK`); one in a file is given to the launch: [`Launch::key`].
    ///
    /// # Errors
    ///
    /// The name is taken, or EC2 doesn't take the key; nothing is left then.
    pub fn import_key_pair(&self, name: impl Into<String>, public: impl Into<String>) -> Operation<KeyPair> {
        let (ec2, name, public) = (self.clone(), name.into(), public.into());
        Operation::new("import a key pair", OnDrop::Finish, async move {
            let private = PrivateKey::in_agent(&public)?;
            import(&ec2, name, public, private).await
        })
    }

    /// Deletes a key pair by its name, whosever it is. Deleting what isn't there is no error.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or can't be reached.
    pub fn delete_key_pair(&self, name: impl Into<String>) -> Operation<()> {
        let (ec2, name) = (self.clone(), name.into());
        Operation::new("delete a key pair", OnDrop::Finish, async move {
            until_answered(&ec2.connection, || async {
                let answer = ec2.connection.client.delete_key_pair().key_name(&name).send().await;
                let tried = format!("delete the key pair {name}");
                answer.map(drop).map_err(|e| api_error::failed("DeleteKeyPair", tried, e))
            })
            .await
        })
    }
}

async fn import(ec2: &Ec2, name: String, public: String, private: PrivateKey) -> Result<KeyPair, Error> {
    let tried = format!("import the key pair {name}");
    let creation = Creation {
        ec2: ec2.clone(),
        kind: &KEY_PAIR,
        tried: tried.clone(),
        name: name.clone(),
        tags: Vec::new(),
        of_ours: false,
    };
    let call = ec2.connection.client.import_key_pair().key_name(&name).public_key_material(Blob::new(public));
    let importing = creation.send(move |attempt| {
        let (call, tried, name) = (call.clone(), tried.clone(), name.clone());
        let call = call.set_tag_specifications(Some(attempt.tags)).customize().config_override(once());
        async move {
            let answer = call.send().await;
            // It is ended by its name.
            answer.map(|_| name).map_err(|e| match api_error::failed("ImportKeyPair", &tried, e) {
                error if error.code() == Some("InvalidKeyPair.Duplicate") => {
                    error.advise("choose another name, or delete that one by `delete_key_pair`")
                }
                error => error,
            })
        }
    });
    let guard = ec2.scope.run(|| "import a key pair".into(), importing).await?;
    Ok(KeyPair { guard, private })
}

impl KeyPair {
    /// Its name, which is unique in its region.
    pub fn name(&self) -> &str {
        self.guard.owned().id()
    }

    /// Its private half: as it was made here, or in the agent where the public one was imported.
    pub fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// Deletes it; returns once EC2 has accepted that. Machines that have its public half keep it.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or can't be reached.
    #[track_caller]
    pub fn delete(&self) -> Operation<()> {
        let (made, at) = (self.guard.owned().clone(), Location::caller());
        Operation::new("delete a key pair", OnDrop::Finish, async move { made.end(at).await })
    }

    /// Leaves it beyond this guard and its test, and prints its name. Its lease begins anew: after it, `ec2-harness sweep` deletes it.
    ///
    /// # Errors
    ///
    /// EC2 refuses to renew the lease: the key pair stays nevertheless. Or it can't be noted here that it is kept: then it goes.
    pub fn keep(self) -> Operation<String> {
        Operation::new("keep a key pair", OnDrop::Finish, async move {
            let name = self.name().to_owned();
            self.guard.keep_and_tell().await?;
            Ok(name)
        })
    }
}

impl Launch {
    /// Logs in by a key pair that was made here ([`Ec2::create_key_pair`]), or imported ([`Ec2::import_key_pair`]). Default: the
    /// configuration's, else the run's own.
    pub fn key_pair(self, key_pair: &KeyPair) -> Self {
        self.key(key_pair.name(), key_pair.private().clone())
    }
}

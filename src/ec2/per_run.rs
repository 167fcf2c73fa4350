//! What is made once per run and region, and shared by all its processes: the key and the security group.
//!
//! Their names bear the run's id, so a second attempt after a lost answer finds the first one's. What they are is noted in
//! the run's directory, under a lock; they are gone when the run is.

use super::{
    api_error,
    connection::{Connection, once},
    patience::{until_answered, until_visible},
    tags,
};
use crate::{
    caller,
    config::Config,
    error::{Error, ErrorKind},
    lock_file, run,
    ssh::PrivateKey,
    target::Target,
    teardown::journal::Kind,
};
use aws_sdk_ec2::{
    primitives::Blob,
    types::{Filter, IpPermission, IpRange, Ipv6Range, ResourceType, UserIdGroupPair},
};
use ipnet::IpNet;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A key pair of the account, with its private half.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) private: PrivateKey,
}

/// The tag of one attempt: these calls have no client token.
fn attempt() -> Result<(String, String), Error> {
    Ok((tags::ATTEMPT.to_owned(), run::random_id()?))
}

/// The name of what a run makes.
fn name(connection: &Connection) -> String {
    format!("ec2-harness-{}", connection.run.id())
}

/// Tells the places apart that a run may use; a local EC2 that was started anew has forgotten everything.
pub(super) fn place(connection: &Connection) -> String {
    let target = match &connection.target {
        Target::Endpoint(url) => url.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect(),
        #[cfg(feature = "local")]
        Target::Local => {
            let identity = connection.local.as_ref().map(ec2_local::endpoint::Client::identity);
            format!("local-{}", identity.unwrap_or_default())
        }
        other => format!("{other:?}").to_lowercase(),
    };
    format!("{target}-{}-{}", connection.account.as_deref().unwrap_or("any"), connection.region)
}

/// The configured key, else the run's own.
pub(crate) async fn key(connection: &Connection, config: &Config) -> Result<Key, Error> {
    if let (Some(name), Some(path)) = (&config.key_name, &config.private_key) {
        return Ok(Key { name: name.clone(), private: PrivateKey::from_file(path)? });
    }
    let name = name(connection);
    let text = private_key(connection)?;
    let private = PrivateKey::from_text(&text)?;
    once_per_run(connection, Kind::KeyPair, || import(connection, config, &name, &text)).await?;
    Ok(Key { name, private })
}

/// The key to a machine that exists already: the configured one, else the run's, should it be of this run.
pub(crate) fn existing_key(connection: &Connection, config: &Config) -> Result<Option<PrivateKey>, Error> {
    match &config.private_key {
        Some(path) => PrivateKey::from_file(path).map(Some),
        None => match fs::read_to_string(key_path(connection)) {
            Ok(text) => PrivateKey::from_text(text).map(Some),
            Err(_) => Ok(None),
        },
    }
}

/// Makes a resource once for all processes of the run, and says which it is.
async fn once_per_run<F>(connection: &Connection, kind: Kind, make: impl FnOnce() -> F) -> Result<String, Error>
where
    F: Future<Output = Result<String, Error>>,
{
    // Within the process an async lock, between processes a file's.
    let mut made = connection.per_run.lock().await;
    if let Some(value) = made.get(&kind) {
        return Ok(value.clone());
    }
    let note = note(connection, kind);
    let lock_name = format!("{}.lock", kind.word());
    let run = connection.run;
    // Another process may hold it for as long as a call takes, and the engine must not block.
    let lock = tokio::task::spawn_blocking(move || run.lock(&lock_name))
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "lock the run's directory").caused_by(e))??;
    let value = match fs::read_to_string(&note) {
        Ok(value) => value,
        Err(_) => {
            connection.journal().intend(kind, &name(connection))?;
            let value = make().await?;
            let mut options = lock_file::own();
            let file = options.write(true).create(true).truncate(true).open(&note);
            file.and_then(|mut file| file.write_all(value.as_bytes()))
                .map_err(|e| Error::new(ErrorKind::Internal, format!("write {}", note.display())).caused_by(e))?;
            value
        }
    };
    drop(lock);
    made.insert(kind, value.clone());
    Ok(value)
}

/// Forgets what was noted: EC2 says that it isn't there any more.
pub(crate) async fn forget(connection: &Connection) {
    let mut made = connection.per_run.lock().await;
    for kind in [Kind::KeyPair, Kind::SecurityGroup] {
        made.remove(&kind);
        let _ = fs::remove_file(note(connection, kind));
    }
}

/// Where the run's processes note for each other what was made.
fn note(connection: &Connection, kind: Kind) -> PathBuf {
    connection.run.directory().join(format!("{}.{}", kind.word(), place(connection)))
}

fn key_path(connection: &Connection) -> PathBuf {
    connection.run.directory().join("private-key")
}

/// The run's private key; made by its first process.
fn private_key(connection: &Connection) -> Result<String, Error> {
    let path = key_path(connection);
    let failed =
        |e: io::Error| Error::new(ErrorKind::Internal, format!("make the run's key {}", path.display())).caused_by(e);
    let _lock = connection.run.lock("private-key.lock")?;
    match fs::read_to_string(&path) {
        Ok(text) => return Ok(text),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        Err(_) => {}
    }
    let key = ssh_key::PrivateKey::random(&mut ssh_key::rand_core::OsRng, ssh_key::Algorithm::Ed25519)
        .and_then(|key| key.to_openssh(ssh_key::LineEnding::LF))
        .map_err(|e| failed(io::Error::other(e)))?;
    write_private(&path, &key).map_err(failed)?;
    Ok(key.to_string())
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = lock_file::own().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    fs::rename(temporary, path)
}

async fn import(connection: &Connection, config: &Config, name: &str, private: &str) -> Result<String, Error> {
    let tried = format!("import the run's key as {name}");
    let public = ssh_key::PrivateKey::from_openssh(private)
        .and_then(|key| key.public_key().to_openssh())
        .map_err(|e| Error::new(ErrorKind::Internal, &tried).caused_by(e))?;
    until_answered(connection, || async {
        let tags = tags::tags(config, connection.run, &[attempt()?], None, config.lease);
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
                // Ours: nobody else knows the run's id. An answer was lost.
                error if error.code() == Some("InvalidKeyPair.Duplicate") => Ok(name.to_owned()),
                error => Err(error),
            },
        }
    })
    .await
}

/// The configured groups, else the run's own.
pub(crate) async fn security_groups(connection: &Connection, config: &Config) -> Result<Vec<String>, Error> {
    if !config.security_groups.is_empty() {
        return Ok(config.security_groups.clone());
    }
    once_per_run(connection, Kind::SecurityGroup, || create_group(connection, config)).await.map(|id| vec![id])
}

async fn create_group(connection: &Connection, config: &Config) -> Result<String, Error> {
    let name = name(connection);
    let vpc = vpc(connection, config).await?;
    let from = open_to(connection, config).await?;
    let tried = format!("create the run's security group {name} in {vpc}");
    let id = until_answered(connection, || async {
        let tags = tags::tags(config, connection.run, &[attempt()?], None, config.lease);
        let answer = connection
            .client
            .create_security_group()
            .group_name(&name)
            .description("SSH from where ec2-harness runs, all between its members")
            .vpc_id(&vpc)
            .set_tag_specifications(Some(tags::specifications(&[ResourceType::SecurityGroup], &tags)))
            .customize()
            .config_override(once())
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.group_id.unwrap_or_default()),
            Err(e) => match api_error::failed("CreateSecurityGroup", &tried, e) {
                error if error.code() == Some("InvalidGroup.Duplicate") => find_group(connection, &name, &vpc).await,
                error => Err(error),
            },
        }
    })
    .await?;
    let ssh = IpPermission::builder()
        .ip_protocol("tcp")
        .from_port(22)
        .to_port(22)
        .set_ip_ranges(Some(
            from.iter()
                .filter(|n| n.addr().is_ipv4())
                .map(|n| IpRange::builder().cidr_ip(n.to_string()).build())
                .collect(),
        ))
        .set_ipv6_ranges(Some(
            from.iter()
                .filter(|n| n.addr().is_ipv6())
                .map(|n| Ipv6Range::builder().cidr_ipv6(n.to_string()).build())
                .collect(),
        ))
        .build();
    // Tests of several machines are about what they say to each other.
    let members = IpPermission::builder()
        .ip_protocol("-1")
        .user_id_group_pairs(UserIdGroupPair::builder().group_id(&id).build())
        .build();
    let tried = format!("open SSH in {id}, and all between its members");
    // The group may not be visible at once.
    until_visible(|| async {
        match connection
            .client
            .authorize_security_group_ingress()
            .group_id(&id)
            .ip_permissions(ssh.clone())
            .ip_permissions(members.clone())
            .send()
            .await
        {
            Ok(_) => Ok(()),
            Err(e) => match api_error::failed("AuthorizeSecurityGroupIngress", &tried, e) {
                error if error.code() == Some("InvalidPermission.Duplicate") => Ok(()),
                error => Err(error),
            },
        }
    })
    .await?;
    Ok(id)
}

async fn find_group(connection: &Connection, name: &str, vpc: &str) -> Result<String, Error> {
    let tried = format!("find the run's security group {name}");
    let filter = |key: &str, value: &str| Filter::builder().name(key).values(value).build();
    until_visible(|| async {
        let answer = connection
            .client
            .describe_security_groups()
            .filters(filter("group-name", name))
            .filters(filter("vpc-id", vpc))
            .send()
            .await
            .map_err(|e| api_error::failed("DescribeSecurityGroups", &tried, e))?;
        let group = answer.security_groups.unwrap_or_default().into_iter().next();
        group.and_then(|group| group.group_id).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, &tried).because("EC2 has one by that name, but doesn't show it")
        })
    })
    .await
}

/// The VPC of the configured subnet, else the default one.
async fn vpc(connection: &Connection, config: &Config) -> Result<String, Error> {
    if let Some(subnet) = &config.subnet {
        let tried = format!("find the VPC of {subnet}");
        let answer = connection
            .client
            .describe_subnets()
            .subnet_ids(subnet)
            .send()
            .await
            .map_err(|e| api_error::failed("DescribeSubnets", &tried, e))?;
        return answer
            .subnets
            .unwrap_or_default()
            .into_iter()
            .find_map(|subnet| subnet.vpc_id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't know the subnet"));
    }
    let tried = format!("find the default VPC of {}", connection.region);
    let answer = connection
        .client
        .describe_vpcs()
        .filters(Filter::builder().name("is-default").values("true").build())
        .send()
        .await
        .map_err(|e| api_error::failed("DescribeVpcs", &tried, e))?;
    answer.vpcs.unwrap_or_default().into_iter().find_map(|vpc| vpc.vpc_id).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, tried).because("this account has none").advise(
            "set `subnet` in ec2-harness.toml (EC2_HARNESS_SUBNET), or create one with `aws ec2 create-default-vpc`",
        )
    })
}

/// From where SSH is open; never from everywhere, unless that is what was configured.
async fn open_to(connection: &Connection, config: &Config) -> Result<Vec<IpNet>, Error> {
    if !config.ssh_from.is_empty() {
        return Ok(config.ssh_from.clone());
    }
    match &connection.target {
        #[cfg(feature = "local")]
        Target::Local => {
            let (address, prefix) = ec2_local::network::OUTSIDE;
            let network = ipnet::Ipv4Net::new(address, prefix);
            network
                .map(|network| vec![network.into()])
                .map_err(|e| Error::new(ErrorKind::Internal, "tell from where the local EC2 is reached").caused_by(e))
        }
        _ => caller::address().await.map(|address| vec![IpNet::from(address)]),
    }
}

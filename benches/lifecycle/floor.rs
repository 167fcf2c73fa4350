//! The floor: a bare loop over the SDK and ssh2 that polls every 5 ms, without guards, tags or evidence.

use aws_sdk_ec2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::{InstanceStateName, InstanceType, IpPermission, IpRange},
};
use ec2_harness::prelude::*;
use ssh2::Session;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const POLL: Duration = Duration::from_millis(5);

/// What is waited for before the first exec.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It is running, and SSH answers.
    SshAnswers,
    /// cloud-init is done, too.
    CloudInitDone,
}

/// What is fresh may not be seen yet.
async fn visible<T, E: ProvideErrorMetadata, F: Future<Output = Result<T, SdkError<E>>>>(
    call: impl Fn() -> F,
) -> Result<T, SdkError<E>> {
    until_not(".NotFound", call).await
}

/// Calls again while EC2 answers with such a code.
async fn until_not<T, E: ProvideErrorMetadata, F: Future<Output = Result<T, SdkError<E>>>>(
    code: &str,
    call: impl Fn() -> F,
) -> Result<T, SdkError<E>> {
    loop {
        match call().await {
            Err(error) if error.code().is_some_and(|found| found.ends_with(code)) => tokio::time::sleep(POLL).await,
            other => return other,
        }
    }
}

fn exec(session: &Session, line: &str) -> Result {
    let mut channel = session.channel_session()?;
    channel.exec(line)?;
    channel.read_to_end(&mut Vec::new())?;
    channel.wait_close()?;
    assert_eq!(channel.exit_status()?, 0, "{line}");
    Ok(())
}

/// What a careful person would prepare once.
pub struct Floor {
    runtime: Runtime,
    client: Client,
    image: String,
    key_name: String,
    group: String,
    key: tempfile::NamedTempFile,
    way_in: PathBuf,
    _local: ec2_local::endpoint::Client,
}

impl Floor {
    /// Finds the image, and makes a key and a group that lets SSH in.
    pub fn prepare(ec2: &Ec2) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = ec2_local::endpoint::connect()?;
        let secret = local.credentials();
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version_latest()
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(aws_sdk_ec2::config::Region::new(ec2.region().to_owned()))
            .endpoint_url(local.url())
            .credentials_provider(aws_sdk_ec2::config::Credentials::new(
                &secret.access_key,
                &secret.secret_key,
                None,
                None,
                "bench",
            ))
            .build();
        let client = Client::from_conf(config);
        let images = runtime.block_on(client.describe_images().owners("amazon").send())?;
        let host = images.images().iter().find(|image| image.name() == Some("host")).expect("the image `host`");
        let image = host.image_id().expect("its id").to_owned();
        let private = ssh_key::PrivateKey::random(&mut ssh_key::rand_core::OsRng, ssh_key::Algorithm::Ed25519)?;
        let mut key = tempfile::NamedTempFile::new()?;
        key.write_all(private.to_openssh(ssh_key::LineEnding::LF)?.as_bytes())?;
        let public = private.public_key().to_openssh()?;
        let key_name = format!("bench-{}-{:?}", std::process::id(), Instant::now());
        runtime.block_on(client.import_key_pair().key_name(&key_name).public_key_material(Blob::new(public)).send())?;
        let group = client.create_security_group().group_name(&key_name).description("SSH from this host");
        let group = runtime.block_on(group.send())?.group_id.expect("its id");
        let ssh = IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(22)
            .to_port(22)
            .ip_ranges(IpRange::builder().cidr_ip("127.0.0.1/32").build())
            .build();
        let opened = client.authorize_security_group_ingress().group_id(&group).ip_permissions(ssh);
        runtime.block_on(visible(|| opened.clone().send()))?;
        Ok(Self { runtime, client, image, key_name, group, key, way_in: local.way_in(), _local: local })
    }

    /// Launch, first exec, terminate.
    pub fn measure(&self, ready: Ready) -> Result<Duration> {
        let since = Instant::now();
        let id = self.run()?;
        loop {
            let described = self.client.describe_instances().instance_ids(&id);
            let described = self.runtime.block_on(visible(|| described.clone().send()))?;
            let state = described
                .reservations()
                .first()
                .and_then(|r| r.instances().first())
                .and_then(|i| i.state())
                .and_then(|s| s.name());
            if state == Some(&InstanceStateName::Running) {
                break;
            }
            thread::sleep(POLL);
        }
        let session = loop {
            match self.connect(&id) {
                Some(session) => break session,
                None => thread::sleep(POLL),
            }
        };
        if ready == Ready::CloudInitDone {
            exec(&session, "cloud-init status --wait")?;
        }
        exec(&session, "true")?;
        self.terminate(&id)?;
        Ok(since.elapsed())
    }

    /// From RunInstances to the first exec of OpenSSH's client; the end isn't measured.
    pub fn first_ssh(&self) -> Result<Duration> {
        let since = Instant::now();
        let id = self.run()?;
        let proxy = format!("{} connect %h %p", std::env::current_exe()?.display());
        loop {
            let status = super::by_hand::ssh(self.key.path())
                .args(["-o", &format!("ProxyCommand={proxy}"), &format!("ec2-user@{id}"), "true"])
                .stderr(Stdio::null())
                .status()?;
            if status.success() {
                break;
            }
            thread::sleep(POLL);
        }
        let took = since.elapsed();
        self.terminate(&id)?;
        Ok(took)
    }

    /// Takes back what was prepared.
    pub fn clean_up(&self) -> Result {
        self.runtime.block_on(self.client.delete_key_pair().key_name(&self.key_name).send())?;
        // Machines that are shutting down still hold it.
        let delete = self.client.delete_security_group().group_id(&self.group);
        self.runtime.block_on(until_not("DependencyViolation", || delete.clone().send()))?;
        Ok(())
    }

    fn run(&self) -> Result<String> {
        let run = self
            .client
            .run_instances()
            .image_id(&self.image)
            .instance_type(InstanceType::T3Micro)
            .key_name(&self.key_name)
            .security_group_ids(&self.group)
            .min_count(1)
            .max_count(1);
        let launched = self.runtime.block_on(visible(|| run.clone().send()))?;
        Ok(launched.instances().first().and_then(|instance| instance.instance_id()).expect("an instance").to_owned())
    }

    fn terminate(&self, id: &str) -> Result {
        self.runtime.block_on(self.client.terminate_instances().instance_ids(id).send())?;
        Ok(())
    }

    fn connect(&self, id: &str) -> Option<Session> {
        let mut stream = UnixStream::connect(&self.way_in).ok()?;
        writeln!(stream, "{}", ec2_local::endpoint::Client::hello(id, 22)).ok()?;
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).ok()?;
        if answer != *b"ok\n" {
            return None;
        }
        let mut session = Session::new().ok()?;
        session.set_tcp_stream(stream);
        session.handshake().ok()?;
        session.userauth_pubkey_file("ec2-user", None, self.key.path(), None).ok()?;
        Some(session)
    }
}

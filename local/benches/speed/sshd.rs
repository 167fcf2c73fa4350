//! A machine that can be logged in to.

use crate::{Result, client::element, local::Local};
use ssh2::Session;
use std::{
    io::{Read, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// What lets the host in, and logs it in.
pub struct Access {
    group: String,
    key: String,
}

/// The name of the key pair and of the group.
const NAME: &str = "speed";

/// How long a machine may take until it takes its key.
const PATIENCE: Duration = Duration::from_secs(30);

impl Access {
    /// Makes a key pair, and a group that lets the host in.
    pub fn prepare(local: &mut Local) -> Result<Self> {
        let made = local.api.call(&format!("Action=CreateKeyPair&KeyName={NAME}&KeyType=ed25519"))?;
        let key = element(&made, "keyMaterial")?.to_owned();
        let made = local.api.call(&format!("Action=CreateSecurityGroup&GroupName={NAME}&GroupDescription={NAME}"))?;
        let group = element(&made, "groupId")?.to_owned();
        local.api.call(&format!(
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp\
             &IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=65535&IpPermissions.1.IpRanges.1.CidrIp=127.0.0.1%2F32"
        ))?;
        Ok(Self { group, key })
    }

    /// What a launch must say to have it.
    pub fn of_launch(&self) -> String {
        format!("&KeyName={NAME}&SecurityGroupId.1={}", self.group)
    }

    /// Logs in; the key may come after the server does.
    pub fn log_in(&self, local: &Local, machine: &str) -> Result<Session> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut session = Session::new()?;
            session.set_tcp_stream(local.connect(machine, 22)?);
            session.handshake()?;
            match session.userauth_pubkey_memory("ec2-user", None, &self.key, None) {
                Ok(()) => return Ok(session),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// Runs a command to its end; what it said.
pub fn exec(session: &Session, command: &str) -> Result<String> {
    let mut channel = session.channel_session()?;
    channel.exec(command)?;
    let mut said = String::new();
    channel.read_to_string(&mut said)?;
    channel.wait_close()?;
    match channel.exit_status()? {
        0 => Ok(said),
        status => Err(format!("{command}: exit {status}, {said}").into()),
    }
}

/// Copies a program to the machine.
pub fn upload(session: &Session, program: &Path, to: &str) -> Result {
    let program = std::fs::read(program)?;
    let mut channel = session.channel_session()?;
    channel.exec(&format!("cat >{to} && chmod 0755 {to}"))?;
    channel.write_all(&program)?;
    channel.send_eof()?;
    channel.wait_eof()?;
    channel.wait_close()?;
    if channel.exit_status()? == 0 { Ok(()) } else { Err(format!("{to} was not written").into()) }
}

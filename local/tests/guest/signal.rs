//! The `signal` request, which neither OpenSSH's client nor the ssh2 crate can send.

use crate::fixture::{Machine, USER};
use russh::{
    ChannelMsg, Sig, client,
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};
use std::sync::Arc;

struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

#[tokio::test(flavor = "current_thread")]
async fn it_reaches_the_whole_group() {
    let machine = Machine::boot();
    let mut client = client::connect(Arc::default(), machine.address, Trusting).await.unwrap();
    let key = Arc::new(load_secret_key(machine.path("etc/ssh/client"), None).unwrap());
    assert!(client.authenticate_publickey(USER, PrivateKeyWithHashAlg::new(key, None)).await.unwrap().success());
    let mut channel = client.channel_open_session().await.unwrap();
    // The shell outlives the signal, its child doesn't.
    channel
        .exec(true, "trap 'echo told' TERM; sleep 1000 & echo started; wait; wait; echo over; exit 7")
        .await
        .unwrap();
    let (mut output, mut status) = (Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                output.extend_from_slice(&data);
                if output == b"started\n" {
                    channel.signal(Sig::TERM).await.unwrap();
                }
            }
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    assert_eq!((String::from_utf8(output).unwrap().as_str(), status), ("started\ntold\nover\n", Some(7)));
}

//! What goes over the wire: signed requests, and answers as far as they are whole.

use super::request::{Answer, Signed};
use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Where an endpoint is, and what opens its door.
#[derive(Debug, Clone)]
pub struct Door {
    pub address: SocketAddr,
    pub access_key: String,
    pub secret_key: String,
}

/// The endpoint was killed before the answer was whole, or the answer was lost: nobody knows what came of the request.
#[derive(Debug)]
pub struct Unanswered;

impl Door {
    /// Asks, with parameters as `Action=…&…`; percent-encoded where need be.
    pub fn ask(&self, parameters: &str) -> Result<Answer, Unanswered> {
        self.ask_in("us-east-1", parameters)
    }

    pub fn ask_in(&self, region: &str, parameters: &str) -> Result<Answer, Unanswered> {
        let mut signed = Signed::ec2(&format!("{parameters}&Version=2016-11-15"));
        (signed.key, signed.secret) = (self.access_key.clone(), self.secret_key.clone());
        signed.region = region.to_owned();
        let mut stream = TcpStream::connect(self.address).map_err(|_| Unanswered)?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(&signed.bytes(self.address, true)).map_err(|_| Unanswered)?;
        let answer = Answer::read(stream);
        let is_whole = answer.body.trim_end().ends_with("Response>");
        if is_whole { Ok(answer) } else { Err(Unanswered) }
    }

    /// Asks an endpoint that isn't going to be killed.
    #[track_caller]
    pub fn ok(&self, parameters: &str) -> Answer {
        let answer = self.ask(parameters).unwrap();
        assert_eq!(answer.status, 200, "{parameters}: {}", answer.body);
        answer
    }
}

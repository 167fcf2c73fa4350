//! What goes over the wire: signed requests, and answers as far as they are whole.

#[allow(dead_code, reason = "the tests of the wire need more of it")]
#[path = "../wire/fixture.rs"]
mod fixture;

use fixture::{Answer, Signed};
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

/// The endpoint was killed before the answer was whole: nobody knows what came of the request.
#[derive(Debug)]
pub struct Unanswered;

impl Door {
    /// Asks, with parameters as `Action=…&…`; percent-encoded where need be.
    pub fn ask(&self, parameters: &str) -> Result<Reply, Unanswered> {
        self.ask_in("us-east-1", parameters)
    }

    pub fn ask_in(&self, region: &str, parameters: &str) -> Result<Reply, Unanswered> {
        let mut signed = Signed::ec2(&format!("{parameters}&Version=2016-11-15"));
        (signed.key, signed.secret) = (self.access_key.clone(), self.secret_key.clone());
        signed.region = region.to_owned();
        let mut stream = TcpStream::connect(self.address).map_err(|_| Unanswered)?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(&signed.bytes(self.address, true)).map_err(|_| Unanswered)?;
        let Answer { status, body, .. } = Answer::read(stream);
        let is_whole = body.trim_end().ends_with("Response>");
        if is_whole { Ok(Reply { status, body }) } else { Err(Unanswered) }
    }

    /// Asks an endpoint that isn't going to be killed.
    #[track_caller]
    pub fn ok(&self, parameters: &str) -> Reply {
        let reply = self.ask(parameters).unwrap();
        assert_eq!(reply.status, 200, "{parameters}: {}", reply.body);
        reply
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Reply {
    /// The texts of all elements of a name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
        let texts = self.body.split(&begin).skip(1);
        texts.map(|rest| rest.split_once(&end).unwrap().0.to_owned()).collect()
    }

    /// The text of the first element of a name.
    #[track_caller]
    pub fn one(&self, name: &str) -> String {
        self.all(name).into_iter().next().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

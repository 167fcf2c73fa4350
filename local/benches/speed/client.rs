//! A client of the Query API: signs, sends, keeps its connection, reads the answer. The same for every server.

use crate::Result;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};
use time::{OffsetDateTime, macros::format_description};

const VERSION: &str = "2016-11-15";

/// Who is asked, and by whom.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its host and port.
    pub address: String,
    /// The access key, and its secret.
    pub key: (String, String),
}

/// A connection to a server, that is made anew where the server has closed it.
pub struct Client {
    server: Server,
    connection: Option<Connection>,
}

type Connection = BufReader<TcpStream>;

impl Server {
    pub fn connect(&self) -> Client {
        Client { server: self.clone(), connection: None }
    }

    fn open(&self) -> Result<Connection> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        Ok(BufReader::with_capacity(64 * 1024, stream))
    }

    /// The request for a query, signed.
    fn request(&self, query: &str) -> Result<Vec<u8>> {
        let body = format!("{query}&Version={VERSION}");
        let now = OffsetDateTime::now_utc();
        let time = now.format(format_description!("[year][month][day]T[hour][minute][second]Z"))?;
        let date = time.get(..8).ok_or("no date")?;
        let Self { address, key: (key, secret) } = self;
        let hash = |text: &str| hex::encode(Sha256::digest(text));
        let canonical = format!("POST\n/\n\nhost:{address}\nx-amz-date:{time}\n\nhost;x-amz-date\n{}", hash(&body));
        let scope = [date, "us-east-1", "ec2", "aws4_request"];
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{}\n{}", scope.join("/"), hash(&canonical));
        let mut signing = format!("AWS4{secret}").into_bytes();
        for part in scope {
            signing = keyed(&signing, part)?;
        }
        let signature = hex::encode(keyed(&signing, &text)?);
        let scope = scope.join("/");
        Ok(format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Date: {time}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={key}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}\r\n\
             Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes())
    }
}

fn keyed(key: &[u8], text: &str) -> Result<Vec<u8>> {
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key)?;
    Ok(mac.chain_update(text).finalize().into_bytes().to_vec())
}

impl Client {
    /// The document that answers a query.
    pub fn call(&mut self, query: &str) -> Result<String> {
        let request = self.server.request(query)?;
        let kept = self.connection.take();
        let (mut connection, head) = match kept.map(|connection| ask(connection, &request)) {
            Some(Ok(asked)) => asked,
            // The server has closed it meanwhile, as it does with one that was idle for long.
            Some(Err(_)) | None => ask(self.server.open()?, &request)?,
        };
        let mut body = Vec::new();
        match head.length {
            Some(length) => {
                body.resize(length, 0);
                connection.read_exact(&mut body)?;
            }
            None => drop(connection.read_to_end(&mut body)?),
        }
        if head.stays && head.length.is_some() {
            self.connection = Some(connection);
        }
        let body = String::from_utf8(body)?;
        if head.status == 200 { Ok(body) } else { Err(format!("{query}: {} {body}", head.status).into()) }
    }
}

/// Sends a request, and reads the answer's head.
fn ask(mut connection: Connection, request: &[u8]) -> Result<(Connection, Head)> {
    connection.get_mut().write_all(request)?;
    let head = Head::read(&mut connection)?;
    Ok((connection, head))
}

/// What an answer's head says.
struct Head {
    status: u16,
    length: Option<usize>,
    stays: bool,
}

impl Head {
    fn read(connection: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("the server hung up")?;
        let mut head = Self { status, length: None, stays: line.starts_with("HTTP/1.1") };
        loop {
            line.clear();
            connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(head) };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Some(value.parse()?);
            } else if name.eq_ignore_ascii_case("connection") {
                head.stays = !value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err("the answer comes in chunks, which this client doesn't read".into());
            }
        }
    }
}

/// What stands in every element of a name.
pub fn elements<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    document.split(open.as_str()).skip(1).filter_map(|rest| Some(rest.split_once(close.as_str())?.0)).collect()
}

/// What stands in the first element of a name.
pub fn element<'a>(document: &'a str, name: &str) -> Result<&'a str> {
    elements(document, name).first().copied().ok_or_else(|| format!("no <{name}> in {document}").into())
}

//! Requests that are signed by hand, and what comes back.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
};
use time::{OffsetDateTime, macros::format_description};

/// What opens the door of an endpoint with a stub.
pub const KEY: &str = "AKIDLOCAL";
pub const SECRET: &str = "a secret/with+odd=characters";

/// A request that is going to be signed; every part can be tampered with.
pub struct Signed {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Headers that are sent, but not signed.
    pub unsigned: Vec<(String, String)>,
    pub body: String,
    pub key: String,
    pub secret: String,
    pub time: OffsetDateTime,
    pub region: String,
    pub service: String,
}

impl Signed {
    pub fn ec2(body: &str) -> Self {
        Self {
            method: "POST",
            target: "/".to_owned(),
            headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned())],
            unsigned: Vec::new(),
            body: body.to_owned(),
            key: KEY.to_owned(),
            secret: SECRET.to_owned(),
            time: OffsetDateTime::now_utc(),
            region: "us-east-1".to_owned(),
            service: "ec2".to_owned(),
        }
    }

    pub fn sts(body: &str) -> Self {
        Self { service: "sts".to_owned(), ..Self::ec2(body) }
    }

    /// A GET whose query is sorted and escaped already, as the canonical one is.
    pub fn get(query: &str) -> Self {
        Self { method: "GET", target: format!("/?{query}"), headers: Vec::new(), ..Self::ec2("") }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request as bytes, written after AWS's description of the signature, not after our verification.
    pub fn bytes(&self, address: SocketAddr, close: bool) -> Vec<u8> {
        let mut headers = self.headers.clone();
        if !headers.iter().any(|(name, _)| name == "host") {
            headers.push(("host".to_owned(), address.to_string()));
        }
        headers.push(("x-amz-date".to_owned(), self.stamp()));
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let signed_headers = names.join(";");
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let signature = self.signature(path, query, &headers, &signed_headers);
        let mut request = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in headers.iter().chain(&self.unsigned) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed_headers}, Signature={signature}\r\n",
            self.key,
            self.scope()
        ));
        if close {
            request.push_str("Connection: close\r\n");
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body));
        request.into_bytes()
    }

    /// The query of a presigned URL, likewise.
    pub fn presigned(&self, address: SocketAddr, seconds: u32) -> String {
        let (path, query) = self.target.split_once('?').unwrap();
        let scope = self.scope().replace('/', "%2F");
        let query = format!(
            "{query}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{scope}&X-Amz-Date={}&X-Amz-Expires={seconds}\
             &X-Amz-SignedHeaders=host",
            self.key,
            self.stamp()
        );
        let host = [("host".to_owned(), address.to_string())];
        let mut sorted: Vec<&str> = query.split('&').collect();
        sorted.sort();
        let signature = self.signature(path, &sorted.join("&"), &host, "host");
        format!("{query}&X-Amz-Signature={signature}")
    }

    fn stamp(&self) -> String {
        self.time.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap()
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", &self.stamp()[..8], self.region, self.service)
    }

    fn signature(&self, path: &str, query: &str, headers: &[(String, String)], signed_headers: &str) -> String {
        let canonical_headers: String =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let hash = |text: &str| hex::encode(Sha256::digest(text));
        let canonical = [self.method, path, query, &canonical_headers, signed_headers, &hash(&self.body)].join("\n");
        let scope = self.scope();
        let text = ["AWS4-HMAC-SHA256", &self.stamp(), &scope, &hash(&canonical)].join("\n");
        let mac = |key: &[u8], text: &str| {
            let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap().chain_update(text);
            mac.finalize().into_bytes().to_vec()
        };
        let start = format!("AWS4{}", self.secret).into_bytes();
        let key = scope.split('/').fold(start, |key, part| mac(&key, part));
        hex::encode(mac(&key, &text))
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Reads until the other side closes; an answer of nothing has status 0.
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer is fine, what was read counts; but a side that never closes is not.
        if let Err(error) = stream.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}", String::from_utf8_lossy(&bytes));
        }
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// The text of the first element of this name.
    #[track_caller]
    pub fn element(&self, name: &str) -> &str {
        let (_, rest) = self.body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        rest.split_once(&format!("</{name}>")).unwrap().0
    }

    /// The same, to keep.
    #[track_caller]
    pub fn one(&self, name: &str) -> String {
        self.element(name).to_owned()
    }

    /// The texts of all elements of a name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
        let texts = self.body.split(&begin).skip(1);
        texts.map(|rest| rest.split_once(&end).unwrap().0.to_owned()).collect()
    }

    /// Asserts that this is an error with its id, of a status, a code and a message.
    #[track_caller]
    pub fn is_error(&self, status: u16, code: &str, message: &str) {
        assert_eq!((self.status, self.element("Code"), self.element("Message")), (status, code, message), "{self:?}");
        assert_eq!(self.element("RequestID").len(), 36, "{self:?}");
    }
}

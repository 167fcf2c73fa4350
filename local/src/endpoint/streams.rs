//! Standard input and output, connected to a machine: what OpenSSH's `ProxyCommand` wants.

use super::{Client, EndpointError, connect};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
    thread,
};

/// Connects this process's standard input and output to a TCP port of a machine, by instance id, address or DNS name, and
/// returns when the machine has closed the connection.
///
/// # Errors
///
/// No endpoint runs, there is no such machine, or nothing answers on the port.
pub fn connect_standard_streams(machine: &str, port: u16) -> Result<(), EndpointError> {
    let mut stream = connect()?.reach(machine, port)?;
    let io_failed = |e: io::Error| failed(machine, port, e.to_string());
    let mut up = stream.try_clone().map_err(io_failed)?;
    thread::spawn(move || {
        let _ = copy(&mut io::stdin().lock(), &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    // Its end is the end of it all; the one that closes its side first may find the other gone.
    let _ = copy(&mut stream, &mut io::stdout().lock());
    Ok(())
}

impl Client {
    /// Connects to a TCP port of a machine, by instance id, address or DNS name. A machine that is just being started is waited
    /// for, but not a server of it that doesn't listen yet.
    ///
    /// # Errors
    ///
    /// There is no such machine, or nothing answers on the port.
    pub fn reach(&self, machine: &str, port: u16) -> Result<UnixStream, EndpointError> {
        let io_failed = |e: io::Error| failed(machine, port, e.to_string());
        let mut stream = UnixStream::connect(self.way_in()).map_err(io_failed)?;
        widen(&stream);
        writeln!(stream, "{}", Self::hello(machine, port)).map_err(io_failed)?;
        match read_line(&mut stream).map_err(io_failed)?.as_str() {
            "ok" => Ok(stream),
            answer => {
                let reason = ["error ", "never "].iter().find_map(|word| answer.strip_prefix(word));
                Err(failed(machine, port, reason.unwrap_or(answer).to_owned()))
            }
        }
    }
}

fn failed(machine: &str, port: u16, reason: String) -> EndpointError {
    EndpointError::Connect { machine: machine.to_owned(), port, reason }
}

/// Lets as much be under way from this end of a stream as the system allows (`net.core.wmem_max`): then the switch and its
/// clients wait less for each other. Without, it is only slower.
pub(super) fn widen(stream: impl AsFd) {
    const MOST: usize = 4 << 20;
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(stream, MOST);
}

/// Byte by byte: what follows the line is the machine's.
fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the endpoint hung up")),
            _ if byte == *b"\n" => return Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => line.extend(byte),
        }
    }
}

/// Copies what comes as it comes.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => {
                to.write_all(&buffer[..count])?;
                to.flush()?;
            }
        }
    }
}

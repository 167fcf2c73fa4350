//! Standard input and output, connected to a machine: what OpenSSH's `ProxyCommand` wants.

use super::{Client, EndpointError, connect};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    thread,
};

/// Connects this process's standard input and output to a TCP port of a machine, by instance id, address or DNS name, and
/// returns when the machine has closed the connection.
///
/// # Errors
///
/// No endpoint runs, there is no such machine, or nothing answers on the port.
pub fn connect_standard_streams(machine: &str, port: u16) -> Result<(), EndpointError> {
    let client = connect()?;
    let failed = |reason: String| EndpointError::Connect { machine: machine.to_owned(), port, reason };
    let io_failed = |e: io::Error| failed(e.to_string());
    let mut stream = UnixStream::connect(client.way_in()).map_err(io_failed)?;
    writeln!(stream, "{}", Client::hello(machine, port)).map_err(io_failed)?;
    let answer = read_line(&mut stream).map_err(io_failed)?;
    if answer != "ok" {
        return Err(failed(answer.strip_prefix("error ").unwrap_or(&answer).to_owned()));
    }
    let mut up = stream.try_clone().map_err(io_failed)?;
    thread::spawn(move || {
        let _ = copy(&mut io::stdin().lock(), &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    // Its end is the end of it all; whoever closes their side first may find the other gone.
    let _ = copy(&mut stream, &mut io::stdout().lock());
    Ok(())
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

//! A state directory whose path is longer than a socket's address can be.

use crate::{
    endpoint::PATIENCE,
    place::{Place, launch},
};
use ec2_local::endpoint::{Client, Settings, ensure};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What its SSH server says first, by a command that connects to it; asked again until it is there.
fn greeting(mut command: Command) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let _ = process.kill();
        process.wait().unwrap();
        if line.starts_with("SSH-2.0-") || Instant::now() > deadline {
            return line;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_state_directory_may_have_a_long_path() {
    for length in [95, 200] {
        let place = Place::deep(&"x".repeat(length));
        let serving = place.serve();
        let instance = launch(&serving, "host", "");
        serving.until_state(&instance, "running");
        serving.let_in_ssh();
        let connect = place.command(&["connect", &instance]);
        assert!(greeting(connect).starts_with("SSH-2.0-"), "{length}");
        // What it tells OpenSSH, which puts the name and the port in.
        let config = place.says(&["ssh-config"]);
        let (_, proxy) = config.split_once("ProxyCommand ").unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {}", proxy.trim().replace("%h", &instance).replace("%p", "22")));
        assert!(greeting(command).starts_with("SSH-2.0-"), "{proxy}");
        serving.terminate(&[&instance]);
        serving.end();
        assert!(!fs::exists(place.state().join("run")).unwrap());
    }
}

/// Tells a client of the library's where the state is.
const CLIENT: &str = "TEST_CLIENT_OF_LONG_PATH";

/// A client that starts an endpoint, and connects to the machine that it is told, each way that the library has.
pub fn play_client() {
    let Some(state) = std::env::var_os(CLIENT) else { return };
    // SAFETY: nothing else runs before `main`.
    unsafe { std::env::set_var("EC2_LOCAL_STATE_DIR", state) };
    let client = ensure(&Settings::default()).unwrap();
    // Others that are looked up, and given up, are of no account.
    drop(ensure(&Settings::default()).unwrap());
    println!("{}", client.url());
    let mut machine = String::new();
    std::io::stdin().read_line(&mut machine).unwrap();
    let machine = machine.trim();
    let by_socket = || {
        let mut stream = UnixStream::connect(client.way_in()).map_err(|error| error.to_string())?;
        writeln!(stream, "{}", Client::hello(machine, 22)).unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).map_err(|error| error.to_string())?;
        Ok::<_, String>(String::from_utf8_lossy(&answer).into_owned())
    };
    let by_library = || {
        let mut stream = client.reach(machine, 22).map_err(|error| error.to_string())?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).map_err(|error| error.to_string())?;
        Ok::<_, String>(String::from_utf8_lossy(&answer).into_owned())
    };
    let by_runtime = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let connected = runtime.block_on(tokio::net::UnixStream::connect(client.way_in()));
        connected.map(drop).map_err(|error| error.to_string())
    };
    println!("{:?} {:?} {:?}", by_socket(), by_library(), by_runtime());
    std::process::exit(0)
}

/// As a test does that starts the local EC2 where none runs.
#[test]
fn a_client_of_the_library_reaches_machines_whatever_the_paths_length() {
    for length in [20, 60, 95, 200] {
        let place = Place::deep(&"x".repeat(length));
        let mut client = Command::new(std::env::current_exe().unwrap());
        client.env(CLIENT, place.state()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = client.spawn().unwrap();
        let mut said = BufReader::new(client.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let serving = place.door(line.trim());
        let instance = launch(&serving, "host", "");
        serving.until_state(&instance, "running");
        serving.let_in_ssh();
        serving.until_console(&instance, "END SSH HOST KEY KEYS");
        writeln!(client.stdin.take().unwrap(), "{instance}").unwrap();
        line.clear();
        said.read_line(&mut line).unwrap();
        serving.terminate(&[&instance]);
        assert!(client.wait().unwrap().success());
        assert_eq!(line.trim(), r#"Ok("ok\nSSH-") Ok("SSH-") Ok(())"#, "{length}");
    }
}

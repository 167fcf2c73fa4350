//! Our own overhead beside bare ssh2. It asserts nothing about times: run it with `--ignored --nocapture`.

use super::sshd::{Sshd, soon, user};
use crate::ssh::Session;
use std::{io::Read as _, net::TcpStream, time::Instant};

const ROUNDS: usize = 100;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn bare_session(sshd: &Sshd) -> ssh2::Session {
    let stream = TcpStream::connect(("127.0.0.1", sshd.port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut session = ssh2::Session::new().unwrap();
    session.set_tcp_stream(stream);
    session.handshake().unwrap();
    let key = std::fs::read_to_string(sshd.directory.path().join("client")).unwrap();
    session.userauth_pubkey_memory(&user(), None, &key, None).unwrap();
    session
}

fn bare_exec(session: &ssh2::Session, line: &str) -> usize {
    let mut channel = session.channel_session().unwrap();
    channel.exec(line).unwrap();
    let mut bytes = Vec::new();
    channel.read_to_end(&mut bytes).unwrap();
    channel.close().unwrap();
    channel.wait_close().unwrap();
    assert_eq!(channel.exit_status().unwrap(), 0);
    bytes.len()
}

#[tokio::test]
#[ignore = "a measurement"]
async fn overhead_beside_bare_ssh2() {
    let Some(sshd) = Sshd::start() else { return };
    let session = sshd.session().await;
    let bare = bare_session(&sshd);
    for line in ["true", "uname -r"] {
        let posix = format!("exec sh -c '{line}'");
        let (mut ours, mut same, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            session.exec(line).await.unwrap();
            ours.push(begin.elapsed().as_secs_f64() * 1e3);
            let begin = Instant::now();
            bare_exec(&bare, &posix);
            same.push(begin.elapsed().as_secs_f64() * 1e3);
            let begin = Instant::now();
            bare_exec(&bare, line);
            plain.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        println!(
            "exec {line:10} ours {:.2} ms, bare in sh {:.2} ms, bare {:.2} ms (medians)",
            median(ours),
            median(same),
            median(plain)
        );
    }
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let begin = Instant::now();
        drop(Session::connect(sshd.route(), sshd.login(), soon()).await.unwrap());
        ours.push(begin.elapsed().as_secs_f64() * 1e3);
        let begin = Instant::now();
        drop(bare_session(&sshd));
        plain.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    println!("connect         ours {:.1} ms, bare {:.1} ms (medians)", median(ours), median(plain));
    let line = "head -c 67108864 /dev/zero";
    let begin = Instant::now();
    assert_eq!(session.exec(line).await.unwrap().stdout.len(), 64 << 20);
    let ours = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    assert_eq!(bare_exec(&bare, line), 64 << 20);
    println!("64 MiB          ours {:.0} MiB/s, bare {:.0} MiB/s", 64.0 / ours, 64.0 / begin.elapsed().as_secs_f64());
}

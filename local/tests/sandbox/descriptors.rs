//! Descriptors on their way through sockets, which the kernel counts by the host's user.

use crate::fixture::{Disk, FIRST_BOOT, JOBS, Running, specification};
use ec2_local::machine::sandbox::Sandbox;

/// Sends descriptors that nobody receives, until the kernel refuses more; says how many, and the error's number.
const SEND: &str = r#"
    open my $file, "<", "/dev/null"; my $descriptors = pack "l*", (fileno $file) x 252;
    my $control = pack("Qll", 16 + length $descriptors, 1, 1) . $descriptors;
    my $byte = "x"; my $vector = pack "PQ", $byte, 1;
    my $message = pack "Qlx4PQPQlx4", 0, 0, $vector, 1, $control, length $control, 0;
    my ($sent, $error, @pairs) = (0, 0);
    while ($error == 0) {
        socketpair(my $one, my $other, 1, 1, 0) or die; push @pairs, $one, $other;
        # Without waiting until there is room; when there is none, the next pair has some.
        $sent += 252 while syscall(SENDMSG, fileno $one, $message, 0x40) >= 0;
        $error = $! == 11 ? 0 : $! + 0;
    }
    $| = 1; print "sent $sent $error\n"; sleep 1000;
"#;

#[test]
pub fn lets_other_machines_of_its_user_start() {
    // So that what else runs here meanwhile can pass some, too.
    ec2_local::machine::allow_many_descriptors().unwrap();
    let (disk, other) = (Disk::new(), Disk::new());
    let (plug, _plugged) = std::sync::mpsc::channel();
    let hypervisor = Sandbox::with_plug(move |nic, frames| Box::new(plug.send((nic, frames))));
    let start = |name: &str, disk: &Disk| {
        let mut specification = specification(&disk.path(), FIRST_BOOT);
        specification.machine.instance = name.to_owned();
        Running::until_ready_on(&hypervisor.clone().program(["/bin/sh", "-c", JOBS]), specification)
    };
    let machine = start("i-sends", &disk);
    let send = SEND.replace("SENDMSG", if cfg!(target_arch = "x86_64") { "46" } else { "211" });
    let answer = machine.run(&format!(
        "cat >send <<'END'\n{send}END\n(ulimit -n $(ulimit -Hn); exec perl send) >sent 2>&1 & echo $! >sender
         until grep . sent 2>/dev/null; do sleep 0.01; done"
    ));
    assert!(answer.starts_with("sent ") && answer.contains(&format!(" {}\n", libc::ETOOMANYREFS)), "{answer}");
    let neighbour = start("i-starts", &other);
    assert_eq!(machine.run("kill $(cat sender)"), "exit 0\n");
    neighbour.end();
    machine.end();
    disk.remove();
    other.remove();
}

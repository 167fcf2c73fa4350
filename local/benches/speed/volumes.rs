//! What a machine writes to a volume, beside the same written to a file on the host's disk.

use crate::{
    Result, Scope,
    client::element,
    local::Local,
    median,
    sshd::{self, Access},
};
use std::{
    env,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(scope: Scope) -> Result {
    let (mib, rounds) = scope.pick((512, 7), (8, 1));
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
        println!("skipped: volumes are for root, with loop devices");
        return Ok(());
    }
    let mut local = Local::start_at_once()?;
    let access = Access::prepare(&mut local)?;
    let image = local.image("host")?;
    let volume = "&BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.Ebs.VolumeSize=8";
    let machine = local.launch(&image, "us-east-1a", 1, &format!("{}{volume}", access.of_launch()))?.remove(0);
    let state = format!("Action=DescribeInstances&InstanceId.1={machine}");
    let deadline = Instant::now() + PATIENCE;
    while element(&local.api.call(&state)?, "name")? != "running" && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    let session = access.log_in(&local, &machine)?;
    sshd::exec(&session, "sudo sh -c 'mkfs.ext4 -q /dev/sdf && mount /dev/sdf /mnt'")?;
    // Beside the volume's own file.
    let place = env::var_os("EC2_LOCAL_STATE_DIR").ok_or("it has no place of its own")?;
    let file = Path::new(&place).with_file_name("file");
    let mut times = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    // Each time to blocks that neither has had before, by turns, and once for nothing.
    for round in 0..=rounds {
        let on_volume = sshd::exec(&session, &format!("sudo sh -c '{}'", write(&format!("/mnt/{round}"), mib)))?;
        let on_file = Command::new("sh").arg("-c").arg(write(&file.display().to_string(), mib)).output()?;
        let taken = [parse(&on_volume)?, parse(&String::from_utf8(on_file.stdout)?)?];
        if round == 0 && scope == Scope::Full {
            continue;
        }
        ratios.push(taken[0] / taken[1]);
        times.iter_mut().zip(taken).for_each(|(times, taken)| times.push(taken));
    }
    let [volume, file] = times.map(|times| f64::from(mib) / median(times));
    println!("a volume takes {volume:.0} MiB/s of {mib} MiB with fsync, a file on the host {file:.0} MiB/s");
    println!("ratio volume/file {:.2}", median(ratios));
    Ok(())
}

/// Writes so much to a new file, and says how many nanoseconds that took.
fn write(path: &str, mib: u32) -> String {
    format!(
        "rm -f {path}; sync -f $(dirname {path}); a=$(date +%s%N); \
         dd if=/dev/zero of={path} bs=1M count={mib} conv=fsync status=none; b=$(date +%s%N); echo $((b - a))"
    )
}

fn parse(said: &str) -> Result<f64> {
    Ok(said.trim().parse::<f64>()? / 1e9)
}

//! Root volumes that outlive their instances, over the end of the endpoint, too.

use crate::{
    endpoint::{Server, State, eventually},
    take_over::rename,
};
use rustix::fs::{SeekFrom, seek};
use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// What an instance's root volume has written: other than in the request, so it is found where the machine has written it alone.
const BYTES: &str = "bytes-of-42";
/// `#!/bin/sh`, and then `echo bytes-of-$((6 * 7)) >/written; sync; echo written`, as base64.
const SCRIPT: &str = "IyEvYmluL3NoCmVjaG8gYnl0ZXMtb2YtJCgoNiAqIDcpKSA%2BL3dyaXR0ZW47IHN5bmM7IGVjaG8gd3JpdHRlbgo%3D";
const KEPT: &str = "&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1&BlockDeviceMapping.1.Ebs.DeleteOnTermination=false";

/// An instance that has written to its root volume, and the volume.
fn written(server: &Server, more: &str) -> (String, String) {
    let instance = server.launch("host", 1, &format!("&UserData={SCRIPT}{more}")).remove(0);
    let console = format!("Action=GetConsoleOutput&Latest=true&InstanceId={instance}");
    eventually("it has written", || {
        let output = server.door.ok(&console).all("output");
        output.first().is_some_and(|output| decoded(output).contains("written"))
    });
    eventually("it runs", || server.describe(&instance).body.contains("<name>running</name>"));
    let volume = server.volume_of(&instance);
    (instance, volume)
}

fn decoded(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    String::from_utf8_lossy(&STANDARD.decode(text.replace("&#xA;", "").replace('\n', "")).unwrap()).into_owned()
}

/// The disks below the state directory on which the bytes are.
fn disks_with_bytes(state: &State) -> Vec<PathBuf> {
    let places = state.runs().into_iter().flat_map(|run| ["disks", "machines"].map(|place| run.join(place)));
    let disks = places.flat_map(|place| fs::read_dir(place).into_iter().flatten()).map(|disk| disk.unwrap().path());
    disks.filter(|disk| has_bytes(&disk.join("volume")) || has_bytes(&disk.join("files/root/written"))).collect()
}

/// Whether the bytes are in a file, which may have holes of many gigabytes.
fn has_bytes(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let mut at = 0;
    while let Ok(begin) = seek(&file, SeekFrom::Data(at)) {
        let end = seek(&file, SeekFrom::Hole(begin)).unwrap();
        let mut data = vec![0; usize::try_from(end - begin).unwrap()];
        file.seek(io::SeekFrom::Start(begin)).unwrap();
        file.read_exact(&mut data).unwrap();
        if data.windows(BYTES.len()).any(|window| window == BYTES.as_bytes()) {
            return true;
        }
        at = end;
    }
    false
}

fn end_instance(server: &Server, action: &str, instance: &str, state: &str) {
    server.door.ok(&format!("Action={action}&InstanceId.1={instance}"));
    eventually(state, || server.describe(instance).body.contains(&format!("<name>{state}</name>")));
}

fn state_of(server: &Server, volume: &str) -> String {
    let reply = server.door.ok(&format!("Action=DescribeVolumes&VolumeId.1={volume}"));
    reply.all("status").first().cloned().unwrap_or_default()
}

#[test]
fn a_kept_root_volume_keeps_its_bytes_until_it_is_deleted() {
    let state = State::new();
    let server = Server::start(&state);
    let (kept, volume) = written(&server, KEPT);
    let (other, _) = written(&server, "");
    assert_eq!(disks_with_bytes(&state).len(), 2);
    end_instance(&server, "TerminateInstances", &kept, "terminated");
    end_instance(&server, "TerminateInstances", &other, "terminated");
    eventually("the disk of the other's volume is gone", || disks_with_bytes(&state).len() < 2);
    let disks = disks_with_bytes(&state);
    assert_eq!(disks.len(), 1, "the bytes of the volume are lost");
    assert!(disks[0].ends_with(&volume), "{disks:?}");
    assert_eq!(state_of(&server, &volume), "available");
    // The next endpoint finds it by its volume.
    let mut server = server;
    for _ in 0..2 {
        server.kill();
        server = Server::start(&state);
        assert_eq!((disks_with_bytes(&state), state_of(&server, &volume)), (disks.clone(), "available".into()));
    }
    server.door.ok(&format!("Action=DeleteVolume&VolumeId={volume}"));
    eventually("its disk is gone", || !disks[0].exists());
    server.end();
    state.assert_clean();
}

#[test]
fn kept_volumes_end_with_their_account() {
    let state = State::new();
    let server = Server::start(&state);
    let (kept, _) = written(&server, KEPT);
    end_instance(&server, "TerminateInstances", &kept, "terminated");
    server.end();
    state.assert_clean();
}

/// As where it is killed in between: what is written down is that the one volume is gone, and the other is not.
#[test]
fn an_endpoint_that_is_killed_before_it_discards_a_disk_leaves_that_to_the_next() {
    let state = State::new();
    let server = Server::start(&state);
    let instances = [written(&server, KEPT), written(&server, "")];
    let disks = disks_with_bytes(&state);
    assert_eq!(disks.len(), 2);
    let aside = |disk: &Path| state.beside().join(disk.file_name().unwrap());
    for (instance, _) in &instances {
        end_instance(&server, "StopInstances", instance, "stopped");
    }
    // So nothing is there to be discarded.
    disks.iter().for_each(|disk| fs::rename(disk, aside(disk)).unwrap());
    for (instance, _) in &instances {
        end_instance(&server, "TerminateInstances", instance, "terminated");
    }
    server.kill();
    disks.iter().for_each(|disk| fs::rename(aside(disk), disk).unwrap());
    let server = Server::start(&state);
    let left = disks_with_bytes(&state);
    assert!(matches!(&left[..], [disk] if disk.ends_with(&instances[0].1)), "{left:?}");
    server.end();
    state.assert_clean();
}

/// They have kept disks by instances, whose ends no disk outlives.
#[test]
fn an_earlier_versions_disks_become_their_volumes() {
    let state = State::new();
    let server = Server::start(&state);
    let instances = [written(&server, KEPT), written(&server, ""), written(&server, "")];
    end_instance(&server, "StopInstances", &instances[1].0, "stopped");
    server.kill();
    let run = rename(&state, "1", "0.0.9-older");
    let by_instance = |run: &Path| {
        fs::rename(run.join("disks"), run.join("machines")).unwrap();
        for (instance, volume) in &instances {
            fs::rename(run.join("machines").join(volume), run.join("machines").join(instance)).unwrap();
        }
    };
    by_instance(&run);
    // Of an instance whose end was written down, and not of a disk of it.
    let gone = run.join("machines/i-0123456789abcdef0");
    fs::create_dir_all(gone.join("files")).unwrap();
    symlink("a machine's disk", gone.join(".ec2-local")).unwrap();
    let server = Server::start(&state);
    assert!(server.opening.contains("0.0.9-older that was killed: 2 instances boot again"), "{}", server.opening);
    eventually("two run", || server.count("running") == 2);
    let [run] = &state.runs()[..] else { panic!("{:?}", state.runs()) };
    assert!(!run.join("machines").exists());
    let mut disks = disks_with_bytes(&state);
    disks.sort();
    let mut expected = instances.each_ref().map(|(_, volume)| run.join("disks").join(volume));
    expected.sort();
    assert_eq!(disks, expected);
    end_instance(&server, "StartInstances", &instances[1].0, "running");
    end_instance(&server, "TerminateInstances", &instances[0].0, "terminated");
    end_instance(&server, "TerminateInstances", &instances[1].0, "terminated");
    eventually("one disk is gone", || disks_with_bytes(&state).len() == 2);
    server.kill();

    // Two disks of one volume are for somebody to see.
    let (instance, volume) = &instances[2];
    fs::create_dir_all(run.join("machines").join(instance)).unwrap();
    let said = state.refusal();
    assert!(said.contains(&format!("the disk of {volume} is there twice, as ")), "{said}");
    assert_eq!(disks_with_bytes(&state).len(), 2);
    fs::remove_dir(run.join("machines").join(instance)).unwrap();
    let server = Server::start(&state);
    eventually("it runs", || server.count("running") == 1);
    server.end();
    state.assert_clean();
}

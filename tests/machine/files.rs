//! Files and directories, there and back.

use ec2_harness::prelude::*;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[ec2_test]
async fn a_file_keeps_its_bytes_and_its_mode(vm: Instance) -> Result {
    let directory = tempfile::tempdir()?;
    let (there, back) = (directory.path().join("it's a \"file\""), directory.path().join("-back"));
    let bytes: Vec<u8> = (0..2 << 20).map(|n: u32| (n % 253) as u8).collect();
    write(&there, &bytes, 0o750);
    vm.push(&there, "it's here").await?;
    vm.assert(file("/home/ec2-user/it's here").mode(0o750)).await?;
    vm.pull("it's here", &back).await?;
    assert_eq!((fs::read(&back)?, mode(&back)), (bytes, 0o750));
    vm.push(&back, "/tmp/private").mode(0o600).await?;
    vm.assert(file("/tmp/private").mode(0o600)).await?;
    write(&there, b"", 0o644);
    vm.push(&there, "/tmp/private").await?;
    assert_eq!(vm.exec("wc -c </tmp/private").await?.stdout.trim(), "0");
    Ok(())
}

#[ec2_test]
fn as_root_too(vm: Instance) -> Result {
    let directory = tempfile::tempdir()?;
    let (there, back) = (directory.path().join("there"), directory.path().join("back"));
    write(&there, b"secret", 0o400);
    // Where the host gives a machine a single user id, its login user is root, too.
    let is_root = vm.exec("id -u").wait()?.stdout.trim() == "0";
    if !is_root {
        assert_eq!(vm.push(&there, "/etc/secret").wait().unwrap_err().kind(), ErrorKind::Transfer);
    }
    vm.push(&there, "/etc/secret").sudo().wait()?;
    vm.assert(file("/etc/secret").mode(0o400).owner("root")).wait()?;
    if !is_root {
        assert_eq!(vm.pull("/etc/secret", &back).wait().unwrap_err().kind(), ErrorKind::Transfer);
        assert!(!back.exists());
    }
    vm.pull("/etc/secret", &back).sudo().wait()?;
    assert_eq!((fs::read(&back)?, mode(&back)), (b"secret".to_vec(), 0o400));
    Ok(())
}

#[ec2_test]
async fn a_directory_with_all_that_is_in_it(vm: Instance) -> Result {
    let directory = tempfile::tempdir()?;
    let (there, back) = (directory.path().join("there"), directory.path().join("back"));
    fs::create_dir_all(there.join("deep/er"))?;
    fs::create_dir(there.join("empty"))?;
    write(&there.join("run me"), b"#!/bin/sh\necho ran\n", 0o755);
    write(&there.join("deep/er/data"), &[0, 255, 10], 0o640);
    symlink("deep/er", there.join("link"))?;
    vm.push(&there, "/tmp/tree").await?;
    assert_eq!(vm.exec("'/tmp/tree/run me' && readlink /tmp/tree/link").await?.stdout, "ran\ndeep/er\n");
    vm.assert((file("/tmp/tree/deep/er/data").mode(0o640), file("/tmp/tree/empty").is_directory())).await?;
    vm.exec("echo more >/tmp/tree/deep/more").await?;
    vm.pull("/tmp/tree", &back).await?;
    assert_eq!(fs::read(back.join("deep/er/data"))?, [0, 255, 10]);
    assert_eq!((mode(&back.join("run me")), mode(&back.join("deep/er/data"))), (0o755, 0o640));
    assert_eq!(fs::read_link(back.join("link"))?, Path::new("deep/er"));
    assert_eq!(fs::read_to_string(back.join("deep/more"))?, "more\n");
    assert!(back.join("empty").is_dir());
    Ok(())
}

#[ec2_test]
async fn what_is_not_there(vm: Instance) -> Result {
    let directory = tempfile::tempdir()?;
    let back = directory.path().join("back");
    for (error, expected) in [
        (vm.push("/no/such/file", "/tmp/x").await.unwrap_err(), "/no/such/file"),
        (vm.pull("/no/such/file", &back).await.unwrap_err(), "/no/such/file"),
        (vm.push("/etc/os-release", "/no/such/place").await.unwrap_err(), "/no/such"),
    ] {
        assert!(error.kind() == ErrorKind::Transfer && error.to_string().contains(expected), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path())?.count(), 0, "half a file was left");
    Ok(())
}

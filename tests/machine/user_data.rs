//! User data, as the launch waits for it.

use super::support::console_with;
use ec2_harness::prelude::*;

#[ec2_test(user_data = "#!/bin/sh\nid -u >/etc/by-script; echo said-by-script")]
async fn a_script_is_done_when_the_machine_is_ready(vm: Instance) -> Result {
    vm.assert(file("/etc/by-script").content("0\n")).await?;
    console_with(&vm, "said-by-script").await.map(drop)
}

#[ec2_test]
async fn a_cloud_config(ec2: Ec2) -> Result {
    let config = "#cloud-config
hostname: web-1
users:
- default
- name: alice
  sudo: ALL=(ALL) NOPASSWD:ALL
  shell: /bin/sh
write_files:
- path: /etc/app/config
  permissions: '0640'
  content: |
    port = 80
bootcmd:
- echo boot >>/etc/commands
runcmd:
- [sh, -c, 'echo run >>/etc/commands']
- cd /etc && echo again >>commands
";
    let vm = ec2.launch("host").user_data(config).await?;
    vm.assert((
        command("hostname").stdout("web-1\n"),
        user("alice").exists(),
        file("/etc/app/config").mode(0o640),
        file("/etc/commands").content("boot\nrun\nagain\n"),
        command("sudo -n cat /etc/app/config").stdout("port = 80\n"),
        command("cloud-init status --wait").succeeds(),
    ))
    .await
}

#[ec2_test]
async fn a_script_that_fails_fails_the_launch(ec2: Ec2) -> Result {
    let error = ec2.launch("host").user_data("#!/bin/sh\necho the-reason >&2\nexit 3\n").await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Provisioning, "{text}");
    assert!(text.contains("cloud-init ended with an error") && text.contains("the-reason"), "{text}");
    Ok(())
}

#[ec2_test]
async fn what_is_not_applied_is_only_a_warning(ec2: Ec2) -> Result {
    let vm = ec2.launch("host").user_data("#cloud-config\nntp:\n  enabled: true\nruncmd:\n- touch /etc/ran\n").await?;
    vm.assert(file("/etc/ran")).await?;
    let status = vm.exec("cloud-init status --long").unchecked().await?;
    assert_eq!(status.status.code(), Some(2), "{status:?}");
    console_with(&vm, "ntp").await.map(drop)
}

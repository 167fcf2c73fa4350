//! Packages, by a manager that only writes down what it is asked.

use ec2_harness::prelude::*;

#[ec2_test]
async fn packages_are_installed_and_updated(vm: Instance) -> Result {
    let manager = "#!/bin/sh\necho \"$DEBIAN_FRONTEND $*\" >>/var/log/asked\n\
                   case $* in *no-such-package*) echo 'E: Unable to locate package' >&2; exit 100 ;; esac\n";
    vm.exec("cat >/usr/local/sbin/apt-get && chmod 755 /usr/local/sbin/apt-get").stdin(manager).sudo().await?;
    vm.install(["curl", "jq"]).await?;
    vm.update().timeout(60.secs()).await?;
    let asked = vm.exec("cat /var/log/asked").sudo().await?.stdout;
    let lines: Vec<_> = asked.lines().collect();
    assert_eq!(lines.len(), 4, "{asked}");
    assert!(lines.iter().all(|line| line.starts_with("noninteractive ")), "{asked}");
    assert!(lines[1].ends_with(" install curl jq") && lines[3].ends_with(" dist-upgrade"), "{asked}");

    let error = vm.install(["no-such-package"]).await.unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Command && text.contains("Unable to locate package"), "{text}");
    let error = vm.install(["--allow-anything"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    vm.install(Vec::<String>::new()).await
}

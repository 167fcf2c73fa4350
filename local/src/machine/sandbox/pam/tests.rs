use super::*;

const DROPPED: &str = "auth [default=ignore] pam_permit.so\n";

/// What becomes of the file of a service beside some that others include.
fn become_of(text: &str) -> String {
    become_of_where(text, true)
}

fn become_of_where(text: &str, has_unix: bool) -> String {
    let unix =
        "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n";
    let texts = [("su", text), ("common-auth", unix), ("permit", "auth required pam_permit.so\n")];
    let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let of_packages = |name: &str| (name == "system").then(|| unix.to_owned());
    local_services(&texts, &of_packages, has_unix).remove("su").unwrap()
}

#[test]
fn modules_of_the_hosts_have_no_say_and_keep_their_place() {
    let text = "# mine\n@include common-auth\nauth [success=2 default=ignore]\tpam_unix.so nullok # local\n\
                auth [success=1 default=ignore] \\\n  pam_sss.so use_first_pass\nauth requisite pam_deny.so\n\
                -session optional /usr/lib/security/pam_systemd.so\nauth substack system\naccount include common-auth\n\n\
                auth required pam_google_authenticator.so\nauth\nsession required\n";
    let expected = "@include common-auth\nauth [success=2 default=ignore]\tpam_unix.so nullok\n\
                    auth [default=ignore] pam_permit.so\nauth requisite pam_deny.so\n\
                    session [default=ignore] pam_permit.so\nauth substack system\naccount include common-auth\n\
                    auth [default=ignore] pam_permit.so\nauth required pam_deny.so\nsession required pam_deny.so\n";
    assert_eq!(become_of(text), expected);
}

#[test]
fn who_was_asked_is_asked() {
    for (text, expected) in [
        (
            "auth required pam_radius_auth.so\nauth required pam_permit.so",
            "auth required pam_unix.so\nauth required pam_permit.so\n",
        ),
        (
            "auth required pam_krb5.so\nauth required pam_wheel.so",
            "auth required pam_unix.so\nauth required pam_wheel.so\n",
        ),
        (
            "auth sufficient pam_rootok.so\nauth sufficient pam_ldap.so\nauth required pam_deny.so",
            "auth sufficient pam_rootok.so\nauth sufficient pam_unix.so\nauth required pam_deny.so\n",
        ),
        (
            "auth sufficient pam_ldap.so\nauth required pam_permit.so",
            "auth required pam_unix.so\nauth required pam_permit.so\n",
        ),
        (
            "auth [success=1 default=ignore] pam_sss.so\nauth requisite pam_deny.so\nauth required pam_permit.so",
            "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        ),
        ("@include /etc/corp/auth\nauth required pam_env.so", "auth required pam_unix.so\nauth required pam_env.so\n"),
        ("auth substack gone\nauth include permit", "auth required pam_unix.so\nauth include permit\n"),
        // Who needs no password on the host is asked for one.
        (
            "auth [success=ignore default=1] pam_succeed_if.so user in mia\nauth sufficient pam_permit.so\n@include common-auth",
            "auth [success=ignore default=1] pam_unix.so\nauth sufficient pam_permit.so\n@include common-auth\n",
        ),
        (
            "auth sufficient pam_permit.so\nauth required pam_krb5.so",
            "auth required pam_unix.so\nauth sufficient pam_permit.so\nauth required pam_unix.so\n",
        ),
        // Nobody was, or somebody still is.
        (
            "auth optional pam_ldap.so\nauth required pam_permit.so",
            "auth [default=ignore] pam_permit.so\nauth required pam_permit.so\n",
        ),
        (
            "account required pam_ldap.so\nauth required pam_permit.so",
            "account [default=ignore] pam_permit.so\nauth required pam_permit.so\n",
        ),
        ("auth required pam_krb5.so\n@include common-auth", &format!("{DROPPED}@include common-auth\n")),
        ("auth required pam_krb5.so\nauth include system", &format!("{DROPPED}auth include system\n")),
    ] {
        assert_eq!(become_of(text), expected, "{text}");
    }
    let denied = "auth required pam_deny.so\nauth required pam_permit.so\n";
    assert_eq!(become_of_where("auth required pam_krb5.so\nauth required pam_permit.so", false), denied);
}

#[test]
fn what_names_the_hosts_files_users_and_addresses_has_no_say() {
    for line in [
        "auth Include /etc/pam.d/common-auth",
        "auth SUBSTACK corp/auth",
        "auth include gone",
        "auth required pam_listfile.so onerr=fail item=user sense=allow file=/etc/vips",
        "auth required pam_access.so accessfile=/etc/corp/access.conf",
        "auth required pam_env.so envfile=/etc/corp/environment",
        "auth required pam_env.so envfile=/usr/../etc/corp/environment",
        "auth required /opt/corp/pam_unix.so",
        "auth required pam_succeed_if.so quiet user in alice:bob",
        "auth required pam_succeed_if.so uid eq 1001",
        "auth required pam_succeed_if.so uid >= 1000 user ingroup staff",
        "auth required pam_succeed_if.so rhost = 192.0.2.7",
        "auth required pam_wheel.so group=staff",
        "auth required pam_faillock.so preauth admin_group=staff",
        "auth required pam_echo.so Welcome to db.example.com",
        "auth required pam_unix.so [corp = 192.0.2.7]",
    ] {
        assert_eq!(
            become_of(&format!("{line}\n@include common-auth")),
            format!("{DROPPED}@include common-auth\n"),
            "{line}"
        );
    }
    for line in [
        "auth Include common-auth",
        "auth required pam_env.so readenv=1 envfile=/etc/default/locale",
        "auth optional pam_faildelay.so  delay=3000000",
        "auth required pam_faillock.so preauth silent deny=4 unlock_time=never dir=/var/run/faillock",
        "auth required pam_succeed_if.so uid >= 1000 quiet_success",
        "auth required pam_succeed_if.so user != root shell notin /sbin/nologin:/bin/false service in su:sudo",
        "auth required pam_wheel.so use_uid group=wheel",
        "auth required /lib/security/$ISA/pam_unix.so nullok try_first_pass",
        "session optional pam_motd.so motd=/run/motd.dynamic",
        "session optional pam_mkhomedir.so skel=/etc/skel umask=0077",
    ] {
        assert_eq!(become_of(&format!("{line} # of mia's\n")), format!("{line}\n"));
    }
    assert_eq!(become_of("#bindpw=secret\n\n  # mia\n"), "");
}

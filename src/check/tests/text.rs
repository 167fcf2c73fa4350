//! The text that a person reads in a red log.

use super::*;

#[test]
fn the_whole_of_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sshd_config").to_str().unwrap().to_owned();
    std::fs::write(&path, "Port 22\nUsePAM no\nX11Forwarding yes\n").unwrap();
    let line = line!();
    let error = check((
        file(&path).contains("UsePAM yes"),
        command("echo one; echo two; echo oops >&2; exit 3").stdout("one"),
        user("nosuch").uid(1000).in_group("sudo"),
        package("*"),
        file("/etc/passwd"),
    ))
    .unwrap_err();
    let text = error.to_string();
    let (before, after) = text.split_once("it is     a regular file, ").unwrap();
    let text = format!("{before}{}", after.split_once('\n').unwrap().1).replace(&path, "/etc/ssh/sshd_config");
    let at = |offset: u32| format!("{}:{}", file!(), line + offset);
    let (one, two, three, four) = (at(2), at(3), at(4), at(5));
    assert_eq!(
        text,
        format!(
            r#"check i-0abc: 3 of 5 checks failed, 1 can't be answered, 1 passed
--- {one}: file /etc/ssh/sshd_config ---
expected  content contains "UsePAM yes"
found     no such text in 3 lines; nearest is line 2:
          UsePAM no
--- {two}: command `echo one; echo two; echo oops >&2; exit 3` ---
expected  exit status 0
found     exit status 3
expected  stdout is "one"
found     another text (- expected, + found)
          @@ -1 +1,2 @@
           one
          +two
stdout    one
          two
stderr    oops
--- {three}: user nosuch ---
expected  uid 1000
expected  in group sudo
found     no such user
--- {four}: package * ---
expected  installed
unknown   this can't be the name of a package"#
        )
    );
}

#[test]
fn long_evidence_is_cut_in_the_middle_and_steers_no_terminal() {
    let error =
        check(command("i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo line $i; done; printf '\\033[31mred'; exit 1"))
            .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("stdout    line 1\n"), "{text}");
    assert!(text.contains("          line 500\n          \u{fffd}[31mred\n"), "{text}");
    assert!(text.contains(" lines left out …"), "{text}");
    assert!(text.lines().count() < 60 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn that_something_exists_is_said_last_and_that_nothing_does_first() {
    let missing = given(&[("entry", "")], user("x").exists().uid(0).in_group("y")).unwrap_err().to_string();
    let rows = "expected  uid 0\nexpected  in group y\nexpected  exists\nfound     no such user";
    assert!(missing.contains(rows), "{missing}");
    let there = given(&[("entry", "x:x:1:")], group("x").is_missing().gid(0)).unwrap_err().to_string();
    let rows = "expected  no such group\nfound     x:x:1:\nexpected  gid 0\nfound     gid 1";
    assert!(there.contains(rows), "{there}");
}

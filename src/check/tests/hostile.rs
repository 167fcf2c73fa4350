//! Names and contents that try to be something else.

use super::*;
use crate::check::{answer::Answers, fact::Fact, fact::Facts};
use proptest::prelude::*;

fn hostile() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "'",
        "\"",
        "\\",
        "$(exit 9)",
        "`exit 9`",
        "\n",
        "; exit 9;",
        "-n",
        "--",
        "*",
        "é",
        "\u{1}",
        " ",
        "\t",
        "end\n",
        "EOF\n",
        "is 0 done yes\n",
        "}",
        "{",
        "#",
        "!",
        "~",
        "&",
        "|",
        ">",
        "%s",
        "'\\''",
        "\r",
    ]);
    prop::collection::vec(prop_oneof![nasty.prop_map(str::to_owned), "[a-z/]{1,3}"], 1..6)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_name_is_taken_as_it_is(names in prop::collection::vec(hostile(), 1..4)) {
        let directory = tempfile::tempdir().unwrap();
        let mut checks = Checks::default();
        for (number, name) in names.iter().enumerate() {
            let path = directory.path().join(format!("{number}{}", name.replace('/', "_")));
            std::fs::write(&path, name).unwrap();
            let path = path.to_str().unwrap();
            checks.extend([
                Checks::from(file(path).content(contains(name.as_str())).size(name.len() as u64)),
                file(format!("{path}?")).is_missing().into(),
                user(name.as_str()).is_missing().into(),
                process(name.as_str()).count(..).into(),
            ]);
        }
        for shell in shells() {
            let result = check_in(Command::new(shell[0]).args(&shell[1..]), &checks);
            prop_assert!(result.is_ok(), "in {:?}: {}", shell, result.unwrap_err());
        }
    }

    #[test]
    fn any_line_reaches_the_shell_as_it_is(text in hostile()) {
        let quoted = format!("'{}'", text.replace('\'', r"'\''"));
        let checks = Checks::from(command(format!("printf %s {quoted}")).stdout(equals(text)));
        for shell in shells() {
            let result = check_in(Command::new(shell[0]).args(&shell[1..]), &checks);
            prop_assert!(result.is_ok(), "in {:?}: {}", shell, result.unwrap_err());
        }
    }

    #[test]
    fn any_content_comes_back_as_it_is(content in prop::collection::vec(any::<u8>(), 0..5000)) {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        written.write_all(&content).unwrap();
        let fact = Fact::new("content", [written.path().to_str().unwrap()]);
        let mut facts = Facts::default();
        facts.add(fact.clone());
        let output = run(Command::new("sh").arg("-s"), &facts.script());
        let answers = Answers::read(facts, &output.stdout, &output.stderr);
        prop_assert_eq!(answers.get(&fact).unwrap().data("content"), Some(&content[..]));
    }
}

proptest! {
    #[test]
    fn no_output_makes_us_panic(
        lines in prop::collection::vec(
            prop_oneof![
                Just("== facts for ec2-harness ==".to_owned()),
                "(is|data) [0-3]? (done|stat|tcp|units|entry|mounts|code|stat-1|exists|content) (yes|base64|hexadecimal|[0-9]{1,3})",
                Just("end".to_owned()),
                "[0-9a-fA-F+/=]{0,20}",
                ".*",
            ],
            0..30,
        ),
    ) {
        let checks = Checks::from((
            (file("/x").mode(0o600).contains("x"), service("ssh"), package("x"), port(1).is_free(), user("x").uid(1)),
            (mount("/"), process("x"), command("x"), reach("x", 1), group("x")),
        ));
        let output = format!("== facts for ec2-harness ==\n{}", lines.join("\n"));
        prop_assert!(checks.judge(output.as_bytes(), b"").into_result("i-0abc").is_err());
    }

    #[test]
    fn no_answer_makes_us_panic(text in "[ -~\n\u{e9}]{0,200}", part in "stat|link|entry|units|tcp|owners|mounts|answer|stat-1|line-1") {
        let parts = [(&*part, &*text), ("exists", "yes"), ("manager", "dpkg")];
        for check in [
            Checks::from(file("/x").mode(0)), service("ssh").into(), package("x").into(), port(1).is_free().into(),
            user("x").uid(1).into(), mount("/").into(), process("x").into(),
        ] {
            let _ = given(&parts, check);
        }
    }
}

#[test]
fn a_script_longer_than_any_argument() {
    let checks: Checks =
        (0..3000).map(|number| file(format!("/nosuch/{number}/{}", "x".repeat(50))).is_missing()).collect();
    assert!(checks.script().len() > 128 << 10);
    check(checks).unwrap();
}

#[test]
fn each_fact_is_asked_once() {
    let one = file("/etc/passwd").contains("root");
    let checks = Checks::from((&one, &one, file("/etc/passwd").mode(0o644).contains("x"), mount("/"), mount("/proc")));
    let script = checks.script();
    for (call, times) in [("file ", 1), ("content ", 1), ("mounts ", 1)] {
        let found =
            script.lines().filter(|line| line.contains(&format!("() {{ {call}")) && line.starts_with("fact_")).count();
        assert_eq!(found, times, "{call}");
    }
}

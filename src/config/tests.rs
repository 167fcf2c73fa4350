use super::*;

fn from_file(text: &str) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE_NAME);
    fs::write(&file, text).unwrap();
    Config::from_parts(Some(&file), vec![]).map_err(|e| e.to_string())
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Config, String> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::from_parts(None, pairs).map_err(|e| e.to_string())
}

#[test]
fn nothing_configured_is_the_local_target() {
    let config = from_environment(&[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.target, Target::Local);
}

#[test]
fn every_key_can_be_set_by_file_and_by_environment_alike() {
    let file = from_file(
        r#"
        target = "aws"
        account = "123456789012"
        ssh_from = ["203.0.113.0/24", "2001:db8::1", "198.51.100.7/24"]
        tags = { team = "images", "cost:center" = "7" }
        images = { web = "ami-0123456789abcdef0" }
        timeout = "90s"
        keep = "failed"
        max_instances = 3
        no_skip = true
        reach = ["ssh", "-W", "{address}:{port}", "bastion"]
        "#,
    )
    .unwrap();
    let environment = from_environment(&[
        ("EC2_HARNESS_TARGET", "aws"),
        ("EC2_HARNESS_ACCOUNT", "123456789012"),
        ("EC2_HARNESS_SSH_FROM", "203.0.113.0/24, 2001:db8::1, 198.51.100.0/24"),
        ("EC2_HARNESS_TAGS", "team=images,cost:center=7"),
        ("EC2_HARNESS_IMAGES", "web=ami-0123456789abcdef0"),
        ("EC2_HARNESS_TIMEOUT", "90s"),
        ("EC2_HARNESS_KEEP", "failed"),
        ("EC2_HARNESS_MAX_INSTANCES", "3"),
        ("EC2_HARNESS_NO_SKIP", "1"),
        ("EC2_HARNESS_REACH", "ssh -W {address}:{port} bastion"),
    ])
    .unwrap();
    assert_eq!(file, environment);
    assert_eq!(file.ssh_from[1], "2001:db8::1/128".parse().unwrap());
    assert_eq!(file.ssh_from[2], "198.51.100.0/24".parse().unwrap());
}

#[test]
fn the_environment_wins_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE_NAME);
    fs::write(&file, "image = \"a\"\nregion = \"eu-west-1\"").unwrap();
    let config = Config::from_parts(Some(&file), vec![("EC2_HARNESS_IMAGE".into(), "b".into())]).unwrap();
    assert_eq!((config.image, config.region.as_deref()), ("b".into(), Some("eu-west-1")));
}

#[test]
fn an_image_is_a_word_or_a_table() {
    let config = from_file(
        r#"
        image = { name = "ours-{arch}-*", owner = "self", user = "admin", deprecated = true, key_type = "rsa" }
        images = { latest = "resolve:ssm:/ours", arm = { id = "debian-12", architecture = "arm64" } }
        "#,
    )
    .unwrap();
    let ours = ImageQuery::named("ours-{arch}-*").owner("self").user("admin").deprecated().key_type(KeyType::Rsa);
    assert_eq!(config.image, ours);
    assert_eq!(config.images["latest"], "resolve:ssm:/ours".into());
    assert_eq!(config.images["arm"], ImageQuery::from("debian-12").architecture(Architecture::Arm64));
}

#[test]
fn an_unknown_key_suggests_the_nearest() {
    let error = from_file("instanc_type = \"t3.nano\"").unwrap_err();
    assert!(error.contains("there is no key `instanc_type`; did you mean `instance_type`?"), "{error}");
    let error = from_environment(&[("EC2_HARNESS_REGOIN", "x")]).unwrap_err();
    assert!(error.contains("EC2_HARNESS_REGOIN") && error.contains("did you mean `region`?"), "{error}");
    let error = from_file("zzz = 1").unwrap_err();
    assert!(error.contains("the keys are target, account"), "{error}");
}

#[test]
fn a_bad_value_names_key_and_expectation() {
    for (text, expected) in [
        ("timeout = 90", "write a time with its unit"),
        ("timeout = \"soon\"", "`timeout`: expected a time such as"),
        ("keep = \"maybe\"", "expected one of `no`, `failed`, `always`, found `maybe`"),
        ("target = \"azure\"", "expected `local`, `aws` or the URL of an endpoint"),
        ("target = \"aws\"", "set `account"),
        ("account = \"12\"", "12 digits"),
        ("max_instances = -1", "expected a whole number"),
        ("ssh_from = [\"home\"]", "expected a network"),
        ("images = { web = { owner = \"self\" } }", "`web`: an image needs either"),
        ("images = { web = { name = \"a\", id = \"ami-1\" } }", "`web`: an image needs either"),
        (
            "image = { name = \"a\", architecture = \"mips\" }",
            "`architecture`: expected one of `x86_64`, `arm64`, found `mips`",
        ),
        ("image = { nmae = \"a\" }", "`nmae`: there is no such key; there are id, name"),
        ("key_name = \"mine\"", "go together"),
        ("image = ", "read the configuration"),
        ("reach = \"carrier-pigeon\"", "expected `public`, `private` or a command"),
        ("image = \"\"", "empty"),
    ] {
        let error = from_file(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_file_is_found_upwards() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    fs::write(root.path().join("a").join(FILE_NAME), "").unwrap();
    assert_eq!(find(&deep), Some(root.path().join("a").join(FILE_NAME)));
}

//! Where the calls go: the local EC2 without regard to AWS's variables, an endpoint by its URL, AWS only with its account;
//! and what is said of a configuration that can't be used.
//!
//! The environment is a process's, so the tests of the module `child` are run by the others in processes of their own.

mod support;

use ec2_harness::prelude::*;
use std::{
    env, fs,
    io::{BufReader, Read, Write},
    process::{Command, Stdio},
};

mod child {
    use super::*;

    #[ec2_test]
    #[ignore = "run by another"]
    async fn launches(ec2: Ec2) -> Result {
        let image = support::image(&ec2, "blank").await;
        let vm = ec2.launch(image).without_waiting().await?;
        println!("id={} account={:?} region={}", vm.id(), ec2.account(), ec2.region());
        Ok(())
    }

    #[ec2_test]
    #[ignore = "run by another"]
    async fn launches_for_arm(ec2: Ec2) -> Result {
        ec2.launch("debian-12").instance_type("t4g.small").without_waiting().await.map(drop)
    }

    #[ec2_test]
    #[ignore = "run by another"]
    async fn meets_a_lack_of_capacity(ec2: Ec2) -> Result {
        let local = ec2_local::endpoint::connect()?;
        local.add_fault("RunInstances capacity next 2".parse().unwrap())?;
        let vm = ec2.launch("blank").without_waiting().await?;
        println!("launched={}", vm.id());
        local.add_fault("RunInstances capacity every 1".parse().unwrap())?;
        let error = ec2.launch("blank").without_waiting().await.unwrap_err();
        println!("error={error}");
        assert_eq!(error.kind(), ErrorKind::Capacity);
        Ok(())
    }

    #[ec2_test]
    #[ignore = "run by another"]
    async fn tries_others_in_turn(ec2: Ec2) -> Result {
        let local = ec2_local::endpoint::connect()?;
        // Wherever EC2 chooses, and in each of the three zones.
        local.add_fault("RunInstances capacity next 4".parse().unwrap())?;
        let vm = ec2.launch("blank").instance_types(["t3.small", "t3.large"]).without_waiting().await?;
        println!("type={}", vm.describe().await?.instance_type().unwrap().as_str());

        local.add_fault("RunInstances capacity next 1".parse().unwrap())?;
        let vm = ec2.launch("blank").zones(["us-east-1c", "us-east-1b"]).without_waiting().await?;
        println!("zone={}", vm.describe().await?.placement().unwrap().availability_zone().unwrap());

        local.add_fault("RunInstances capacity next 2".parse().unwrap())?;
        let fallback =
            ec2.launch("blank").zone("us-east-1a").instance_types(["t3.small", "t3.large"]).spot_or_on_demand();
        let vm = fallback.clone().without_waiting().await?;
        let described = vm.describe().await?;
        println!("lifecycle={:?}", described.instance_lifecycle().map(|it| it.as_str()));
        let vm = fallback.without_waiting().await?;
        println!("lifecycle={:?}", vm.describe().await?.instance_lifecycle().map(|it| it.as_str()));

        local.add_fault("RunInstances capacity every 1".parse().unwrap())?;
        let all =
            ec2.launch("blank").zones(["us-east-1c", "us-east-1b"]).instance_types(["t3.small", "t3.large"]).spot();
        println!("error={}", all.without_waiting().await.unwrap_err());
        Ok(())
    }

    #[ec2_test]
    #[ignore = "run by another"]
    async fn launches_as_configured(ec2: Ec2) -> Result {
        let vm = ec2.launch_default().without_waiting().await?;
        let described = vm.describe().await?;
        let zone = described.placement().unwrap().availability_zone().unwrap();
        println!("type={} zone={zone}", described.instance_type().unwrap().as_str());
        println!("lifecycle={:?}", described.instance_lifecycle().map(|it| it.as_str()));
        Ok(())
    }

    #[ec2_test(timeout = "90s")]
    #[ignore = "run by another"]
    async fn pauses(vm: Instance, context: TestContext) -> Result {
        context.pause().await?;
        println!("went on");
        vm.exec("true").await.map(drop)
    }

    #[ec2_test]
    #[ignore = "run by another"]
    async fn logs_in_by_an_agent(ec2: Ec2) -> Result {
        let public = fs::read_to_string(env::var("PUBLIC_KEY")?)?;
        let pair = ec2.import_key_pair(support::unique("agent"), &public).await?;
        let vm = ec2.launch("host").key_pair(&pair).await?;
        println!("said={}", vm.exec("echo $((6 * 7))").await?.stdout);
        let other = ec2_harness::ssh::PrivateKey::in_agent("ssh-ed25519 AAAA")?;
        let error = ec2.launch("host").key(pair.name(), other).ready_within(20.secs()).await.unwrap_err();
        println!("error={error}");
        Ok(())
    }

    #[test]
    #[ignore = "run by another"]
    fn launches_by_credentials_in_code() {
        let [access, secret] = ["ACCESS", "SECRET"].map(|name| env::var(name).unwrap());
        let credentials =
            |access: &str| ec2_harness::aws_sdk_ec2::config::Credentials::new(access, &secret, None, None, "this test");
        let ec2 = Ec2::connect().credentials(credentials(&access)).wait().unwrap();
        let others = Ec2::connect().credentials(credentials("AKIDOFSOMEBODYELSE00")).wait().unwrap();
        println!("error={}", others.key_pairs().wait().unwrap_err());
        let image = support::block_on(support::image(&ec2, "blank"));
        let vm = ec2.launch(image).without_waiting().wait().unwrap();
        println!("launched={} run={}", vm.id(), vm.tags().len());
    }

    #[ec2_test]
    #[ignore = "run by another"]
    async fn logs_in(ec2: Ec2) -> Result {
        let image = support::image(&ec2, "host").await;
        let vm = ec2.launch(image).await?;
        vm.assert(port(22).is_listening()).await?;
        vm.reboot().await?;
        println!("said={}", vm.exec("echo $((6 * 7))").await?.stdout);
        Ok(())
    }
}

/// Runs a child test as a run of its own; whether it passed, and what it wrote.
fn run(name: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("child::{name}"), "--ignored", "--nocapture"]);
    command.env_remove("NEXTEST_RUN_ID").env("RUST_BACKTRACE", "0").env("AWS_EC2_METADATA_DISABLED", "true");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("running 1 test"), "{text}");
    (output.status.success(), text)
}

/// The variables that lead an AWS client to the running local EC2.
fn door(client: &ec2_local::endpoint::Client) -> [(&'static str, String); 4] {
    [
        ("AWS_ACCESS_KEY_ID", client.credentials().access_key.clone()),
        ("AWS_SECRET_ACCESS_KEY", client.credentials().secret_key.clone()),
        ("AWS_REGION", "us-east-1".into()),
        // What our own address is would be asked of the internet.
        ("EC2_HARNESS_SSH_FROM", "127.0.0.1/32".into()),
    ]
}

/// The local EC2, as if it were somebody else's endpoint; it stays as long as this value.
fn endpoint() -> ec2_local::endpoint::Client {
    support::ec2();
    ec2_local::endpoint::connect().unwrap()
}

#[test]
fn what_cannot_be_used_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (typo, broken) = (file("typo.toml", "imgae = \"host\"\n"), file("broken.toml", "image = \n"));
    let value = file("value.toml", "timeout = 5\n");
    for (variable, value, expected) in [
        ("EC2_HARNESS_REGOIN", "eu-west-1", "did you mean `region`"),
        ("EC2_HARNESS_TIMEOUT", "soon", "EC2_HARNESS_TIMEOUT"),
        ("EC2_HARNESS_TARGET", "azure", "azure"),
        ("EC2_HARNESS_TARGET", "aws", "no account is named"),
        ("EC2_HARNESS_ACCOUNT", "12", "12 digits"),
        ("EC2_HARNESS_KEY_NAME", "mine", "private_key"),
        ("EC2_HARNESS_CONFIG", "/no/such/file.toml", "/no/such/file.toml"),
        ("EC2_HARNESS_CONFIG", &typo, "did you mean `image`"),
        ("EC2_HARNESS_CONFIG", &broken, "broken.toml"),
        ("EC2_HARNESS_CONFIG", &value, "timeout"),
    ] {
        let (passed, text) = run("launches", &[(variable, value)]);
        assert!(!passed && text.contains(expected), "{variable}={value}: {text}");
        assert!(!text.contains("id=i-"), "{text}");
    }
}

#[test]
fn an_endpoint_at_which_nothing_answers_is_named_at_once() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nowhere}");
    let (passed, text) = run(
        "launches",
        &[("EC2_HARNESS_TARGET", &url), ("AWS_ACCESS_KEY_ID", "AKIDNOBODY"), ("AWS_SECRET_ACCESS_KEY", "none")],
    );
    assert!(
        !passed
            && text.contains("connect to the endpoint that `target` names")
            && text.contains(&url)
            && text.contains("refused"),
        "{text}"
    );
}

#[test]
fn the_local_ec2_has_no_regard_to_aws() {
    let nowhere = "http://127.0.0.1:9";
    let (passed, text) = run(
        "launches",
        &[
            ("AWS_ENDPOINT_URL", nowhere),
            ("AWS_ENDPOINT_URL_EC2", nowhere),
            ("HTTP_PROXY", nowhere),
            ("http_proxy", nowhere),
            ("AWS_ACCESS_KEY_ID", "AKIDNOBODY"),
            ("AWS_SECRET_ACCESS_KEY", "none"),
            ("AWS_PROFILE", "no-such-profile"),
            ("AWS_REGION", "eu-central-1"),
        ],
    );
    assert!(passed && text.contains("region=us-east-1"), "{text}");
}

#[test]
fn every_zone_is_tried_before_a_lack_of_capacity_is_an_error() {
    let state = tempfile::tempdir().unwrap();
    let local = state.path().join("local");
    let variables = [
        ("EC2_LOCAL_STATE_DIR", local.to_str().unwrap()),
        ("EC2_HARNESS_LOCAL_CONDITIONS", "calm"),
        ("EC2_HARNESS_LOCAL_LINGER", "1s"),
    ];
    let (passed, text) = run("meets_a_lack_of_capacity", &variables);
    assert!(passed && text.contains("launched=i-"), "{text}");
    assert!(text.contains("t3.micro was tried in us-east-1a, us-east-1b, us-east-1c"), "{text}");
    support::eventually("its endpoint has ended", || !local.join("run").exists());
}

#[test]
fn types_zones_and_markets_are_tried_in_turn() {
    let state = tempfile::tempdir().unwrap();
    let local = state.path().join("local");
    let variables = [
        ("EC2_LOCAL_STATE_DIR", local.to_str().unwrap()),
        ("EC2_HARNESS_LOCAL_CONDITIONS", "calm"),
        ("EC2_HARNESS_LOCAL_LINGER", "1s"),
    ];
    let (passed, text) = run("tries_others_in_turn", &variables);
    assert!(passed && text.contains("type=t3.large\nzone=us-east-1b\n"), "{text}");
    assert!(text.contains("lifecycle=None\nlifecycle=Some(\"spot\")\n"), "{text}");
    let tried = "t3.small as a Spot Instance was tried in us-east-1c, us-east-1b; t3.large as a Spot Instance was tried in us-east-1c, us-east-1b";
    assert!(text.contains(tried), "{text}");
    support::eventually("its endpoint has ended", || !local.join("run").exists());
}

#[test]
fn types_zones_and_markets_are_configured() {
    let variables = [
        ("EC2_HARNESS_IMAGE", "blank"),
        ("EC2_HARNESS_INSTANCE_TYPES", "t3.medium,t3.large"),
        ("EC2_HARNESS_ZONES", "us-east-1b"),
        ("EC2_HARNESS_SPOT", "or-on-demand"),
    ];
    let (passed, text) = run("launches_as_configured", &variables);
    assert!(passed && text.contains("type=t3.medium zone=us-east-1b\nlifecycle=Some(\"spot\")"), "{text}");
}

#[test]
fn a_test_pauses_where_it_is_told_to() {
    // A terminal of its own; what is written to it comes back.
    let program = format!("{} --exact child::pauses --ignored", env::current_exe().unwrap().display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", &program, "/dev/null"]);
    command.env_remove("NEXTEST_RUN_ID").env("EC2_HARNESS_PAUSE", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("press Enter") {
        let mut byte = [0];
        assert_eq!(said.read(&mut byte).unwrap(), 1, "{text}");
        text.push(byte[0] as char);
    }
    let line = include_str!("targets.rs").lines().position(|line| line.contains("context.pause()")).unwrap() + 1;
    assert!(text.contains(&format!("test `child::pauses` pauses at tests/targets.rs:{line}")), "{text}");
    assert!(text.contains("vm (i-") && text.contains("ssh -i /") && text.contains("ec2-user@i-"), "{text}");
    process.stdin.take().unwrap().write_all(b"\n").unwrap();
    said.read_to_string(&mut text).unwrap();
    assert!(process.wait().unwrap().success() && text.contains("1 passed"), "{text}");
}

#[test]
fn without_a_terminal_a_pause_says_so_and_without_the_variable_there_is_none() {
    let (passed, text) = run("pauses", &[]);
    assert!(passed && text.contains("went on"), "{text}");
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(env::current_exe().unwrap()).args(["--exact", "child::pauses", "--ignored"]);
    command.env_remove("NEXTEST_RUN_ID").env("EC2_HARNESS_PAUSE", "1").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("there is no terminal to press Enter at"), "{text}");
}

#[test]
fn an_agent_logs_in_by_a_key_that_we_never_see() {
    // It does nothing but say how it is called.
    if Command::new("ssh-agent").arg("-?").output().is_err() {
        assert!(std::env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "openssh-client is not installed");
        return eprintln!("skipped: openssh-client is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (key, public, socket) = (at("key"), at("key.pub"), at("agent"));
    let done = |command: &mut Command| assert!(command.output().unwrap().status.success(), "{command:?}");
    for (key_type, bits) in [("ed25519", "256"), ("rsa", "3072")] {
        let _ = (fs::remove_file(&key), fs::remove_file(&public), fs::remove_file(&socket));
        done(Command::new("ssh-keygen").args(["-q", "-t", key_type, "-b", bits, "-N", "", "-f", &key]));
        let mut agent = Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(Stdio::null()).spawn().unwrap();
        support::eventually("the agent answers", || {
            Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &socket).output().unwrap().status.success()
        });
        // From here on only the agent has it.
        fs::remove_file(&key).unwrap();
        let variables = [("SSH_AUTH_SOCK", socket.as_str()), ("PUBLIC_KEY", &public)];
        let (passed, text) = run("logs_in_by_an_agent", &variables);
        agent.kill().unwrap();
        agent.wait().unwrap();
        assert!(passed && text.contains("said=42"), "{text}");
        assert!(text.contains("the SSH agent has 1 keys") && text.contains("ssh-add"), "{text}");
    }
    let (passed, text) = run("logs_in_by_an_agent", &[("SSH_AUTH_SOCK", "/nowhere"), ("PUBLIC_KEY", &public)]);
    assert!(!passed && text.contains("there is no SSH agent to be reached"), "{text}");
}

#[test]
fn credentials_in_code_serve_the_watchdog_too() {
    let local = endpoint();
    let run_id = support::unique("in-code");
    let variables = [
        ("ACCESS", &*local.credentials().access_key),
        ("SECRET", &local.credentials().secret_key),
        ("EC2_HARNESS_TARGET", local.url()),
        ("EC2_HARNESS_REGION", "us-east-1"),
        ("EC2_HARNESS_SSH_FROM", "127.0.0.1/32"),
        ("EC2_HARNESS_RUN_ID", &run_id),
        // There is nothing else to be found.
        ("AWS_CONFIG_FILE", "/nowhere"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
        ("AWS_ACCESS_KEY_ID", ""),
    ];
    let (passed, text) = run("launches_by_credentials_in_code", &variables);
    assert!(passed && text.contains("launched=i-"), "{text}");
    assert!(text.contains("error=list the key pairs") && text.contains("AuthFailure"), "{text}");
    // What the run shares is ended by its watchdog.
    let ec2 = support::ec2();
    support::eventually("the run's key is gone", || {
        let keys = ec2.key_pairs().wait().unwrap();
        !keys.iter().any(|key| key.key_name() == Some(&*format!("ec2-harness-{run_id}")))
    });
}

#[test]
fn an_endpoint_by_its_url() {
    let local = endpoint();
    let door = door(&local);
    let mut variables: Vec<_> = door.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("EC2_HARNESS_TARGET", local.url()));
    let (passed, text) = run("launches", &variables);
    assert!(passed && text.contains("id=i-") && text.contains("account=None"), "{text}");

    // The right account is asked for, the wrong one is not touched.
    variables.push(("EC2_HARNESS_ACCOUNT", local.account()));
    let (passed, text) = run("launches", &variables);
    assert!(passed && text.contains(local.account()), "{text}");
    assert_refuses_others(&variables, local.account());

    // Wrong credentials, and none.
    let wrong: Vec<_> = variables.iter().copied().filter(|(name, _)| *name != "EC2_HARNESS_ACCOUNT").collect();
    let (passed, text) = run("launches", &[&wrong[..], &[("AWS_SECRET_ACCESS_KEY", "wrong")]].concat());
    assert!(!passed && text.contains("SignatureDoesNotMatch") | text.contains("AuthFailure"), "{text}");
    let home = tempfile::tempdir().unwrap();
    let none = [("EC2_HARNESS_TARGET", local.url()), ("HOME", home.path().to_str().unwrap())];
    let (passed, text) = run("launches", &none);
    assert!(!passed && text.to_lowercase().contains("credentials"), "{text}");
}

#[test]
fn one_that_has_lost_an_answer_is_there() {
    let local = endpoint();
    let door = door(&local);
    let mut variables: Vec<_> = door.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("EC2_HARNESS_TARGET", local.url()));
    local.add_fault("DescribeRegions lost next 1".parse().unwrap()).unwrap();
    let (passed, text) = run("launches", &variables);
    assert!(passed && text.contains("id=i-"), "{text}");
}

#[test]
fn an_alias_is_looked_up_for_the_type_of_the_launch() {
    let client = endpoint();
    let url = client.url().to_owned();
    let mut variables: Vec<(&str, &str)> = vec![("EC2_HARNESS_TARGET", &url)];
    let door = door(&client);
    variables.extend(door.iter().map(|(name, value)| (*name, value.as_str())));
    let (passed, text) = run("launches_for_arm", &variables);
    assert!(!passed && text.contains("`debian-12-arm64-*`"), "{text}");
}

#[test]
fn aws_is_only_touched_in_the_account_that_is_named() {
    let local = endpoint();
    let door = door(&local);
    let mut variables: Vec<_> = door.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("EC2_HARNESS_TARGET", "aws"));
    // Never AWS itself: both services are asked at the local endpoint.
    variables.push(("AWS_ENDPOINT_URL", local.url()));
    assert_refuses_others(&variables, local.account());
    variables.push(("EC2_HARNESS_ACCOUNT", local.account()));
    let (passed, text) = run("launches", &variables);
    assert!(passed && text.contains(local.account()), "{text}");
}

/// Another account is refused before anything is created.
fn assert_refuses_others(variables: &[(&str, &str)], account: &str) {
    let id = support::unique("refused");
    let others = [("EC2_HARNESS_ACCOUNT", "111122223333"), ("EC2_HARNESS_RUN_ID", &*id)];
    let (passed, text) = run("launches", &[variables, &others].concat());
    assert!(!passed && text.contains("111122223333") && text.contains(account), "{text}");
    assert!(text.contains("nothing was created"), "{text}");
    assert!(support::instances(&support::ec2(), "tag:ec2-harness:run", &id).is_empty());
}

/// Joins standard input and output to a machine by the local EC2's way in.
const TUNNEL: &str = r#"
my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!";
syswrite $s, "connect $ARGV[1] $ARGV[2]\n";
my $line = "";
while (sysread $s, my $c, 1) { last if $c eq "\n"; $line .= $c }
die $line if $line ne "ok";
if (fork) {
    while (sysread STDIN, my $b, 65536) { syswrite $s, $b }
    shutdown $s, 1;
    wait;
} else {
    while (sysread $s, my $b, 65536) { syswrite STDOUT, $b }
}
"#;

#[test]
fn machines_behind_a_command() {
    let local = endpoint();
    let door = door(&local);
    let mut variables: Vec<_> = door.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("EC2_HARNESS_TARGET", local.url()));
    let directory = tempfile::tempdir().unwrap();
    let way_in = local.way_in();
    let words = ["perl", "-MIO::Socket::UNIX", "-e", TUNNEL, way_in.to_str().unwrap(), "{instance}", "{port}"];
    let file = directory.path().join("ec2-harness.toml");
    fs::write(&file, format!("reach = {}\n", serde_json::to_string(&words).unwrap())).unwrap();
    variables.push(("EC2_HARNESS_CONFIG", file.to_str().unwrap()));
    let (passed, text) = run("logs_in", &variables);
    assert!(passed && text.contains("said=42"), "{text}");
}

//! `ec2-local image`, as a user types it, and what a running endpoint makes of it.

#[allow(dead_code, reason = "shared with the tests of the wire")]
#[path = "../wire/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "shared with the tests of the sandbox")]
#[path = "../sandbox/system.rs"]
mod system;

use fixture::{Answer, Signed};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use system::System;
use tar::EntryType;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ec2-local");
const PATIENCE: Duration = Duration::from_secs(60);

/// A state directory of its own, and files beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn archive(&self, name: &str, system: System) -> String {
        system.write(&self.file(name));
        self.file(name).to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("EC2_LOCAL_STATE_DIR", self.state()).env_remove("AWS_REGION");
        command.env_remove("AWS_DEFAULT_REGION").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command says that does what it is told.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says that doesn't.
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The names in the directory of the images, but for the trees; and how many trees there are.
    fn kept(&self) -> (Vec<String>, usize) {
        let list = |path: PathBuf| -> Vec<String> {
            let entries = fs::read_dir(path).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let images = self.state().join("images");
        let trees = list(images.join("trees")).len();
        (list(images).into_iter().filter(|name| name != "trees").collect(), trees)
    }
}

/// An endpoint in the foreground; it ends with the value.
struct Serving {
    process: Child,
    address: SocketAddr,
    key: String,
    secret: String,
}

impl Serving {
    fn start(place: &Place) -> Self {
        let mut process = place.command(&["serve"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().strip_prefix("serving EC2 on http://").unwrap().parse().unwrap();
        let secret: serde_json::Value =
            serde_json::from_slice(&fs::read(place.state().join("secret")).unwrap()).unwrap();
        let text = |key: &str| secret[key].as_str().unwrap().to_owned();
        Self { process, address, key: text("access_key"), secret: text("secret_key") }
    }

    fn call(&self, parameters: &str) -> Answer {
        let mut request = Signed::ec2(&format!("{parameters}&Version=2016-11-15"));
        request.key.clone_from(&self.key);
        request.secret.clone_from(&self.secret);
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(&request.bytes(self.address, true)).unwrap();
        let answer = Answer::read(stream);
        assert!(answer.status == 200 || answer.body.contains("<Code>"), "{answer:?}");
        answer
    }

    /// The names of the account's images.
    fn images(&self) -> Vec<String> {
        let body = self.call("Action=DescribeImages&Owner.1=self").body;
        body.split("<name>").skip(1).map(|rest| rest.split_once("</name>").unwrap().0.to_owned()).collect()
    }

    fn launch(&self, image: &str, user_data: &str) -> String {
        use base64::Engine;
        let named = self.call(&format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={image}"));
        let user_data = base64::engine::general_purpose::URL_SAFE.encode(user_data).replace('=', "%3D");
        let launch = format!(
            "Action=RunInstances&ImageId={}&InstanceType=t3.micro&MinCount=1&MaxCount=1&UserData={user_data}",
            named.element("imageId")
        );
        self.call(&launch).element("instanceId").to_owned()
    }

    /// Waits for words on the console.
    fn until_console(&self, instance: &str, words: &str) {
        use base64::Engine;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(&format!("Action=GetConsoleOutput&InstanceId={instance}&Latest=true"));
            let output = answer.body.split_once("<output>").and_then(|(_, rest)| rest.split_once("</output>"));
            let text = output.map(|(text, _)| text.split_whitespace().collect::<String>()).unwrap_or_default();
            let text = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.contains(words) {
                return;
            }
            assert!(Instant::now() < deadline, "no {words:?} on the console: {text}\n{answer:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn until_state(&self, instance: &str, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = self.call(&format!("Action=DescribeInstances&InstanceId.1={instance}")).body;
            if body.contains(&format!("<name>{state}</name>")) {
                return;
            }
            assert!(Instant::now() < deadline, "not {state}: {body}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(mut self) {
        let process = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_image_is_imported_listed_and_removed() {
    let place = Place::new();
    let archive = place.archive("tiny.tar", System::tiny().entry(EntryType::Char, "./dev/null", ""));
    assert!(place.run(&["image", "list"]).stdout.starts_with(b"NAME"));
    let said = place.says(&["image", "import", &archive, "--name", "tiny/1 (mine)", "--login-user", "mia"]);
    assert!(said.contains("imported tiny/1 (mine): Tiny 1, ") && said.contains("log in as mia"), "{said}");
    assert!(said.contains("note: devices left out of dev/, since machines have their own: 1"), "{said}");
    // The same again from a pipe, compressed.
    let zip = format!("gzip -c {archive} | {PROGRAM} image import - --name tiny-2");
    let piped = Command::new("sh").args(["-c", &zip]).env("EC2_LOCAL_STATE_DIR", place.state()).output().unwrap();
    assert!(piped.status.success(), "{piped:?}");
    let list = place.says(&["image", "list"]);
    let rows: Vec<&str> = list.lines().collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(rows[1].starts_with("tiny/1 (mine) ") && rows[2].starts_with("tiny-2 "), "{list}");
    assert!(rows[2].contains(" ami-0") && rows[2].contains(" Tiny 1 ") && rows[2].contains(" MiB "), "{list}");
    let root = PathBuf::from(rows[2].split_whitespace().last().unwrap());
    assert!(root.join("bin/sh").exists(), "{list}");

    assert!(place.refuses(&["image", "import", &archive, "--name", "tiny-2"]).contains("--replace"));
    assert!(root.exists());
    place.says(&["image", "import", &archive, "--name", "tiny-2", "--replace"]);
    assert!(!root.exists());
    assert_eq!(place.says(&["image", "remove", "tiny-2"]), "removed tiny-2\n");
    assert!(place.refuses(&["image", "remove", "tiny-2"]).contains("there is none of that name"));
    assert_eq!(place.kept(), (vec!["tiny+1 (mine).json".to_owned()], 1));
    place.says(&["image", "remove", "tiny/1 (mine)"]);
    assert_eq!(place.kept(), (vec![], 0));
}

#[test]
fn what_is_refused_is_named_and_leaves_nothing() {
    let place = Place::new();
    let archive = |name: &str, system: System| place.archive(name, system);
    for (archive, said) in [
        (archive("up", System::tiny().file("./a/../../x", b"x", 0o644)), "`./a/../../x`: its path contains `..`"),
        (archive("absolute", System::tiny().file("/etc/x", b"x", 0o644)), "`/etc/x`: its path is absolute"),
        (
            archive("through", System::tiny().link("./out", "/tmp").file("./out/x", b"x", 0o644)),
            "`./out/x`: its path leads through the symbolic link `out`",
        ),
        (archive("escape", System::tiny().link("./out", "../../etc/passwd")), "`./out`: it is a symbolic link to"),
        (archive("hard", System::tiny().entry(EntryType::Link, "./x", "/etc/passwd")), "`./x`: it is a hard link to"),
        (archive("device", System::tiny().entry(EntryType::Block, "./disk", "")), "`./disk`: it is a device"),
        (archive("empty", System::empty()), "it has no /bin/sh"),
        ("/nonexistent".to_owned(), "open /nonexistent: "),
        ("/etc/passwd".to_owned(), "damaged"),
    ] {
        let error = place.refuses(&["image", "import", &archive, "--name", "refused"]);
        assert!(error.starts_with("ec2-local: failed to ") && error.contains(said), "{error}");
        assert_eq!(place.kept(), (vec![], 0), "{archive}");
    }
    let tiny = archive("tiny", System::tiny());
    let error = place.refuses(&["image", "import", &tiny, "--name", "refused", "--max-size", "1M"]);
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
    for name in ["host", "blank", "../x", "", "ab", "a+b"] {
        let error = place.refuses(&["image", "import", &tiny, "--name", name]);
        assert!(error.contains("can't be the name of an image"), "{error}");
    }
    let error = place.refuses(&["image", "import", &tiny, "--name", "tiny", "--login-user", "x:y"]);
    assert!(error.contains("`x:y` can't be the name of a user"), "{error}");
    assert_eq!(place.kept(), (vec![], 0));
}

#[test]
fn a_killed_import_leaves_no_image_and_the_next_cleans_up() {
    let place = Place::new();
    let archive = System::tiny().archive();
    let mut import = place.command(&["image", "import", "-", "--name", "tiny"]).stdin(Stdio::piped()).spawn().unwrap();
    // Not all of it: it waits for the rest.
    import.stdin.as_mut().unwrap().write_all(&archive[..archive.len() / 2]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while place.kept().1 == 0 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(2));
    }
    // Who comes meanwhile doesn't disturb it.
    assert_eq!(place.says(&["image", "list"]).lines().count(), 1);
    let whole = place.archive("tiny.tar", System::tiny());
    place.says(&["image", "import", &whole, "--name", "other"]);
    assert_eq!(place.kept(), (vec!["other.json".to_owned()], 2));
    import.kill().unwrap();
    import.wait().unwrap();
    place.says(&["image", "import", &whole, "--name", "tiny"]);
    let (names, trees) = place.kept();
    assert_eq!((names.len(), trees), (2, 2));
}

#[test]
fn what_an_image_says_of_itself_does_nothing_to_a_terminal() {
    let place = Place::new();
    let release = b"ID=tiny\nPRETTY_NAME=\"\x1b[2Jtiny\x07\x9b\0\"\n";
    let archive = place.archive("tiny.tar", System::tiny().file("./etc/os-release", release, 0o644));
    let said = place.says(&["image", "import", &archive, "--name", "tiny"]) + &place.says(&["image", "list"]);
    assert!(said.contains("imported tiny: \u{fffd}[2Jtiny"), "{said:?}");
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    // A client of EC2's must be able to read the answer, too: XML knows no such characters.
    let serving = Serving::start(&place);
    let shown = serving.call("Action=DescribeImages&Owner.1=self").body;
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    serving.end();
}

#[test]
fn of_two_imports_of_a_name_one_wins() {
    let place = Place::new();
    let archive = place.archive("tiny.tar", System::tiny());
    let imports: Vec<Child> = (0..4)
        .map(|_| {
            let mut import = place.command(&["image", "import", &archive, "--name", "tiny"]);
            import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<Output> = imports.into_iter().map(|import| import.wait_with_output().unwrap()).collect();
    let (won, lost): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
    assert_eq!(won.len(), 1, "{outputs:?}");
    assert!(lost.iter().all(|output| String::from_utf8_lossy(&output.stderr).contains("there is one of that name")));
    assert_eq!(place.kept(), (vec!["tiny.json".to_owned()], 1));
}

#[test]
fn a_running_endpoint_offers_what_is_there() {
    let place = Place::new();
    let serving = Serving::start(&place);
    assert_eq!(serving.images(), ["host", "blank"]);
    let archive = place.archive("tiny.tar", System::tiny());
    let said = place.says(&["image", "import", &archive, "--name", "tiny"]);
    assert_eq!(serving.images(), ["host", "blank", "tiny"]);
    let shown = serving.call("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=tiny");
    assert!(said.contains(shown.element("imageId")), "{said}");
    assert_eq!((shown.element("description"), shown.element("isPublic")), ("Tiny 1", "false"));
    assert!(shown.body.contains("<key>os-release:ID</key><value>tiny</value>"), "{shown:?}");

    let instance = serving.launch("tiny", "#!/bin/sh\n. /etc/os-release; echo \"this is $ID as $(id -u)\"\n");
    serving.until_console(&instance, "this is tiny as 0");
    serving.until_state(&instance, "running");
    // Without the image it goes on, over a stop and a start; and nobody can have another.
    let removed = place.says(&["image", "remove", "tiny"]);
    assert!(removed.contains(&instance), "{removed}");
    assert_eq!(serving.images(), ["host", "blank"]);
    let gone = serving.call(&format!("Action=DescribeImages&ImageId.1={}", shown.element("imageId")));
    assert_eq!(gone.element("Code"), "InvalidAMIID.NotFound");
    serving.call(&format!("Action=StopInstances&InstanceId.1={instance}"));
    serving.until_state(&instance, "stopped");
    serving.call(&format!("Action=StartInstances&InstanceId.1={instance}"));
    serving.until_state(&instance, "running");
    assert_eq!(place.kept(), (vec![], 1));
    serving.call(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
    let deadline = Instant::now() + PATIENCE;
    while place.kept().1 > 0 {
        assert!(Instant::now() < deadline, "the files of the removed image stay");
        thread::sleep(Duration::from_millis(5));
    }

    // What an endpoint still needs when it ends goes with it.
    place.says(&["image", "import", &archive, "--name", "tiny"]);
    let instance = serving.launch("tiny", "#!/bin/sh\necho again\n");
    serving.until_console(&instance, "again");
    place.says(&["image", "remove", "tiny"]);
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

/// A kill that overtook its start would find no machine, and the machine would run on in an instance that waits for its end.
#[test]
fn a_machine_that_is_ended_before_it_was_started_ends() {
    let place = Place::new();
    let archive = place.archive("tiny.tar", System::tiny());
    place.says(&["image", "import", &archive, "--name", "tiny"]);
    let serving = Serving::start(&place);
    // A machine isn't started as long as somebody changes the images.
    let images = fs::File::open(place.state().join("images")).unwrap();
    images.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| serving.launch("tiny", ""));
        let seen = || serving.call("Action=DescribeInstances").body.contains("<instanceId>");
        let deadline = Instant::now() + PATIENCE;
        while !seen() {
            assert!(Instant::now() < deadline, "the account knows of no instance");
            thread::sleep(Duration::from_millis(2));
        }
        let instance = serving.call("Action=DescribeInstances").element("instanceId").to_owned();
        serving.call(&format!("Action=TerminateInstances&InstanceId.1={instance}"));
        images.unlock().unwrap();
        serving.until_state(&instance, "terminated");
    });
    place.says(&["image", "remove", "tiny"]);
    serving.end();
    assert_eq!(place.kept(), (vec![], 0));
}

#[test]
fn an_image_of_an_earlier_version_is_to_be_imported_again() {
    let place = Place::new();
    let archive = place.archive("tiny.tar", System::tiny());
    place.says(&["image", "import", &archive, "--name", "tiny"]);
    let file = place.state().join("images/tiny.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"format\": 2"), "{text}");
    fs::write(&file, text.replace("\"format\": 2", "\"format\": 1")).unwrap();
    assert!(
        place.says(&["image", "list"]).contains("an earlier version has imported it: import it again, with --replace")
    );
    let serving = Serving::start(&place);
    assert_eq!(serving.images(), ["host", "blank"]);
    place.says(&["image", "import", &archive, "--name", "tiny", "--replace"]);
    assert_eq!(serving.images(), ["host", "blank", "tiny"]);
    serving.end();
}

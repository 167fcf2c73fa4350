//! A command: a line for the machine's `sh`, and how it is run.

use super::{
    output::OutputLimit,
    quote::{needs_posix_shell, quote_all},
};
use crate::error::{Error, ErrorKind};
use std::{fmt, time::Duration};
use tokio::sync::mpsc;

/// What fits in one exec request: libssh2 refuses packets above 35,000 bytes.
const LONGEST_REQUEST: usize = 32_000;

/// What a command reads.
#[derive(Default)]
pub(super) enum Stdin {
    /// Nothing: it is at its end at once.
    #[default]
    Empty,
    Bytes(Vec<u8>),
    /// Chunks as they come; at its end when the sender is gone.
    Chunks(mpsc::Receiver<Vec<u8>>),
}

/// Size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pty {
    /// Characters a line.
    pub columns: u32,
    /// Lines.
    pub rows: u32,
}

/// 80 by 24.
impl Default for Pty {
    fn default() -> Self {
        Self { columns: 80, rows: 24 }
    }
}

/// A command to run: a line for the machine's `sh`, whatever the user's login shell is.
#[must_use = "a command does nothing until a session runs it"]
pub struct Command {
    pub(super) line: String,
    /// What errors call it; its line if it is empty.
    pub(super) called: String,
    pub(super) stdin: Stdin,
    pub(super) environment: Vec<(String, String)>,
    pub(super) prefix: Vec<String>,
    pub(super) pty: Option<Pty>,
    pub(super) timeout: Option<Duration>,
    pub(super) limit: OutputLimit,
    pub(super) stdout: Option<mpsc::Sender<Vec<u8>>>,
}

impl Command {
    /// Any line that `sh` understands, of any length: `a && b`, here documents, several lines.
    pub fn new(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            called: String::new(),
            stdin: Stdin::Empty,
            environment: Vec::new(),
            prefix: Vec::new(),
            pty: None,
            timeout: None,
            limit: OutputLimit::default(),
            stdout: None,
        }
    }

    /// What errors call it; by default its line.
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.called = name.into();
        self
    }

    /// What it reads; nothing by default.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    pub(super) fn stdin_chunks(mut self, chunks: mpsc::Receiver<Vec<u8>>) -> Self {
        self.stdin = Stdin::Chunks(chunks);
        self
    }

    pub(super) fn stdout_chunks(mut self, chunks: mpsc::Sender<Vec<u8>>) -> Self {
        self.stdout = Some(chunks);
        self
    }

    /// Sets a variable of its environment, behind [`prefix`](Self::prefix) too. Other users of the machine may see it
    /// in the list of processes.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Words that the shell of the whole line is run by, for example `sudo -n --`; none by default.
    pub fn prefix<W: Into<String>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.prefix = words.into_iter().map(Into::into).collect();
        self
    }

    /// Runs it in a terminal: both streams then come as stdout, with `\r\n`. Not by default.
    pub fn pty(mut self, size: Pty) -> Self {
        self.pty = Some(size);
        self
    }

    /// How long it may take, waiting for a free connection included; then it is ended. Unlimited by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many bytes it may write to each stream, which are kept in memory; one that writes more is ended, and fails.
    /// 64 MiB by default.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.limit = OutputLimit(bytes);
        self
    }

    /// What an error calls it.
    pub(super) fn summary(&self) -> String {
        if self.called.is_empty() { summary(&self.line) } else { self.called.clone() }
    }

    /// Whether it can be run at all.
    pub(super) fn check(&self) -> Result<(), Error> {
        let failed = |reason: String| {
            Err(Error::new(ErrorKind::Configuration, format!("run {}", self.summary())).because(reason))
        };
        if self.line.contains('\0') {
            return failed("a command can't contain a NUL".into());
        }
        for (name, value) in &self.environment {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(is_name) {
                return failed(format!("{name:?} isn't a variable's name"));
            }
            if value.contains('\0') {
                return failed(format!("the value of {name} contains a NUL"));
            }
        }
        if self.pty.is_some() && self.request("").len() > LONGEST_REQUEST {
            return failed("it is too long for a terminal; push it as a script".into());
        }
        Ok(())
    }

    /// What to ask of the machine.
    ///
    /// Before the line it writes `marker` to stdout, and `marker pid login-shell` to stderr: the process that we end, with what descends from
    /// it, when the command is dropped. At its end with status 0 it writes `marker 0`, because libssh2 can't tell that
    /// status from none at all while a background process keeps the streams open.
    ///
    /// Where it reads anything, it first reads up to a line of `marker` alone, which is sent once it has told that it began: what
    /// was sent before is for its login shell's start files. Without that line it says `marker starved`, and ends.
    pub(super) fn wrap(&self, marker: &str, login_shell: LoginShell) -> Wrapped {
        let request = self.request(marker);
        let is_safe = login_shell == LoginShell::Posix || !needs_posix_shell(&request);
        if self.pty.is_some() || (is_safe && request.len() <= LONGEST_REQUEST) {
            let preamble = if self.is_fed() { format!("{marker}\n").into_bytes() } else { Vec::new() };
            return Wrapped { request, preamble };
        }
        self.bootstrap(marker)
    }

    /// Whether it reads what we send, and finds where that begins. In a terminal everything would come back as an echo.
    fn is_fed(&self) -> bool {
        self.pty.is_none() && !matches!(self.stdin, Stdin::Empty)
    }

    /// The request that runs the line in `sh`.
    fn request(&self, marker: &str) -> String {
        let arguments = self.arguments();
        let arguments = arguments.iter().map(String::as_str);
        let (start, body) = (start(marker, self.is_fed()), self.body(marker));
        if self.prefix.is_empty() {
            exec(["sh", "-c", &(start + &body), "sh"].into_iter().chain(arguments))
        } else {
            let outer = ["sh", "-c", &become_another(start), "sh"];
            let prefix = self.prefix.iter().map(String::as_str);
            exec(outer.into_iter().chain(prefix).chain(["sh", "-c", &body, "sh"]).chain(arguments))
        }
    }

    /// The request for a line that is too long, or that the login shell might not take literally: `sh` reads a line
    /// from stdin and runs it, which gathers further lines up to the marker and runs those. `read` takes no byte more
    /// than its line, so that the rest of stdin is the command's.
    fn bootstrap(&self, marker: &str) -> Wrapped {
        const READ: &str = r#"IFS= read -r c;eval "$c""#;
        let (start, body) = (start(marker, true), self.body(marker));
        let arguments = self.arguments();
        let arguments = quote_all(arguments.iter().map(String::as_str));
        let request = if self.prefix.is_empty() {
            exec(["sh", "-c", &(start + READ)])
        } else {
            let outer = ["sh", "-c", &become_another(start), "sh"];
            let prefix = self.prefix.iter().map(String::as_str);
            exec(outer.into_iter().chain(prefix).chain(["sh", "-c", READ]))
        };
        let script = format!("set -- {arguments};{body}");
        let gather = format!(
            "s=;e=$(echo;echo x);e=${{e%x}};while IFS= read -r c&&[ \"$c\" != {marker} ];do s=$s$c$e;done;eval \"$s\""
        );
        Wrapped { request, preamble: format!("{marker}\n{gather}\n{script}\n{marker}\n").into_bytes() }
    }

    /// What the body is given as `$1`, the line, and `$2…`, the variables.
    fn arguments(&self) -> Vec<String> {
        let variables = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        std::iter::once(self.line.clone()).chain(variables).collect()
    }

    /// The script that runs the line. No backslash, `!` or newline of our own: any login shell takes it literally.
    fn body(&self, marker: &str) -> String {
        let variables = self.environment.len();
        let exports: String = (0..variables).map(|number| format!("export \"${{{}}}\";", number + 2)).collect();
        format!("trap 'test $? = 0&&echo {marker} 0 >&2' EXIT;{exports}eval \"shift {};$1\"", variables + 1)
    }
}

/// What an error calls a line: its beginning.
pub(crate) fn summary(line: &str) -> String {
    const LONGEST: usize = 120;
    let first = line.trim().lines().next().unwrap_or_default();
    let cut: String = first.chars().take(LONGEST).collect();
    let dots = if cut.len() < line.trim().len() { "…" } else { "" };
    format!("`{cut}{dots}`")
}

/// Tells where the command begins, on either stream, since the login shell's start files may have printed something before; and finds where
/// in what is sent it begins, since they may have left something of that. `read` takes no byte more than its line.
fn start(marker: &str, is_fed: bool) -> String {
    let begin = format!("echo {marker};echo {marker} $$ \"$SHELL\" >&2;");
    if !is_fed {
        return begin;
    }
    begin + &format!("until IFS= read -r c||{{ echo {marker} starved >&2;exit 1;}};test \"$c\" = {marker};do :;done;")
}

/// A shell that starts so, and becomes another program.
fn become_another(start: String) -> String {
    start + "exec \"$@\""
}

fn exec<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    format!("exec {}", quote_all(words))
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of variables, and stdin, may be secrets.
        f.debug_struct("Command").field("line", &self.line).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl From<&str> for Command {
    fn from(line: &str) -> Self {
        Self::new(line)
    }
}

impl From<String> for Command {
    fn from(line: String) -> Self {
        Self::new(line)
    }
}

/// What is known about the user's login shell, which every request passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginShell {
    Posix,
    /// fish, csh, or not known yet.
    Other,
}

impl LoginShell {
    /// By the value of `$SHELL`.
    pub(super) fn of(path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("sh" | "bash" | "dash" | "ash" | "ksh" | "mksh" | "zsh") => Self::Posix,
            _ => Self::Other,
        }
    }
}

/// A request, and what goes before the command's own stdin: nothing where it is to have none.
pub(super) struct Wrapped {
    pub(super) request: String,
    pub(super) preamble: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{io::Write as _, process};

    /// Runs what would be asked of a machine, by a login shell here.
    fn run_locally(command: &Command, login_shell: LoginShell) -> (String, String, i32) {
        let wrapped = command.wrap("MARK", login_shell);
        let mut child = process::Command::new("sh")
            .args(["-c", &wrapped.request])
            .env("SHELL", "/bin/sh")
            .stdin(process::Stdio::piped())
            .stdout(process::Stdio::piped())
            .stderr(process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&wrapped.preamble).unwrap();
        if let Stdin::Bytes(bytes) = &command.stdin {
            stdin.write_all(bytes).unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let stdout = text(output.stdout);
        let stdout = stdout.strip_prefix("MARK\n").expect("stdout begins without our line");
        (stdout.to_owned(), text(output.stderr), output.status.code().unwrap())
    }

    #[test]
    fn markers_tell_start_and_success() {
        let (stdout, stderr, status) = run_locally(&Command::new("echo hi; echo oh >&2"), LoginShell::Posix);
        assert_eq!((stdout.as_str(), status), ("hi\n", 0));
        let lines: Vec<_> = stderr.lines().collect();
        assert!(lines[0].starts_with("MARK ") && lines[0].ends_with(" /bin/sh"), "{stderr}");
        assert_eq!(lines[1..], ["oh", "MARK 0"]);
    }

    #[test]
    fn a_failure_has_no_second_marker() {
        let (_, stderr, status) = run_locally(&Command::new("exit 3"), LoginShell::Posix);
        assert_eq!((stderr.lines().count(), status), (1, 3));
    }

    #[test]
    fn the_whole_line_is_behind_the_prefix() {
        let command =
            Command::new("echo $A && echo \"$B\"; exit 4").env("A", "it's").env("B", "x  y").prefix(["env", "B=0"]);
        let (stdout, _, status) = run_locally(&command, LoginShell::Posix);
        assert_eq!((stdout.as_str(), status), ("it's\nx  y\n", 4));
    }

    #[test]
    fn an_unknown_login_shell_gets_nothing_special() {
        for line in ["echo a", "it's", "a\\b", "a!b", "a\nb"] {
            let request = Command::new(line).env("A", "b c").wrap("MARK", LoginShell::Other).request;
            assert!(!needs_posix_shell(&request), "{request}");
        }
    }

    #[test]
    fn bad_variables_are_refused() {
        for name in ["", "1A", "A-B", "A=B", "A B"] {
            assert!(Command::new("true").env(name, "x").check().is_err(), "{name}");
        }
        assert!(Command::new("a\0b").check().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn values_and_input_arrive(value in "[^\0]{0,30}", input in "[^\0]{0,30}", posix: bool) {
            let shell = if posix { LoginShell::Posix } else { LoginShell::Other };
            let command = Command::new("printf '%s|' \"$V\"\ncat # it's !").env("V", &value).stdin(input.clone());
            let (stdout, _, status) = run_locally(&command, shell);
            prop_assert_eq!(stdout, format!("{value}|{input}"));
            prop_assert_eq!(status, 0);
        }
    }
}

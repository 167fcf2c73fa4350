//! `sudo`, for those who need no password: root, the groups sudo and wheel, and whom the machine's lists name.
//!
//! It runs setuid root in the machine's user namespace, where root is nobody's root outside.

use crate::{
    sudoers, system,
    users::{self, User},
};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::PermissionsExt,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Where commands are looked for.
const SECURE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What sudo's own defaults let through (env_keep and env_check).
const KEPT: &[&str] = &[
    "COLORS",
    "COLORTERM",
    "DISPLAY",
    "HOSTNAME",
    "LANG",
    "LANGUAGE",
    "LINGUAS",
    "LS_COLORS",
    "PS1",
    "PS2",
    "TERM",
    "TZ",
];

#[derive(Default)]
struct Options {
    user: Option<String>,
    group: Option<String>,
    directory: Option<PathBuf>,
    non_interactive: bool,
    preserve: bool,
    preserved: Vec<String>,
    set_home: bool,
    login: bool,
    shell: bool,
    list: bool,
    /// `-k`, `-K`, `-v`: nothing need be done, since there are no passwords.
    nothing: bool,
    variables: Vec<(OsString, OsString)>,
    command: Vec<OsString>,
}

/// Runs `sudo`.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<OsString>) -> Result<ExitCode, String> {
    if arguments.len() == 1 && (arguments[0] == "-V" || arguments[0] == "--version") {
        println!("Sudo version {} (ec2-local)", option_env!("EC2_LOCAL_VERSION").unwrap_or("0"));
        return Ok(ExitCode::SUCCESS);
    }
    let options = parse(arguments)?;
    if system::effective_uid() != 0 {
        return Err("sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set".to_owned());
    }
    let caller = users::by_uid(system::real_uid())
        .ok_or_else(|| format!("sudo: you do not exist in the passwd database (uid {})", system::real_uid()))?;
    if !may(&caller) {
        return Err(refusal(&caller, &options));
    }
    if options.list {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        println!(
            "User {} may run the following commands on {}:\n    (ALL : ALL) NOPASSWD: ALL",
            caller.name,
            host.trim()
        );
        return Ok(ExitCode::SUCCESS);
    }
    if options.command.is_empty() && !options.login && !options.shell {
        return if options.nothing { Ok(ExitCode::SUCCESS) } else { Err(usage("nothing to run")) };
    }
    let name = match (&options.user, &options.group) {
        (Some(name), _) => name.clone(),
        // With a group alone, the user stays who it is.
        (None, Some(_)) => caller.name.clone(),
        (None, None) => "root".to_owned(),
    };
    let mut target = users::user(&name).ok_or_else(|| format!("sudo: unknown user {name}"))?;
    let mut groups = users::groups_of(&target);
    if let Some(group) = &options.group {
        target.gid = users::group(group).ok_or_else(|| format!("sudo: unknown group {group}"))?;
        groups.insert(0, target.gid);
    }
    let mut command = command(&options, &caller, &target)?;
    system::become_user(target.uid, target.gid, &groups)
        .map_err(|error| format!("sudo: unable to become {name}: {error}"))?;
    if let Some(directory) = directory(&options, &target) {
        env::set_current_dir(&directory)
            .map_err(|error| format!("sudo: unable to change directory to {}: {error}", directory.display()))?;
    }
    let program = command.get_program().to_string_lossy().into_owned();
    Err(format!("sudo: unable to execute {program}: {}", command.exec()))
}

fn may(caller: &User) -> bool {
    if caller.uid == 0 {
        return true;
    }
    let names = sudoers::names();
    let listed = |name: &str| names.iter().any(|found| found == name);
    let mut ids = users::groups_of(caller);
    ids.extend(system::groups());
    listed(&caller.name)
        || listed("ALL")
        || users::groups().iter().any(|group| {
            ids.contains(&group.gid)
                && (["sudo", "wheel"].contains(&group.name.as_str()) || listed(&format!("%{}", group.name)))
        })
}

fn refusal(caller: &User, options: &Options) -> String {
    if options.non_interactive {
        return "sudo: a password is required".to_owned();
    }
    format!("{} is not in the sudoers file.\nThis incident has been reported to the administrator.", caller.name)
}

fn usage(why: &str) -> String {
    format!(
        "sudo: {why}\nusage: sudo [-EHiknSsv] [-u user] [-g group] [-D directory] [--] [VAR=value] command [arg ...]\n\
         usage: sudo -l (ec2-local's own sudo has no other options)"
    )
}

fn parse(arguments: Vec<OsString>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut rest = arguments.into_iter().peekable();
    while let Some(argument) = rest.next_if(|argument| argument.as_bytes().starts_with(b"-") && argument.len() > 1) {
        let text = argument.to_string_lossy().into_owned();
        if text == "--" {
            break;
        }
        match text.strip_prefix("--") {
            Some(long) => {
                let (name, value) =
                    long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_owned())));
                let mut needed = || {
                    let next = || rest.next().map(|value| value.to_string_lossy().into_owned());
                    value.clone().or_else(next).ok_or_else(|| usage(&format!("option `{text}` needs a value")))
                };
                match name {
                    "user" => options.user = Some(needed()?),
                    "group" => options.group = Some(needed()?),
                    "chdir" => options.directory = Some(needed()?.into()),
                    "prompt" => drop(needed()?),
                    "preserve-env" => match value {
                        Some(names) => options.preserved.extend(names.split(',').map(str::to_owned)),
                        None => options.preserve = true,
                    },
                    _ => {
                        let letter = LONG.iter().find(|(long, _)| *long == name).map(|(_, letter)| *letter);
                        let letter = letter.filter(|_| value.is_none());
                        flag(&mut options, letter.ok_or_else(|| usage(&format!("unknown option `{text}`")))?)?;
                    }
                }
            }
            None => {
                let mut letters = text[1..].chars();
                while let Some(letter) = letters.next() {
                    if !['u', 'g', 'D', 'p'].contains(&letter) {
                        flag(&mut options, letter)?;
                        continue;
                    }
                    // The value stands in the same word, or is the next one.
                    let here: String = letters.by_ref().collect();
                    let value = if here.is_empty() { rest.next() } else { Some(here.into()) };
                    let value = value.ok_or_else(|| usage(&format!("option `-{letter}` needs a value")))?;
                    let value = value.to_string_lossy().into_owned();
                    match letter {
                        'u' => options.user = Some(value),
                        'g' => options.group = Some(value),
                        'D' => options.directory = Some(value.into()),
                        _ => {}
                    }
                }
            }
        }
    }
    while let Some((name, value)) = rest.peek().and_then(|word| assignment(word)) {
        options.variables.push((name, value));
        rest.next();
    }
    options.command = rest.collect();
    Ok(options)
}

const LONG: &[(&str, char)] = &[
    ("non-interactive", 'n'),
    ("set-home", 'H'),
    ("login", 'i'),
    ("shell", 's'),
    ("list", 'l'),
    ("reset-timestamp", 'k'),
    ("remove-timestamp", 'K'),
    ("validate", 'v'),
    ("stdin", 'S'),
    ("askpass", 'A'),
];

fn flag(options: &mut Options, letter: char) -> Result<(), String> {
    match letter {
        'n' => options.non_interactive = true,
        'E' => options.preserve = true,
        'H' => options.set_home = true,
        'i' => options.login = true,
        's' => options.shell = true,
        'l' => options.list = true,
        'k' | 'K' | 'v' => options.nothing = true,
        // There is no password to be read.
        'S' | 'A' => {}
        other => return Err(usage(&format!("unknown option `-{other}`"))),
    }
    Ok(())
}

fn assignment(word: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = word.as_bytes();
    let at = bytes.iter().position(|&byte| byte == b'=').filter(|&at| at > 0)?;
    let name = &bytes[..at];
    let named = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') && !name[0].is_ascii_digit();
    named.then(|| (OsString::from_vec(name.to_vec()), OsString::from_vec(bytes[at + 1..].to_vec())))
}

fn directory(options: &Options, target: &User) -> Option<PathBuf> {
    options.directory.clone().or_else(|| options.login.then(|| target.home.clone()).filter(|home| home.is_dir()))
}

fn command(options: &Options, caller: &User, target: &User) -> Result<Command, String> {
    let words = &options.command;
    let mut command = if options.login || options.shell {
        let own = env::var_os("SHELL").map(PathBuf::from).filter(|_| !options.login);
        let shell = own.unwrap_or_else(|| if options.login { target.shell.clone() } else { caller.shell.clone() });
        let mut command = Command::new(&shell);
        if options.login {
            let mut name = OsString::from("-");
            name.push(shell.file_name().unwrap_or_default());
            command.arg0(name);
        }
        if !words.is_empty() {
            command.arg("-c").arg(escaped(words));
        }
        command
    } else {
        let mut command = Command::new(find(&words[0])?);
        command.arg0(&words[0]).args(&words[1..]);
        command
    };
    command.env_clear().envs(environment(options, caller, target));
    Ok(command)
}

/// The words as one line for a shell; sudo escapes every character but letters, digits, `_`, `-` and `$`.
fn escaped(words: &[OsString]) -> OsString {
    let mut line = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            line.push(b' ');
        }
        for &byte in word.as_bytes() {
            if !(byte.is_ascii_alphanumeric() || b"_-$".contains(&byte)) {
                line.push(b'\\');
            }
            line.push(byte);
        }
    }
    OsString::from_vec(line)
}

fn find(name: &OsStr) -> Result<PathBuf, String> {
    let executable =
        |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    let missing = || format!("sudo: {}: command not found", name.to_string_lossy());
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(|path| executable(path)).ok_or_else(missing);
    }
    SECURE_PATH
        .split(':')
        .map(|directory| Path::new(directory).join(name))
        .find(|path| executable(path))
        .ok_or_else(missing)
}

fn environment(options: &Options, caller: &User, target: &User) -> Vec<(OsString, OsString)> {
    let kept = |name: &str| {
        options.preserve
            || options.preserved.iter().any(|other| other == name)
            || KEPT.contains(&name)
            || name.starts_with("LC_")
    };
    let mut environment: Vec<(OsString, OsString)> = env::vars_os()
        .filter(|(name, _)| kept(&name.to_string_lossy()) && !name.as_bytes().starts_with(b"LD_"))
        .collect();
    let mut set = |name: &str, value: &OsStr| {
        environment.retain(|(other, _)| other != name);
        environment.push((name.into(), value.into()));
    };
    let preserved = |name: &str| options.preserve || options.preserved.iter().any(|other| other == name);
    if !preserved("HOME") || options.set_home || options.login {
        set("HOME", target.home.as_os_str());
    }
    set("PATH", SECURE_PATH.as_ref());
    set("USER", target.name.as_ref());
    set("LOGNAME", target.name.as_ref());
    set("MAIL", format!("/var/mail/{}", target.name).as_ref());
    set("SHELL", target.shell.as_os_str());
    set("SUDO_USER", caller.name.as_ref());
    set("SUDO_UID", caller.uid.to_string().as_ref());
    set("SUDO_GID", system::real_gid().to_string().as_ref());
    let mut line = match options.command.first() {
        Some(word) => find(word).unwrap_or_else(|_| word.into()).into_os_string(),
        None => target.shell.clone().into_os_string(),
    };
    for word in options.command.iter().skip(1) {
        line.push(" ");
        line.push(word);
    }
    set("SUDO_COMMAND", &line);
    for (name, value) in &options.variables {
        set(&name.to_string_lossy(), value);
    }
    environment
}

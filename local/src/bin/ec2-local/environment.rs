//! What an AWS client needs in its environment, in the words of those that read it.

use clap::ValueEnum;
use ec2_local::endpoint::Client;

/// Who reads it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    /// A shell as POSIX has it, bash and zsh: eval "$(ec2-local env)"
    Sh,
    /// fish: ec2-local env --format fish | source
    Fish,
    /// PowerShell: ec2-local env --format powershell | Out-String | Invoke-Expression
    Powershell,
    /// env(1), for one command: env $(ec2-local env --format env) COMMAND
    Env,
    /// A file of NAME=VALUE lines, as .env, Docker's --env-file and GitHub's $GITHUB_ENV are
    Dotenv,
    /// An object in JSON
    Json,
}

/// What is set. None of the values has anything in it that a shell would take for its own.
pub fn set(client: &Client) -> Vec<(&'static str, String)> {
    let credentials = client.credentials();
    let values = [
        ("AWS_ENDPOINT_URL_EC2", client.url()),
        ("AWS_ENDPOINT_URL_STS", client.url()),
        ("AWS_ACCESS_KEY_ID", &credentials.access_key),
        ("AWS_SECRET_ACCESS_KEY", &credentials.secret_key),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        // Nobody is to ask the host's own metadata service, where it is an instance itself.
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    values.map(|(name, value)| (name, value.to_owned())).to_vec()
}

/// What is taken away: left over from an AWS session, a token would be signed along and refused, a profile would come before
/// the keys, and the others lead past the endpoint, or are refused beside one.
pub const UNSET: [&str; 7] = [
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
];

/// All of it for one reader; `note` goes where comments can be.
pub fn written(format: Format, set: &[(&'static str, String)], note: &str) -> Result<String, String> {
    let lines =
        |line: &dyn Fn(&str, &str) -> String| -> String { set.iter().map(|(name, value)| line(name, value)).collect() };
    let unset = UNSET.join(" ");
    // The note is the last line: a shell to which it all is one line must not take the rest for a part of it.
    Ok(match format {
        Format::Sh => lines(&|name, value| format!("export {name}={value}\n")) + &format!("unset {unset}\n# {note}\n"),
        Format::Fish => {
            let unset = UNSET.map(|name| format!("set --erase {name}\n")).concat();
            lines(&|name, value| format!("set --global --export {name} {value}\n")) + &format!("{unset}# {note}\n")
        }
        Format::Powershell => {
            let unset = UNSET.map(|name| format!("Remove-Item Env:{name} -ErrorAction SilentlyContinue\n")).concat();
            lines(&|name, value| format!("$Env:{name} = '{value}'\n")) + &format!("{unset}# {note}\n")
        }
        Format::Env => {
            UNSET.map(|name| format!("-u {name}\n")).concat() + &lines(&|name, value| format!("{name}={value}\n"))
        }
        Format::Dotenv => lines(&|name, value| format!("{name}={value}\n")),
        Format::Json => {
            let object: serde_json::Map<_, _> =
                set.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
            serde_json::to_string_pretty(&object).map_err(|e| format!("write JSON: {e}"))? + "\n"
        }
    })
}

//! Anything as user data.

use super::{modules::Settings, parts, parts::Part, value};

/// User data of any kind: what isn't understood is named, and nothing is run.
pub fn user_data(bytes: &[u8]) {
    let parsed = parts::parse(bytes);
    let mut merged = value::Mapping::new();
    for part in parsed.parts {
        if let Part::Config(text) = part
            && let Ok(config) = value::parse(&text)
        {
            merged.extend(config);
        }
    }
    let settings = Settings::parse(&merged, "ec2-user");
    assert!(settings.errors.iter().chain(&parsed.errors).all(|error| !error.is_empty()));
}

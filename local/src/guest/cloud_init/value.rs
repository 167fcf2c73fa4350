//! Reading the values of a `#cloud-config`, with the tolerance that YAML 1.1 has and cloud-init relies on.

use serde_json::{Map, Value};

/// A mapping.
pub type Mapping = Map<String, Value>;

/// Parses a `#cloud-config`; one without anything in it is none.
pub fn parse(text: &str) -> Result<Mapping, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        // What begins with 0 is a mode, and octal.
        leading_zero_numbers_as_strings: true,
    };
    match serde_saphyr::from_str_with_options(text, options) {
        Ok(Value::Object(mapping)) => Ok(mapping),
        Ok(Value::Null) => Err("it is empty".to_owned()),
        Ok(_) => Err("it is not a mapping of keys to values".to_owned()),
        Err(error) => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// A text; numbers and truth values are texts too.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// A truth value, in the words of YAML 1.1.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" | "y" | "1" => Some(true),
            "no" | "off" | "false" | "n" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A list of texts; one text alone is a list, split at commas.
pub fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(values) => values.iter().map(text).collect(),
        Value::String(list) => {
            Some(list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        _ => None,
    }
}

/// A list of keys: as [`texts`], but one text alone is one key, commas and all.
pub fn keys(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(key) => {
            Some(key.lines().map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect())
        }
        other => texts(other),
    }
}

/// Commands as the lines of a shell script: a text as it is, a list word by word.
pub fn script(value: &Value) -> Result<String, String> {
    let Value::Array(commands) = value else { return Err("it is not a list of commands".to_owned()) };
    let mut script = "#!/bin/sh\n".to_owned();
    for command in commands {
        match command {
            Value::String(line) => script.push_str(line),
            Value::Array(words) => {
                let words: Option<Vec<String>> = words.iter().map(text).collect();
                let words = words.ok_or_else(|| format!("`{command}` is not a list of words"))?;
                let quoted: Vec<String> =
                    words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
                script.push_str(&quoted.join(" "));
            }
            Value::Null => continue,
            other => return Err(format!("`{other}` is neither a text nor a list of words")),
        }
        script.push('\n');
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_is_read_as_cloud_init_reads_it() {
        let found = parse("#cloud-config\na: 0644\nb: yes\nc: [1, x]\na: '0600'\n").unwrap();
        assert_eq!(found["a"], json!("0600"));
        assert_eq!(parse("a: 0644").unwrap()["a"], json!("0644"));
        assert_eq!(truth(&found["b"]), Some(true));
        assert_eq!(texts(&found["c"]).unwrap(), ["1", "x"]);
        assert_eq!(parse("#cloud-config\n{}").unwrap(), Mapping::new());
        assert_eq!(parse("\n#Cloud-Config\r\na: [b,\r\n  c]\r\nd: |\r\n  e\r\n").unwrap()["d"], json!("e\n"));
        assert!(parse("#cloud-config\n").is_err());
        assert!(parse("#cloud-config\n- a\n").is_err());
        assert!(parse("#cloud-config\na: [b\n").is_err());
        assert!(parse("a: b\n c: d\n").is_err());
    }

    #[test]
    fn commands_become_a_script() {
        let commands = json!(["echo a && b", ["echo", "it's", 3], null]);
        assert_eq!(script(&commands).unwrap(), "#!/bin/sh\necho a && b\n'echo' 'it'\\''s' '3'\n");
        assert!(script(&json!("echo")).is_err());
        assert!(script(&json!([{"a": "b"}])).is_err());
    }
}

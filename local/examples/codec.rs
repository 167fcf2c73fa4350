//! Codec and account as a filter, for `local/model/check.py` and `check_account.py`, which compare them with botocore.
//!
//! Each line of standard input is a JSON object, and is answered by one on standard output:
//!
//! - `{"query": "Action=…"}` by `{"action": …, "input": …}`, or by `{"code": …, "message": …}`;
//! - `{"action": …, "output": …, "request_id": …}` by `{"document": …}`, or by `{"code": …, "message": …}`;
//! - `{"call": "Action=…"}`, to an account whose machines do at once what they are told, by `{"action": …, "output": …,
//!   "document": …}`, or by `{"code": …, "message": …}`;
//! - `{"actions": true}` by `{"actions": […]}`, those that the account serves.
//!
//! What JSON has no value for is an object of one member: `{"$time": "2026-11-22T10:00:00Z"}`, `{"$base64": "…"}`.

use base64::{Engine, prelude::BASE64_STANDARD};
use ec2_local::{
    account::{Account, Effect, ImageSettings, Settings},
    error::ApiError,
    machine::Event,
    wire::{self, Structure, Value},
};
use serde_json::{Map, Value as Json, json};
use std::{
    error::Error,
    io::{BufRead, Write},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::datetime};

/// The account's clock stands still. Milliseconds are what the wire shows of it.
const NOW: OffsetDateTime = datetime!(2026-11-22 12:34:56.789 UTC);

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = Settings::new([1; 32], ImageSettings::host("ec2-user", "ID=debian\nPRETTY_NAME=Debian\n"));
    settings.pace = 0.0;
    // It is for the client to make one.
    settings.default_vpc = false;
    let mut account = Account::new(settings);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: Json = serde_json::from_str(&line?)?;
        let answer = answer(&mut account, &question)?
            .unwrap_or_else(|error| json!({"code": error.code.name(), "message": error.message}));
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

fn answer(account: &mut Account, question: &Json) -> Result<Result<Json, ApiError>, Box<dyn Error>> {
    if question["actions"] == true {
        return Ok(Ok(json!({"actions": Account::actions().collect::<Vec<_>>()})));
    }
    if let Some(query) = question["call"].as_str() {
        return Ok(match call(account, query) {
            Ok((action, output, document)) => {
                Ok(json!({"action": action, "output": from_structure(&output)?, "document": document}))
            }
            Err(error) => Err(error),
        });
    }
    if let Some(query) = question["query"].as_str() {
        let decoded = wire::decode(query.as_bytes());
        return Ok(match decoded {
            Ok((action, input)) => Ok(json!({"action": action, "input": from_structure(&input)?})),
            Err(error) => Err(error),
        });
    }
    let text = |name: &str| question[name].as_str().ok_or_else(|| format!("no {name} in {question}"));
    let output = question["output"].as_object().ok_or("no output")?;
    let document = wire::encode(text("action")?, &to_structure(output)?, text("request_id")?);
    Ok(document.map(|document| json!({ "document": document })))
}

fn call(account: &mut Account, query: &str) -> Result<(&'static str, Structure, String), ApiError> {
    let (action, input) = wire::decode(query.as_bytes())?;
    let output = account.call(NOW, "us-east-1", action, &input)?;
    let document = wire::encode(action, &output, "the-id")?;
    loop {
        let effects = account.take_effects();
        if effects.is_empty() {
            account.advance(NOW);
            return Ok((action, output, document));
        }
        for effect in effects {
            match effect {
                Effect::Start(start) => {
                    account.machine_event(NOW, &start.machine.instance, Event::Started);
                    account.machine_event(
                        NOW,
                        &start.machine.instance,
                        Event::Console(b"said <at> boot & after\r\n".to_vec()),
                    );
                }
                Effect::PowerOff { instance } | Effect::Kill { instance } => {
                    account.machine_event(NOW, &instance, Event::PoweredOff);
                }
                Effect::Take { parts, .. } => {
                    parts.iter().for_each(|part| account.machine_event(NOW, &part.snapshot, Event::Taken));
                }
                Effect::Fill(filling) => account.machine_event(NOW, &filling.volume, Event::Filled),
                Effect::Detach { instance, volume, .. } => {
                    account.machine_event(NOW, &instance, Event::Detached(volume));
                }
                _ => {}
            }
        }
    }
}

fn from_structure(structure: &Structure) -> Result<Json, Box<dyn Error>> {
    let members = structure.members().map(|(name, value)| Ok((name.to_owned(), from_value(value)?)));
    Ok(Json::Object(members.collect::<Result<_, Box<dyn Error>>>()?))
}

fn from_value(value: &Value) -> Result<Json, Box<dyn Error>> {
    Ok(match value {
        Value::String(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Boolean(boolean) => json!(boolean),
        Value::Timestamp(time) => json!({"$time": time.format(&Rfc3339)?}),
        Value::Blob(bytes) => json!({"$base64": BASE64_STANDARD.encode(bytes)}),
        Value::List(list) => Json::Array(list.iter().map(from_value).collect::<Result<_, _>>()?),
        Value::Structure(structure) => from_structure(structure)?,
    })
}

fn to_structure(members: &Map<String, Json>) -> Result<Structure, Box<dyn Error>> {
    let mut structure = Structure::new();
    for (name, value) in members {
        structure.set(name.clone(), to_value(value)?);
    }
    Ok(structure)
}

fn to_value(value: &Json) -> Result<Value, Box<dyn Error>> {
    Ok(match value {
        Json::Null => return Err("null is no value".into()),
        Json::Bool(boolean) => Value::Boolean(*boolean),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Double(number.as_f64().ok_or("no number")?),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(list) => Value::List(list.iter().map(to_value).collect::<Result<_, _>>()?),
        Json::Object(members) => match (members.get("$time"), members.get("$base64")) {
            (Some(Json::String(time)), _) => Value::Timestamp(OffsetDateTime::parse(time, &Rfc3339)?),
            (_, Some(Json::String(bytes))) => Value::Blob(BASE64_STANDARD.decode(bytes)?),
            _ => Value::Structure(to_structure(members)?),
        },
    })
}

//! Answers: a [`Structure`] to XML, by the model.

use super::{
    model::{Kind, Members, Model, Operation, Scalar, Shape, Target, VERSION, model},
    value::{Structure, Value, is_xml},
};
use crate::error::{ApiError, Code};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::borrow::Cow;
use time::{UtcOffset, macros::format_description};

/// The document that answers an action.
///
/// Where the model's result has a boolean `Return` and the answer doesn't set it, it is `true`, as it always is on EC2.
///
/// # Errors
///
/// `InternalError` where the answer is not one that the model has: a bug of the account, so it is named in full.
pub fn encode(action: &str, output: &Structure, request_id: &str) -> Result<String, ApiError> {
    encode_as(VERSION, action, output, request_id)
}

/// The same, in the namespace of a published version.
pub(super) fn encode_as(version: &str, action: &str, output: &Structure, request_id: &str) -> Result<String, ApiError> {
    let model = model()?;
    let operation = model.operation(action).ok_or_else(|| bug(action, "is not in the model"))?;
    let mut encoder = Encoder { model, operation, version, path: Vec::new(), xml: String::with_capacity(1024) };
    encoder.document(output, request_id)?;
    Ok(encoder.xml)
}

/// The document that says what went wrong.
pub(super) fn error(error: &ApiError, request_id: &str) -> String {
    let (code, message) = (error.code.name(), escape(&error.message));
    format!(
        "{DECLARATION}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
         <RequestID>{request_id}</RequestID></Response>"
    )
}

pub(super) const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Actions whose answers say that all went well, though the model doesn't have it: libcloud asks for nothing else.
/// Source: the examples of <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html>,
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreatePlacementGroup.html> and
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html>.
const ALSO_TRUE: [&str; 3] = ["AssociateAddress", "CreatePlacementGroup", "CreateSecurityGroup"];

struct Encoder<'v> {
    model: &'static Model,
    operation: &'static Operation,
    version: &'v str,
    /// Where in the answer we are, for the message of a bug.
    path: Vec<Step<'v>>,
    xml: String,
}

enum Step<'v> {
    Member(&'v str),
    Element(usize),
}

impl<'v> Encoder<'v> {
    fn document(&mut self, output: &'v Structure, request_id: &str) -> Result<(), ApiError> {
        let (name, version) = (self.operation.name, self.version);
        self.xml.push_str(DECLARATION);
        self.xml.push_str(&format!("<{name}Response xmlns=\"http://ec2.amazonaws.com/doc/{version}/\">"));
        self.element("requestId", request_id);
        match self.operation.output.map(|id| self.model.shape(id)) {
            Some(Shape::Structure(members)) => {
                self.structure(members, output)?;
                let returns = members.get("Return").is_some() || ALSO_TRUE.contains(&name);
                if returns && output.get("Return").is_none() {
                    self.element("return", "true");
                }
            }
            Some(_) => return Err(self.bug("is no structure in the model")),
            None => match output.members().next() {
                Some((member, _)) => {
                    return Err(self.bug(&format!("sets {member}, but the model has no result for it")));
                }
                None => self.element("return", "true"),
            },
        }
        self.xml.push_str(&format!("</{name}Response>"));
        Ok(())
    }

    fn structure(&mut self, members: &Members, structure: &'v Structure) -> Result<(), ApiError> {
        // Both are in the order of their names: side by side, none has to be searched for.
        let mut targets = members.iter();
        for (member, value) in structure.members() {
            self.path.push(Step::Member(member));
            let target = targets.find(|(name, _)| *name >= member).filter(|(name, _)| *name == member);
            let (_, target) = target.ok_or_else(|| self.bug("is a member that the model does not have"))?;
            self.value(target, target.answer_name(member), value)?;
            self.path.pop();
        }
        Ok(())
    }

    fn value(&mut self, target: &Target, name: &str, value: &'v Value) -> Result<(), ApiError> {
        match (self.model.shape(target.shape), value) {
            (Shape::Structure(members), Value::Structure(structure)) => {
                self.open(name);
                self.structure(members, structure)?;
                self.close(name);
            }
            (Shape::List(element), Value::List(list)) => {
                self.open(name);
                for (at, value) in list.iter().enumerate() {
                    self.path.push(Step::Element(at));
                    self.value(element, element.element_name(), value)?;
                    self.path.pop();
                }
                self.close(name);
            }
            (Shape::Scalar(scalar), value) => {
                let text = self.scalar(scalar, value)?;
                self.element(name, &text);
            }
            (Shape::Structure(_), other) => return Err(self.mismatch("a structure", other)),
            (Shape::List(_), other) => return Err(self.mismatch("a list", other)),
        }
        Ok(())
    }

    fn scalar(&self, scalar: &Scalar, value: &'v Value) -> Result<Cow<'v, str>, ApiError> {
        match (scalar.kind, value) {
            (Kind::String, Value::String(text)) => match scalar.allows(text) {
                true => Ok(text.into()),
                false => Err(self.bug(&format!("is {text:?}, which is no {}", scalar.name))),
            },
            (Kind::Integer, Value::Integer(number)) if i32::try_from(*number).is_err() => {
                Err(self.bug(&format!("is {number}, which is no integer of 32 bits")))
            }
            (Kind::Integer | Kind::Long, Value::Integer(number)) => Ok(number.to_string().into()),
            (Kind::Float | Kind::Double, Value::Double(number)) if number.is_finite() => Ok(number.to_string().into()),
            (Kind::Boolean, Value::Boolean(boolean)) => Ok(if *boolean { "true" } else { "false" }.into()),
            (Kind::Timestamp, Value::Timestamp(time)) => {
                let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
                let text = time.to_offset(UtcOffset::UTC).format(format);
                text.map(Cow::from).map_err(|error| self.bug(&format!("can't be written: {error}")))
            }
            (Kind::Blob, Value::Blob(bytes)) => Ok(BASE64_STANDARD.encode(bytes).into()),
            (kind, other) => Err(self.mismatch(&format!("a {kind:?}"), other)),
        }
    }

    fn element(&mut self, name: &str, text: &str) {
        self.open(name);
        self.xml.push_str(&escape(text));
        self.close(name);
    }

    fn open(&mut self, name: &str) {
        self.xml.extend(["<", name, ">"]);
    }

    fn close(&mut self, name: &str) {
        self.xml.extend(["</", name, ">"]);
    }

    fn mismatch(&self, wanted: &str, value: &Value) -> ApiError {
        let mut value = format!("{value:?}");
        value = value.chars().take(80).collect();
        self.bug(&format!("is {value}, where the model has {wanted}"))
    }

    fn bug(&self, what: &str) -> ApiError {
        let mut place = self.operation.name.to_owned();
        for step in &self.path {
            match step {
                Step::Member(name) => place.extend([".", name]),
                Step::Element(at) => place.push_str(&format!("[{at}]")),
            }
        }
        bug(&place, what)
    }
}

fn bug(place: &str, what: &str) -> ApiError {
    ApiError::new(Code::InternalError, format!("the answer {place} {what}; this is a bug of ec2-local"))
}

/// Text as it may stand in an element: what XML can't represent at all becomes U+FFFD, and a carriage return is
/// written as a reference, since parsers turn the bare one into a line feed (XML 1.0, 2.11).
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    // Nearly all of it is.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'<' | b'>' | b'&')) {
        return text.into();
    }
    let plain = |c: char| is_xml(c) && c != '\r';
    if text.chars().all(plain) {
        return quick_xml::escape::partial_escape(text);
    }
    let clean: String = text.chars().map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect();
    quick_xml::escape::partial_escape(clean).replace('\r', "&#13;").into()
}

#[cfg(test)]
mod tests;

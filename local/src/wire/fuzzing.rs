//! Anything as a request.

use super::{Value, decode, encode, model, query};

/// A query string: it is refused with an error of EC2's that can be answered, or understood; and what was understood is
/// canonical.
pub fn wire(bytes: &[u8]) {
    match decode::decode(bytes) {
        Ok((action, input)) => {
            let Ok(model) = model::model() else { panic!("the model can't be read") };
            assert!(model.operation(action).is_some(), "{action} is not in the model");
            // What a request says may be said in an answer, where both have a member of that name.
            let _ = encode::encode(action, &input, "request");
            count(&Value::Structure(input));
        }
        Err(error) => {
            let document = encode::error(&error, "request");
            assert!(document.contains(error.code.name()), "{document}");
        }
    }
    if let Ok(parameters) = query::parse(bytes) {
        let canonical = query::canonical(&parameters);
        let Ok(mut again) = query::parse(canonical.as_bytes()) else { panic!("{canonical} is not canonical") };
        assert_eq!(query::canonical(&again), canonical);
        let mut parameters = parameters;
        parameters.sort();
        again.sort();
        assert_eq!(again, parameters);
    }
}

/// Walks through all of it: nothing is nested more deeply than the model has it.
fn count(value: &Value) -> usize {
    match value {
        Value::Structure(members) => 1 + members.members().map(|(_, value)| count(value)).sum::<usize>(),
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        _ => 1,
    }
}

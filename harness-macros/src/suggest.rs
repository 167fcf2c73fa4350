//! The end of an error about an unknown name: the nearest one, or all.

/// `did you mean`, and the alternatives.
pub(crate) fn alternatives(unknown: &str, kind: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let all = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`? {kind} are {all}"),
        None => format!("{kind} are {all}"),
    }
}

//! The attributes that stand below `#[ec2_test]`: most are forwarded, some can't be there.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error, Expr, ExprLit, Lit, Meta, MetaNameValue, Path, spanned::Spanned};

/// Attributes of rstest that stand on a function.
const RSTEST: &[&str] = &["rstest", "case", "test_attr", "fixture", "apply", "template"];

/// Attributes of rstest that stand on a parameter.
const RSTEST_PARAMETER: &[&str] =
    &["case", "values", "future", "from", "with", "default", "files", "ignore", "once", "by_ref", "notrace", "context"];

/// Attributes that may stand on a parameter.
const LINTS: &[&str] = &["allow", "expect", "warn", "deny", "forbid", "doc"];

/// The attributes of a function, sorted.
pub(crate) struct Attributes {
    /// Those that the test gets.
    pub(crate) forwarded: Vec<Attribute>,
    /// Calls on the test's builder that tell of them.
    pub(crate) calls: Vec<TokenStream>,
}

impl Attributes {
    pub(crate) fn sort(attributes: Vec<Attribute>, errors: &mut Vec<Error>) -> Self {
        let mut sorted = Self { forwarded: Vec::new(), calls: Vec::new() };
        for attribute in attributes {
            if is_plain_test(attribute.path()) {
                // rstest adds one below us; with ours the test would run twice.
                continue;
            }
            match objection(&attribute) {
                Some(text) => errors.push(Error::new(attribute.path().span(), text)),
                None => {
                    sorted.calls.extend(should_panic(&attribute));
                    sorted.forwarded.push(attribute);
                }
            }
        }
        sorted
    }
}

/// `#[test]`, in any of the ways in which macros write it.
fn is_plain_test(path: &Path) -> bool {
    let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>();
    let names = names.iter().map(String::as_str).collect::<Vec<_>>();
    matches!(names[..], ["test"] | ["core" | "std", "prelude", _, "test"])
}

/// Why an attribute can't stand below ours.
fn objection(attribute: &Attribute) -> Option<String> {
    let path = attribute.path();
    let last = path.segments.last()?.ident.to_string();
    let written = path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::");
    let from_rstest = path.segments.len() == 1 || path.segments.first()?.ident == "rstest";
    match last.as_str() {
        "ec2_test" => Some("a function is made a test only once: remove one of the two `#[ec2_test]`".into()),
        name if from_rstest && RSTEST.contains(&name) => Some(format!(
            "`#[{written}]` is rstest's and must come first: write `#[rstest]`, its cases, then `#[test_attr(ec2_test)]` \
             instead of `#[ec2_test]`, and mark the parameters that are ours with `#[ignore]`"
        )),
        "test" => Some(format!(
            "`#[{written}]` can't be combined with `#[ec2_test]`, which makes the test and runs async functions by itself \
             (on a Tokio runtime): remove `#[{written}]`"
        )),
        _ => None,
    }
}

/// Whether, and with which words, the test is expected to panic. What hung on a `cfg` is decided before we see it.
fn should_panic(attribute: &Attribute) -> Option<TokenStream> {
    attribute.path().is_ident("should_panic").then(|| {
        let expected = expected(&attribute.meta);
        quote!(.should_panic(#expected))
    })
}

/// The words of `#[should_panic(expected = "…")]` or `#[should_panic = "…"]`; none: any panic will do.
fn expected(meta: &Meta) -> String {
    let value = match meta {
        Meta::Path(_) => None,
        Meta::NameValue(pair) => Some(pair.value.clone()),
        Meta::List(list) => list.parse_args::<MetaNameValue>().ok().map(|pair| pair.value),
    };
    match value {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => text.value(),
        _ => String::new(),
    }
}

/// Why an attribute can't stand on a parameter.
pub(crate) fn parameter_objection(attribute: &Attribute) -> Option<String> {
    let name = attribute.path().segments.last()?.ident.to_string();
    if LINTS.contains(&name.as_str()) {
        return None;
    }
    if RSTEST_PARAMETER.contains(&name.as_str()) {
        return Some(format!(
            "`#[{name}]` on a parameter is rstest's: write `#[rstest]` first, and `#[test_attr(ec2_test)]` instead of \
             `#[ec2_test]`"
        ));
    }
    Some(format!(
        "`#[{name}]` can't stand on a parameter; what one parameter alone needs is said at the function: \
         `#[ec2_test(vm(parameter, image = \"…\"))]`"
    ))
}

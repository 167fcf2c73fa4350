//! The function that `#[ec2_test]` stands on: what it may look like, and what it asks for.

use crate::{arguments::Settings, attributes::parameter_objection, suggest::alternatives};
use syn::{Error, FnArg, GenericParam, Ident, ItemFn, Pat, Safety, Type, ext::IdentExt, spanned::Spanned};

/// A parameter, to be provided by its type.
pub(crate) struct Parameter {
    /// The name of what is provided: the parameter's, or its position where it has none.
    pub(crate) name: String,
    /// The identifier, where there is one.
    pub(crate) ident: Option<Ident>,
    /// The type.
    pub(crate) ty: Type,
}

/// The parameters of a function; all that is wrong with its signature goes into `errors`.
pub(crate) fn parameters(function: &ItemFn, settings: &[Settings], errors: &mut Vec<Error>) -> Vec<Parameter> {
    check_signature(function, errors);
    let mut parameters = Vec::new();
    for (position, input) in function.sig.inputs.iter().enumerate() {
        let typed = match input {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                errors.push(Error::new(receiver.span(), "a test is a function, not a method: remove `self`"));
                continue;
            }
        };
        let objections = typed.attrs.iter().filter_map(|attribute| {
            parameter_objection(attribute).map(|text| Error::new(attribute.path().span(), text))
        });
        errors.extend(objections);
        if let Type::ImplTrait(_) | Type::Infer(_) = *typed.ty {
            errors.push(Error::new(
                typed.ty.span(),
                "a parameter is provided by its type, so the type must be named: `Instance`, `[Instance; N]`, `Ec2` or \
                 `TestContext`",
            ));
            continue;
        }
        let ident = identifier(&typed.pat);
        let name = ident.as_ref().map_or_else(
            || format!("machine{}", position + 1),
            |ident| ident.unraw().to_string().trim_start_matches('_').to_owned(),
        );
        parameters.push(Parameter { name, ident, ty: (*typed.ty).clone() });
    }
    check_settings(&parameters, settings, errors);
    parameters
}

fn identifier(pattern: &Pat) -> Option<Ident> {
    match pattern {
        Pat::Ident(pattern) => Some(pattern.ident.clone()),
        Pat::Paren(pattern) => identifier(&pattern.pat),
        _ => None,
    }
}

fn check_signature(function: &ItemFn, errors: &mut Vec<Error>) {
    let signature = &function.sig;
    let mut refuse = |span, text: &str| errors.push(Error::new(span, text));
    if let Some(token) = &signature.constness {
        refuse(token.span(), "a test can't be a `const fn`");
    }
    if let Safety::Safe(_) | Safety::Unsafe(_) = signature.safety {
        refuse(signature.fn_token.span(), "a test can't be an `unsafe fn`: who would keep its promises?");
    }
    if let Some(abi) = &signature.abi {
        refuse(abi.span(), "a test can't be an `extern` function");
    }
    for parameter in &signature.generics.params {
        match parameter {
            // rstest's cases may bring lifetimes along; they bind nothing that we provide.
            GenericParam::Lifetime(_) => {}
            _ => refuse(
                parameter.span(),
                "a test can't be generic: nobody says what to fill in; for several values or types use rstest",
            ),
        }
    }
}

fn check_settings(parameters: &[Parameter], settings: &[Settings], errors: &mut Vec<Error>) {
    let names =
        parameters.iter().filter_map(|parameter| parameter.ident.as_ref()).map(|ident| ident.unraw().to_string());
    let names = names.collect::<Vec<_>>();
    for setting in settings {
        let name = setting.parameter.unraw().to_string();
        if names.contains(&name) {
            continue;
        }
        let known = names.iter().map(String::as_str).collect::<Vec<_>>();
        let rest = match known[..] {
            [] => "the function has none".to_owned(),
            _ => alternatives(&name, "the parameters", &known),
        };
        errors.push(Error::new(setting.parameter.span(), format!("there is no parameter `{name}`; {rest}")));
    }
}

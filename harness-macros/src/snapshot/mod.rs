//! `#[ec2_snapshot]`: a constant of the function's name, with the function within it.

mod arguments;
mod canonical;

use crate::expand::{not_a_function, with_errors};
use arguments::Arguments;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Attribute, Error, FnArg, Ident, ItemFn, ReturnType, Safety, ext::IdentExt, spanned::Spanned};

const SHAPE: &str = "`#[ec2_snapshot]` stands on a function: `async fn with_postgres(vm: Machine) -> Result { … }`";

/// Attributes that say how the compiler is to look at what is below them.
const LINTS: &[&str] = &["allow", "expect", "warn", "deny", "forbid"];

/// Attributes that a constant may have, too.
const FORWARDED: &[&str] = &["doc", "cfg", "cfg_attr", "deprecated"];

pub(crate) fn ec2_snapshot(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => return not_a_function(&item, error, SHAPE),
    };
    let mut errors = Vec::new();
    let arguments = Arguments::parse(arguments).unwrap_or_else(|error| {
        errors.push(error);
        Arguments::none()
    });
    let attributes = std::mem::take(&mut function.attrs);
    check_attributes(&attributes, &mut errors);
    check_signature(&function, &mut errors);
    canonical::check(&function, &mut errors);
    if !errors.is_empty() {
        return with_errors(function, errors);
    }
    set_up(&function, &arguments, &attributes)
}

fn set_up(function: &ItemFn, arguments: &Arguments, attributes: &[Attribute]) -> TokenStream {
    let Arguments { library, calls } = arguments;
    let ItemFn { vis, sig, block, .. } = function;
    let (ident, name) = (&sig.ident, sig.ident.unraw().to_string());
    let lints = attributes.iter().filter(|attribute| is_one_of(attribute, LINTS));
    let tokens = canonical::text(function);
    // An error about what the body takes or returns is to point at that: so the callee is a single token, and has its span.
    let outcome = match &sig.output {
        ReturnType::Default => ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let takes = sig.inputs.first().map_or_else(
        || ident.span(),
        |input| match input {
            FnArg::Typed(typed) => typed.ty.span(),
            FnArg::Receiver(receiver) => receiver.span(),
        },
    );
    let run = if sig.asyncness.is_some() { quote!(set_up_async) } else { quote!(set_up) };
    let callee = Ident::new("__ec2_snapshot_run", outcome);
    let body = quote_spanned!(takes=> #ident);
    let call = quote_spanned!(outcome=> |machine| #callee(#body, machine));
    quote! {
        #(#attributes)*
        #[allow(non_upper_case_globals)]
        #vis const #ident: #library::SetUp = {
            #(#lints)*
            #sig #block
            use #library::__private::#run as #callee;
            #library::SetUp::new(#name, #tokens, #call) #(#calls)*
        };
    }
}

fn is_one_of(attribute: &Attribute, names: &[&str]) -> bool {
    names.iter().any(|name| attribute.path().is_ident(name))
}

fn check_attributes(attributes: &[Attribute], errors: &mut Vec<Error>) {
    for attribute in attributes {
        let path = attribute.path();
        if is_one_of(attribute, LINTS) || is_one_of(attribute, FORWARDED) {
            continue;
        }
        let written = path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::");
        let text = match path.segments.last().map(|segment| segment.ident.to_string()).as_deref() {
            Some("ec2_snapshot") => "an image is made only once: remove one of the two `#[ec2_snapshot]`".to_owned(),
            Some("ec2_test" | "test" | "rstest") => format!(
                "a set-up is no test: remove `#[{written}]`, and launch from the image in a test of its own, \
                 `#[ec2_test(image = …)]`"
            ),
            _ => format!("`#[{written}]` can't stand below `#[ec2_snapshot]`, which makes a constant of the function"),
        };
        errors.push(Error::new(path.span(), text));
    }
}

fn check_signature(function: &ItemFn, errors: &mut Vec<Error>) {
    let signature = &function.sig;
    let mut refuse = |span, text: &str| errors.push(Error::new(span, text));
    if let Some(token) = &signature.constness {
        refuse(token.span(), "a set-up can't be a `const fn`");
    }
    if let Safety::Safe(_) | Safety::Unsafe(_) = signature.safety {
        refuse(signature.fn_token.span(), "a set-up can't be an `unsafe fn`: who would keep its promises?");
    }
    if let Some(abi) = &signature.abi {
        refuse(abi.span(), "a set-up can't be an `extern` function");
    }
    if let Some(parameter) = signature.generics.params.first() {
        refuse(parameter.span(), "a set-up can't be generic: an image is made of one function");
    }
    const TAKES: &str = "a set-up takes the machine that it sets up, and nothing else: `vm: Machine`";
    let mut inputs = signature.inputs.iter();
    match inputs.next() {
        Some(FnArg::Typed(typed)) => {
            if let Some(attribute) = typed.attrs.first() {
                refuse(attribute.span(), "an attribute can't stand on the parameter of a set-up");
            }
        }
        Some(FnArg::Receiver(receiver)) => {
            refuse(receiver.span(), "a set-up is a function, not a method: remove `self`")
        }
        None => refuse(signature.ident.span(), TAKES),
    }
    if let Some(other) = inputs.next() {
        refuse(other.span(), TAKES);
    }
}

//! The expansion: one function with `#[test]`, the author's function within it, and one call into the library.

use crate::{
    arguments::Arguments,
    attributes::Attributes,
    function::{Parameter, parameters},
};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Error, FnArg, Ident, ItemFn, ReturnType, ext::IdentExt, spanned::Spanned};

const SHAPE: &str = "`#[ec2_test]` stands on a function: `async fn boots(vm: Instance) -> Result { … }`";

pub(crate) fn ec2_test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => return not_a_function(&item, error, SHAPE),
    };
    let mut errors = Vec::new();
    let arguments = Arguments::parse(arguments).unwrap_or_else(|error| {
        errors.push(error);
        Arguments::none()
    });
    let attributes = Attributes::sort(std::mem::take(&mut function.attrs), &mut errors);
    let parameters = parameters(&function, &arguments.machines, &mut errors);
    if !errors.is_empty() {
        return with_errors(function, errors);
    }
    test(&function, &arguments, &attributes, &parameters)
}

fn test(function: &ItemFn, arguments: &Arguments, attributes: &Attributes, parameters: &[Parameter]) -> TokenStream {
    let Arguments { library, calls, .. } = arguments;
    let Attributes { forwarded, calls: attribute_calls } = attributes;
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    let name = ident.unraw().to_string();
    // An error about what the body returns is to point at it: so the callee is a single token, and has its span.
    let outcome = match &function.sig.output {
        ReturnType::Default => ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let run = if function.sig.asyncness.is_some() { quote!(run_async) } else { quote!(run) };
    let callee = Ident::new("__ec2_test_run", outcome);

    let plan = Ident::new("plan", Span::mixed_site());
    let given = Ident::new("given", Span::mixed_site());
    let variables = (0..parameters.len()).map(|n| format_ident!("p{n}", span = Span::mixed_site())).collect::<Vec<_>>();
    let declared = parameters.iter().map(|parameter| declare(parameter, arguments, &plan));
    let received = parameters
        .iter()
        .zip(&variables)
        .map(|(Parameter { ty, .. }, variable)| quote_spanned!(ty.span()=> let #variable = #given.take(#variable)?;));

    let test = quote_spanned! {ident.span()=>
        #library::__private::Test::new(::core::concat!(::core::module_path!(), "::", #name)) #(#calls)* #(#attribute_calls)*
    };
    // Without parameters a closure around the function would be one too many, and clippy would tell the author so.
    let user = match variables[..] {
        [] => ident.to_token_stream(),
        _ => quote_spanned!(ident.span()=> move || #ident(#(#variables),*)),
    };
    let inner = Inner(function);
    let body = quote_spanned! {outcome=>
        |#plan| {
            #(let #variables = #declared;)*
            move |#given| {
                #(#received)*
                ::core::result::Result::Ok(#user)
            }
        }
    };
    let call = quote_spanned!(outcome=> #callee(#test, #body));
    quote! {
        #(#forwarded)*
        #[::core::prelude::v1::test]
        #visibility fn #ident() {
            #inner
            use #library::__private::#run as #callee;
            #call
        }
    }
}

/// Asks for what a parameter needs. An error about its type is to point at it.
fn declare(parameter: &Parameter, arguments: &Arguments, plan: &Ident) -> TokenStream {
    let Parameter { name, ident, ty } = parameter;
    let settings = arguments
        .machines
        .iter()
        .find(|settings| ident.as_ref().is_some_and(|ident| ident.unraw() == settings.parameter.unraw()));
    match settings {
        None => quote_spanned!(ty.span()=> #plan.declare::<#ty>(#name)),
        Some(settings) => {
            let builder = settings.builder(&arguments.library);
            quote_spanned!(ty.span()=> #plan.declare_with::<#ty>(#name, #builder))
        }
    }
}

/// The author's function, without visibility.
struct Inner<'a>(&'a ItemFn);

impl ToTokens for Inner<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let ItemFn { sig, block, .. } = self.0;
        quote!(#sig #block).to_tokens(tokens);
    }
}

pub(crate) fn not_a_function(item: &TokenStream, error: Error, text: &str) -> TokenStream {
    let keyword = item.clone().into_iter().find(|token| {
        ["mod", "struct", "enum", "impl", "trait", "const", "static", "use", "type", "union", "macro_rules"]
            .contains(&token.to_string().as_str())
    });
    let has_fn = item.clone().into_iter().any(|token| token.to_string() == "fn");
    let error = match keyword {
        Some(token) if !has_fn => Error::new(token.span(), text),
        // A function that is still being written: the compiler's own words, and its text for the editor.
        _ => error,
    };
    let error = error.into_compile_error();
    quote!(#error #item)
}

/// The errors, and the function as it would be without us: so that nothing else is reported, and editors go on helping.
pub(crate) fn with_errors(mut function: ItemFn, errors: Vec<Error>) -> TokenStream {
    for input in &mut function.sig.inputs {
        match input {
            FnArg::Typed(typed) => typed.attrs.clear(),
            FnArg::Receiver(_) => return errors.into_iter().map(Error::into_compile_error).collect(),
        }
    }
    let errors = errors.into_iter().map(Error::into_compile_error);
    quote!(#(#errors)* #[allow(dead_code, unused)] #function)
}

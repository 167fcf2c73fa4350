//! The arguments of `#[ec2_snapshot(..)]`.

use crate::{
    arguments::{find_library, key, once, read_each, unknown},
    value,
};
use proc_macro2::TokenStream;
use quote::quote_spanned;
use std::collections::HashSet;
use syn::{
    Error, Expr, ExprArray, ExprLit, Lit, LitStr, Path, Result, ext::IdentExt, parse::ParseStream, parse_quote,
    spanned::Spanned,
};

const KNOWN: &[&str] = &["from", "max_age", "inputs", "crate"];
const SUBJECT: &str = "the arguments of `#[ec2_snapshot]`";

/// What was written in the parentheses.
pub(super) struct Arguments {
    /// The path of the library.
    pub(super) library: Path,
    /// Calls on the set-up.
    pub(super) calls: Vec<TokenStream>,
}

impl Arguments {
    /// Those of a bare `#[ec2_snapshot]`.
    pub(super) fn none() -> Self {
        Self { library: parse_quote!(::ec2_harness), calls: Vec::new() }
    }

    pub(super) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut arguments = Self::none();
        // The library's path goes into the other arguments, so it is looked for first.
        if let Some(library) = find_library(tokens.clone()) {
            arguments.library = library;
        }
        read_each(tokens, |input, seen| arguments.read_one(input, seen))?;
        Ok(arguments)
    }

    fn read_one(&mut self, input: ParseStream, seen: &mut HashSet<String>) -> Result<()> {
        let key = key(input, SUBJECT, KNOWN)?;
        once(&key, seen)?;
        let (name, library) = (key.unraw().to_string(), &self.library);
        let call = match name.as_str() {
            "crate" => {
                value::equals(&key, input, "my_harness")?;
                self.library = input.call(Path::parse_mod_style)?;
                return Ok(());
            }
            "from" => {
                value::equals(&key, input, "\"debian-12\"")?;
                let value = value::text_or(&name, input, value::OR_SNAPSHOT)?;
                quote_spanned!(key.span()=> .from(|| #library::__private::ImageSource::from(#value)))
            }
            "max_age" => {
                value::equals(&key, input, "\"7d\"")?;
                let value = value::duration(&name, input)?;
                quote_spanned!(key.span()=> .max_age(#value))
            }
            "inputs" => {
                value::equals(&key, input, "[\"files/nginx.conf\"]")?;
                let paths = inputs(input)?;
                quote_spanned!(key.span()=> .inputs(::core::env!("CARGO_MANIFEST_DIR"), &[#(#paths),*]))
            }
            _ => return Err(unknown(&key, SUBJECT, KNOWN)),
        };
        self.calls.push(call);
        Ok(())
    }
}

/// `["path", …]`.
fn inputs(input: ParseStream) -> Result<Vec<LitStr>> {
    const SHAPE: &str = "`inputs` expects a list of paths: write `inputs = [\"files/nginx.conf\"]`";
    let list = match input.parse()? {
        Expr::Array(ExprArray { elems, .. }) => elems,
        other => return Err(Error::new(other.span(), SHAPE)),
    };
    let path = |element: Expr| match element {
        Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) if path.value().is_empty() => {
            Err(Error::new(path.span(), "the path of an input is empty"))
        }
        Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Ok(path),
        other => Err(Error::new(other.span(), SHAPE)),
    };
    list.into_iter().map(path).collect()
}

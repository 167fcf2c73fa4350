//! The arguments of `#[ec2_test(..)]`, each read into a call on the builder that the library takes.

use crate::{suggest::alternatives, value};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use std::collections::HashSet;
use syn::{
    Error, Ident, Path, Result, Token, ext::IdentExt, parenthesized, parse::ParseStream, parse::Parser, parse_quote,
};

/// What can be said of one machine.
const OF_A_MACHINE: &[&str] = &["image", "instance_type", "user_data", "volumes", "extra_nics", "tags"];

/// What can be said of a test.
const OF_A_TEST: &[&str] = &[
    "image",
    "instance_type",
    "user_data",
    "volumes",
    "extra_nics",
    "tags",
    "vpc",
    "region",
    "timeout",
    "keep",
    "requires",
    "vm",
    "crate",
];

/// The words of `keep`, and their variants.
const KEEP: &[(&str, &str)] = &[("no", "No"), ("failed", "Failed"), ("always", "Always")];

/// The words of `requires`, and their variants.
const REQUIREMENTS: &[(&str, &str)] = &[
    ("local", "Local"),
    ("aws", "Aws"),
    ("x86_64", "X86_64"),
    ("arm64", "Arm64"),
    ("systemd", "Systemd"),
    ("cloud_init", "CloudInit"),
    ("sudo", "Sudo"),
];

/// What was written in the parentheses.
pub(crate) struct Arguments {
    /// The path of the library.
    pub(crate) library: Path,
    /// Calls on the test's builder.
    pub(crate) calls: Vec<TokenStream>,
    /// What is said of single parameters.
    pub(crate) machines: Vec<Settings>,
}

/// `vm(name, …)`.
pub(crate) struct Settings {
    /// The parameter's name.
    pub(crate) parameter: Ident,
    /// Calls on the builder of a machine's settings.
    pub(crate) calls: Vec<TokenStream>,
}

impl Arguments {
    /// Those of a bare `#[ec2_test]`.
    pub(crate) fn none() -> Self {
        Self { library: parse_quote!(::ec2_harness), calls: Vec::new(), machines: Vec::new() }
    }

    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut arguments = Self::none();
        // The library's path goes into the other arguments, so it is looked for first.
        if let Some(library) = find_library(tokens.clone()) {
            arguments.library = library;
        }
        read_each(tokens, |input, seen| arguments.read_one(input, seen))?;
        Ok(arguments)
    }

    fn read_one(&mut self, input: ParseStream, seen: &mut HashSet<String>) -> Result<()> {
        let key = key(input, "the arguments of `#[ec2_test]`", OF_A_TEST)?;
        let name = key.unraw().to_string();
        if name != "vm" {
            once(&key, seen)?;
        }
        let library = &self.library;
        match name.as_str() {
            "vm" => self.machines.push(Settings::parse(&key, input, &self.machines)?),
            "crate" => {
                value::equals(&key, input, "my_harness")?;
                self.library = input.call(Path::parse_mod_style)?;
            }
            "timeout" => {
                value::equals(&key, input, "\"10m\"")?;
                let value = value::duration(&name, input)?;
                self.calls.push(quote_spanned!(key.span()=> .timeout(#value)));
            }
            "keep" => {
                value::equals(&key, input, "failed")?;
                let value = value::word(input, library, "Keep", "the values of `keep`", KEEP)?;
                self.calls.push(quote_spanned!(key.span()=> .keep(#value)));
            }
            "requires" => {
                value::equals(&key, input, "[systemd]")?;
                let words = value::words(input, library, "Requirement", "the words of `requires`", REQUIREMENTS)?;
                self.calls.extend(words.iter().map(|word| quote_spanned!(key.span()=> .requires(#word))));
            }
            "region" | "vpc" => {
                let example = if name == "vpc" { "\"10.20.0.0/16\"" } else { "\"eu-west-1\"" };
                value::equals(&key, input, example)?;
                let value = value::text(&name, input)?;
                self.calls.push(quote_spanned!(key.span()=> .#key(#value)));
            }
            "image" | "instance_type" | "user_data" | "volumes" | "extra_nics" | "tags" => {
                self.calls.extend(of_a_machine(&key, input)?)
            }
            _ => return Err(unknown(&key, "the arguments of `#[ec2_test]`", OF_A_TEST)),
        }
        Ok(())
    }
}

impl Settings {
    fn parse(vm: &Ident, input: ParseStream, others: &[Self]) -> Result<Self> {
        const SHAPE: &str = "write `vm(parameter, image = \"…\")`: first a parameter's name, then what it alone needs";
        if !input.peek(syn::token::Paren) {
            return Err(Error::new(vm.span(), SHAPE));
        }
        let list;
        parenthesized!(list in input);
        if !list.peek(Ident) || list.peek2(Token![=]) {
            return Err(Error::new(if list.is_empty() { vm.span() } else { list.span() }, SHAPE));
        }
        let parameter: Ident = list.parse()?;
        if others.iter().any(|other| other.parameter == parameter) {
            return Err(Error::new(parameter.span(), format!("`vm({parameter}, …)` is given twice")));
        }
        comma(&list)?;
        let (mut calls, mut seen) = (Vec::new(), HashSet::new());
        while !list.is_empty() {
            let key = key(&list, "the arguments of `vm(..)`", OF_A_MACHINE)?;
            once(&key, &mut seen)?;
            let name = key.unraw().to_string();
            if OF_A_MACHINE.contains(&name.as_str()) {
                calls.extend(of_a_machine(&key, &list)?);
            } else if OF_A_TEST.contains(&name.as_str()) {
                return Err(Error::new(
                    key.span(),
                    format!("`{name}` holds for the whole test: write it outside of `vm(..)`"),
                ));
            } else {
                return Err(unknown(&key, "the arguments of `vm(..)`", OF_A_MACHINE));
            }
            comma(&list)?;
        }
        if calls.is_empty() {
            return Err(Error::new(parameter.span(), SHAPE));
        }
        Ok(Self { parameter, calls })
    }
}

/// What a test and a single machine have in common.
fn of_a_machine(key: &Ident, input: ParseStream) -> Result<Vec<TokenStream>> {
    let name = key.unraw().to_string();
    if name == "tags" {
        value::equals(key, input, "{ team = \"images\" }")?;
        let tags = value::tags(input)?;
        return Ok(tags.iter().map(|(tag, value)| quote_spanned!(key.span()=> .tag(#tag, #value))).collect());
    }
    if name == "volumes" {
        value::equals(key, input, "[gp3(20)]")?;
        let value = value::list(&name, input, "[gp3(20)]")?;
        return Ok(vec![quote_spanned!(key.span()=> .volumes(#value))]);
    }
    if name == "extra_nics" {
        value::equals(key, input, "1")?;
        let value = value::count(&name, input)?;
        return Ok(vec![quote_spanned!(key.span()=> .extra_nics(#value))]);
    }
    let example = match name.as_str() {
        "image" => "\"debian-12\"",
        "instance_type" => "\"t3.small\"",
        _ => "include_str!(\"user-data\")",
    };
    value::equals(key, input, example)?;
    let value = if name == "image" { value::image(input)? } else { value::text(&name, input)? };
    Ok(vec![quote!(.#key(#value))])
}

/// Reads one argument after the other; the names of those that were read are told from one to the next.
pub(crate) fn read_each(
    tokens: TokenStream,
    mut read_one: impl FnMut(ParseStream, &mut HashSet<String>) -> Result<()>,
) -> Result<()> {
    let read = |input: ParseStream| {
        let mut seen = HashSet::new();
        while !input.is_empty() {
            read_one(input, &mut seen)?;
            comma(input)?;
        }
        Ok(())
    };
    read.parse2(tokens)
}

/// The value of `crate`, wherever it stands.
pub(crate) fn find_library(tokens: TokenStream) -> Option<Path> {
    let search = |input: ParseStream| {
        let mut found = None;
        let mut first = true;
        while !input.is_empty() {
            if first && input.peek(Token![crate]) && input.peek2(Token![=]) {
                input.parse::<Token![crate]>()?;
                input.parse::<Token![=]>()?;
                found = input.call(Path::parse_mod_style).ok();
            }
            first = input.peek(Token![,]);
            input.parse::<Option<proc_macro2::TokenTree>>()?;
        }
        Ok(found)
    };
    search.parse2(tokens).ok().flatten()
}

pub(crate) fn key(input: ParseStream, subject: &str, known: &[&str]) -> Result<Ident> {
    if input.peek(Ident::peek_any) {
        return input.call(Ident::parse_any);
    }
    Err(Error::new(input.span(), format!("expected an argument's name; {}", alternatives("", subject, known))))
}

pub(crate) fn once(key: &Ident, seen: &mut HashSet<String>) -> Result<()> {
    if seen.insert(key.unraw().to_string()) {
        return Ok(());
    }
    Err(Error::new(key.span(), format!("`{key}` is given twice")))
}

fn comma(input: ParseStream) -> Result<()> {
    if input.is_empty() {
        return Ok(());
    }
    if !input.peek(Token![,]) {
        return Err(Error::new(input.span(), "expected `,` and the next argument"));
    }
    input.parse::<Token![,]>().map(drop)
}

pub(crate) fn unknown(key: &Ident, subject: &str, known: &[&str]) -> Error {
    let name = key.unraw().to_string();
    Error::new(key.span(), format!("there is no argument `{name}`; {}", alternatives(&name, subject, known)))
}

/// The builder of a parameter's settings.
impl Settings {
    pub(crate) fn builder(&self, library: &Path) -> TokenStream {
        let calls = &self.calls;
        quote!(#library::__private::Settings::new() #(#calls)*)
    }
}

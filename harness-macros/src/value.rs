//! The values that an argument can have, each read into the expression that the library is called with.

use crate::suggest::alternatives;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use std::collections::HashSet;
use syn::{
    Error, Expr, ExprLit, ExprUnary, Ident, Lit, LitStr, Path, Result, Token, braced, bracketed, ext::IdentExt,
    parse::ParseStream, spanned::Spanned,
};

/// What a tag's key may consist of, beside letters and digits: a `/` breaks launches where tags are in the metadata.
const TAG_PUNCTUATION: &str = "-_+=,.@:";

/// `= value`, after a key.
pub(crate) fn equals(key: &Ident, input: ParseStream, example: &str) -> Result<()> {
    if !input.peek(Token![=]) || input.peek(Token![==]) {
        let span = if input.is_empty() || input.peek(Token![,]) { key.span() } else { input.span() };
        return Err(Error::new(span, format!("`{key}` needs a value: write `{key} = {example}`")));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(Error::new(key.span(), format!("`{key}` needs a value: write `{key} = {example}`")));
    }
    Ok(())
}

/// Text: a literal, or any expression that the library can make a string of.
pub(crate) fn text(key: &str, input: ParseStream) -> Result<TokenStream> {
    text_or(key, input, "")
}

/// An image: text as above, or the name of an `#[ec2_snapshot]`.
pub(crate) fn image(input: ParseStream) -> Result<TokenStream> {
    text_or("image", input, OR_SNAPSHOT)
}

/// What else an image may be.
pub(crate) const OR_SNAPSHOT: &str = "; or the name of an `#[ec2_snapshot]`";

/// Text, or what else an error is to name.
pub(crate) fn text_or(key: &str, input: ParseStream, other: &str) -> Result<TokenStream> {
    let expression: Expr = input.parse()?;
    match literal(&expression) {
        Some(Lit::Str(text)) if text.value().trim().is_empty() => {
            Err(Error::new(text.span(), format!("`{key}` is empty; leave it out to use the configured one")))
        }
        None | Some(Lit::Str(_)) => Ok(expression.into_token_stream()),
        Some(_) => Err(Error::new(
            expression.span(),
            format!(
                "`{key}` expects a string: a literal, a constant, or another expression of `&str` or `String`{other}"
            ),
        )),
    }
}

/// A list in brackets, or another expression that can be iterated over.
pub(crate) fn list(key: &str, input: ParseStream, example: &str) -> Result<TokenStream> {
    let expression: Expr = input.parse()?;
    match (&expression, literal(&expression)) {
        (Expr::Call(call), _) if call.func.to_token_stream().to_string() == "gp3" => {
            Err(Error::new(expression.span(), format!("`{key}` expects a list: write `{key} = {example}`")))
        }
        (_, Some(_)) => {
            Err(Error::new(expression.span(), format!("`{key}` expects a list: write `{key} = {example}`")))
        }
        _ => Ok(expression.into_token_stream()),
    }
}

/// A whole number, or an expression of one.
pub(crate) fn count(key: &str, input: ParseStream) -> Result<TokenStream> {
    let expression: Expr = input.parse()?;
    let is_negative = matches!(expression, Expr::Unary(_)) && literal(&expression).is_some();
    match literal(&expression) {
        None => Ok(expression.into_token_stream()),
        Some(Lit::Int(count)) if !is_negative && count.base10_parse::<u16>().is_ok() => {
            Ok(expression.into_token_stream())
        }
        Some(_) => Err(Error::new(expression.span(), format!("`{key}` expects a number: write `{key} = 1`"))),
    }
}

/// A time with its unit, or an expression of `Duration`.
pub(crate) fn duration(key: &str, input: ParseStream) -> Result<TokenStream> {
    let expression: Expr = input.parse()?;
    let wrong = |reason: &str| {
        let text = format!("{reason}; `{key}` expects a time such as \"90s\", \"10m\" or \"2h\", or a `Duration`");
        Error::new(expression.span(), text)
    };
    match literal(&expression) {
        None => Ok(expression.into_token_stream()),
        Some(Lit::Str(text)) => {
            let duration = humantime::parse_duration(&text.value()).map_err(|error| wrong(&error.to_string()))?;
            if duration.is_zero() {
                return Err(wrong("no time at all"));
            }
            let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
            Ok(quote!(::core::time::Duration::new(#seconds, #nanoseconds)))
        }
        Some(Lit::Int(_) | Lit::Float(_)) => Err(wrong("a number without its unit")),
        Some(_) => Err(wrong("not a time")),
    }
}

/// The literal that an expression is, if it is one; a negative number is one too.
fn literal(expression: &Expr) -> Option<&Lit> {
    match expression {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        Expr::Unary(ExprUnary { expr, .. }) => literal(expr),
        _ => None,
    }
}

/// One word of several, bare or as a string; the variants of `library::kind` bear their names.
pub(crate) fn word(
    input: ParseStream,
    library: &Path,
    kind: &str,
    subject: &str,
    words: &[(&str, &str)],
) -> Result<TokenStream> {
    let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    let (found, span) = if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        (text.value(), text.span())
    } else if input.peek(Ident::peek_any) {
        let word = input.call(Ident::parse_any)?;
        (word.unraw().to_string(), word.span())
    } else {
        return Err(Error::new(input.span(), format!("expected a word; {}", alternatives("", subject, &known))));
    };
    let Some((_, variant)) = words.iter().find(|(word, _)| *word == found) else {
        return Err(Error::new(span, format!("unknown word `{found}`; {}", alternatives(&found, subject, &known))));
    };
    let (kind, variant) = (Ident::new(kind, span), Ident::new(variant, span));
    Ok(quote!(#library::__private::#kind::#variant))
}

/// `[word, …]`.
pub(crate) fn words(
    input: ParseStream,
    library: &Path,
    kind: &str,
    subject: &str,
    known: &[(&str, &str)],
) -> Result<Vec<TokenStream>> {
    if !input.peek(syn::token::Bracket) {
        return Err(Error::new(input.span(), "expected a list: write it in brackets, `[systemd]`"));
    }
    let list;
    bracketed!(list in input);
    let mut found = Vec::new();
    while !list.is_empty() {
        found.push(word(&list, library, kind, subject, known)?);
        if !list.is_empty() {
            list.parse::<Token![,]>()?;
        }
    }
    Ok(found)
}

/// `{ key = value, "key" = value }`: tags.
pub(crate) fn tags(input: ParseStream) -> Result<Vec<(String, TokenStream)>> {
    const SHAPE: &str = "expected tags: write `tags = { team = \"images\", \"cost:center\" = \"7\" }`";
    if !input.peek(syn::token::Brace) {
        return Err(Error::new(input.span(), SHAPE));
    }
    let list;
    braced!(list in input);
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    while !list.is_empty() {
        let (key, span) = if list.peek(LitStr) {
            let key: LitStr = list.parse()?;
            (key.value(), key.span())
        } else if list.peek(Ident::peek_any) {
            let key = list.call(Ident::parse_any)?;
            (key.unraw().to_string(), key.span())
        } else {
            return Err(Error::new(list.span(), SHAPE));
        };
        check_tag_key(&key, span)?;
        if !seen.insert(key.clone()) {
            return Err(Error::new(span, format!("the tag `{key}` is given twice")));
        }
        if !list.peek(Token![=]) {
            return Err(Error::new(if list.is_empty() { span } else { list.span() }, SHAPE));
        }
        list.parse::<Token![=]>()?;
        let value: Expr = list.parse()?;
        match literal(&value) {
            None => {}
            Some(Lit::Str(text)) if text.value().chars().count() > 256 => {
                return Err(Error::new(text.span(), "a tag's value has 256 characters at most"));
            }
            Some(Lit::Str(_)) => {}
            Some(_) => return Err(Error::new(value.span(), "a tag's value is a string")),
        }
        found.push((key, value.into_token_stream()));
        if !list.is_empty() {
            list.parse::<Token![,]>()?;
        }
    }
    Ok(found)
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>, narrowed to what is allowed
/// where tags are in the instance's metadata.
fn check_tag_key(key: &str, span: Span) -> Result<()> {
    let wrong = |reason: String| Err(Error::new(span, reason));
    if key.is_empty() {
        return wrong("a tag's key can't be empty".into());
    }
    if key.chars().count() > 128 {
        return wrong("a tag's key has 128 characters at most".into());
    }
    if key.to_lowercase().starts_with("aws:") {
        return wrong("keys that begin with `aws:` are reserved for AWS".into());
    }
    match key.chars().find(|c| !c.is_ascii_alphanumeric() && !TAG_PUNCTUATION.contains(*c)) {
        Some(c) => wrong(format!("a tag's key consists of letters, digits and `{TAG_PUNCTUATION}`; `{c}` is none")),
        None => Ok(()),
    }
}

//! The text of a set-up that its key goes by: token by token, so that layout and comments don't count.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Error, ItemFn, Macro, spanned::Spanned, visit::Visit};

/// What a function takes and does. Its name doesn't count.
pub(super) fn text(function: &ItemFn) -> String {
    let mut text = String::new();
    write(function.sig.inputs.to_token_stream(), &mut text);
    text.push('\n');
    write(function.block.to_token_stream(), &mut text);
    text
}

/// The same for the same tokens, whoever has made the stream: how tokens stand to each other is told neither the same by all compilers
/// nor of all streams.
fn write(tokens: TokenStream, text: &mut String) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("( ", ") "),
                    Delimiter::Brace => ("{ ", "} "),
                    Delimiter::Bracket => ("[ ", "] "),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
            // One more comma at the end changes nothing but a tuple of one.
            TokenTree::Punct(punct) if punct.as_char() == ',' && tokens.peek().is_none() => {}
            other => {
                text.push_str(&other.to_string());
                text.push(' ');
            }
        }
    }
}

/// What hangs on a `cfg` is not seen in the tokens.
pub(super) fn check(function: &ItemFn, errors: &mut Vec<Error>) {
    let mut found = Found(errors);
    found.visit_block(&function.block);
}

struct Found<'a>(&'a mut Vec<Error>);

const TEXT: &str = "an image doesn't follow from a `cfg`, which its key can't see: make two set-ups, each under its own \
                    `#[cfg(..)]`, or decide on the machine";

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            self.0.push(Error::new(attribute.path().span(), TEXT));
        }
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        if called.path.segments.last().is_some_and(|segment| segment.ident == "cfg") {
            self.0.push(Error::new(called.path.span(), TEXT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn layout_comments_and_names_do_not_count() {
        let text = |source: &str| super::text(&syn::parse_str(source).unwrap());
        let one = text("fn one(vm: Machine) { vm.exec(\"a\", b); }");
        for same in [
            "fn other(vm: Machine,) {\n    // A comment.\n    vm\n        .exec(\n  \"a\",\n  b,\n  )\n;\n}",
            "pub async fn one(vm : Machine) -> Result { vm . exec ( \"a\" , b ) ; }",
        ] {
            assert_eq!(text(same), one);
        }
        for other in [
            "fn one(vm: Machine) { vm.exec(\"a \", b); }",
            "fn one(vm: Machine) { vm.exec(\"a\", c); }",
            "fn one(vm: Machine) { vm.exec(\"a\"); }",
            "fn one(vm: &Machine) { vm.exec(\"a\", b); }",
        ] {
            assert_ne!(text(other), one, "{other}");
        }
        assert!(text("fn f(vm: Machine) { x >>= 1; a == b }").ends_with("{ x > > = 1 ; a = = b } "));
    }

    #[test]
    fn what_hangs_on_a_cfg_is_found() {
        let errors = |function: ItemFn| {
            let mut errors = Vec::new();
            check(&function, &mut errors);
            errors.len()
        };
        assert_eq!(
            errors(parse_quote!(
                fn f(vm: Machine) {
                    #[cfg(unix)]
                    a();
                    if cfg!(unix) {
                        b()
                    }
                }
            )),
            2
        );
        assert_eq!(
            errors(parse_quote!(
                fn f(vm: Machine) {
                    #[allow(x)]
                    let cfg = 1;
                    println!("{cfg}");
                }
            )),
            0
        );
    }
}

//! What holds for Rust sources: the length of functions, where `unsafe` and file descriptors may stand, no leftovers.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Block, ImplItemFn, ItemFn, TraitItemFn,
    visit::{self, Visit},
};

use super::Finding;

/// Checks the Rust file at `path`, which holds `content`.
pub(super) fn check(path: &str, content: &str) -> Vec<Finding> {
    let tokens: TokenStream = match content.parse() {
        Ok(tokens) => tokens,
        Err(error) => return vec![Finding::error(path, error.span().start().line, "the file is no Rust")],
    };
    let mut findings = Vec::new();
    check_tokens(path, tokens.clone(), &mut findings);
    match syn::parse2::<syn::File>(tokens) {
        Ok(file) => {
            let mut functions = Functions { path, content, findings: &mut findings };
            functions.visit_file(&file);
        }
        Err(error) => findings.push(Finding::error(path, error.span().start().line, format!("no Rust: {error}"))),
    }
    findings
}

/// Tokens and not the syntax tree, so that the bodies of macros are seen, and strings and comments are not.
fn check_tokens(path: &str, tokens: TokenStream, findings: &mut Vec<Finding>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => check_tokens(path, group.stream(), findings),
            TokenTree::Ident(word) => {
                let is_macro = matches!(tokens.peek(), Some(TokenTree::Punct(mark)) if mark.as_char() == '!');
                findings.extend(check_word(path, &word, is_macro));
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn check_word(path: &str, word: &Ident, is_macro: bool) -> Option<Finding> {
    let (text, line) = (word.to_string(), word.span().start().line);
    let text = text.as_str();
    let is_near_the_system = NEAR_THE_SYSTEM.iter().any(|folder| path.starts_with(folder));
    if is_macro && LEFTOVER_MACROS.contains(&text) {
        return Some(Finding::error(path, line, format!("a leftover {text}!")));
    }
    if text == "unsafe" && !is_near_the_system {
        return Some(Finding::error(path, line, "unsafe code belongs in crates/io and crates/ffi only"));
    }
    if DESCRIPTORS.contains(&text) && !is_near_the_system {
        return Some(Finding::error(
            path,
            line,
            format!("{text}: descriptors belong in crates/io and crates/ffi only"),
        ));
    }
    None
}

struct Functions<'a> {
    path: &'a str,
    content: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, name: &Ident, body: &Block) {
        let (open, close) = (body.brace_token.span.open(), body.brace_token.span.close());
        let inside = self.content.lines().take(close.end().line - 1).skip(open.start().line);
        let lines = inside.filter(|line| !line.trim().is_empty()).count();
        if lines > MAX_FUNCTION_LINES {
            let sentence = format!("function {name} has {lines} lines (at most {MAX_FUNCTION_LINES}, aim for 30)");
            self.findings.push(Finding::error(self.path, name.span().start().line, sentence));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.measure(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.measure(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig.ident, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

const MAX_FUNCTION_LINES: usize = 70;
const NEAR_THE_SYSTEM: &[&str] = &["crates/io/", "crates/ffi/"];
const LEFTOVER_MACROS: &[&str] = &["dbg", "todo", "unimplemented"];
const DESCRIPTORS: &[&str] = &["AsFd", "AsRawFd", "BorrowedFd", "FromRawFd", "IntoRawFd", "OwnedFd", "RawFd"];

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(path: &str, content: &str) -> Vec<String> {
        check(path, content).iter().map(ToString::to_string).collect()
    }

    fn function_of(lines: usize) -> String {
        format!("impl A {{\n    fn long(&self) {{\n{}\n\n    }}\n}}\n", vec!["x();"; lines].join("\n"))
    }

    #[test]
    fn function_of_71_lines_is_an_error_and_blank_lines_do_not_count() {
        assert_eq!(sentences("a.rs", &function_of(70)), [""; 0]);
        let expected = "a.rs:2: function long has 71 lines (at most 70, aim for 30)";
        assert_eq!(sentences("a.rs", &function_of(71)), [expected]);
    }

    #[test]
    fn functions_in_traits_and_in_functions_are_measured() {
        let body = "x();\n".repeat(71);
        assert_eq!(check("a.rs", &format!("trait T {{ fn a() {{\n{body}}} }}")).len(), 1);
        let nested = sentences("a.rs", &format!("fn a() {{ fn b() {{\n{body}}} }}"));
        assert!(nested.iter().any(|sentence| sentence.contains("function b has 71 lines")), "{nested:?}");
    }

    #[test]
    fn unsafe_is_found_outside_io_and_ffi() {
        let source = "fn a() {\n    unsafe { b() }\n}\n";
        let expected = "crates/proto/src/a.rs:2: unsafe code belongs in crates/io and crates/ffi only";
        assert_eq!(sentences("crates/proto/src/a.rs", source), [expected]);
        assert_eq!(sentences("crates/io/src/a.rs", source), [""; 0]);
    }

    #[test]
    fn unsafe_is_found_in_macros_and_not_in_words_or_comments() {
        let macros = "macro_rules! m { () => { unsafe { b() } } }\n";
        assert_eq!(check("a.rs", macros).len(), 1);
        let words = "#![forbid(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe\";\n";
        assert_eq!(sentences("a.rs", words), [""; 0]);
    }

    #[test]
    fn descriptors_are_found_outside_io_and_ffi() {
        let source = "use std::os::fd::AsRawFd;\n";
        assert_eq!(
            sentences("crates/server/src/a.rs", source),
            ["crates/server/src/a.rs:1: AsRawFd: descriptors belong in crates/io and crates/ffi only"]
        );
        assert_eq!(sentences("crates/ffi/src/a.rs", source), [""; 0]);
    }

    #[test]
    fn leftover_macros_are_found_and_functions_of_that_name_are_not() {
        for name in LEFTOVER_MACROS {
            let source = format!("fn a() {{\n    {name}!()\n}}\n");
            assert_eq!(sentences("a.rs", &source), [format!("a.rs:2: a leftover {name}!")]);
            assert_eq!(sentences("a.rs", &format!("fn a() {{ {name}() }}\n")), [""; 0]);
        }
    }

    #[test]
    fn file_that_does_not_parse_is_an_error() {
        assert_eq!(sentences("a.rs", "fn a() {}\nfn {}\n").len(), 1);
        assert_eq!(sentences("a.rs", "fn a() {\n").len(), 1);
    }
}

//! What holds for every text file: its length, its white space, what must not be left in it.

use super::Finding;

/// Checks the file at `path`, which holds `content`.
pub(super) fn check(path: &str, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(length(path, content));
    findings.extend(ending(path, content));
    for (line, text) in content.lines().enumerate().map(|(index, text)| (index + 1, text)) {
        findings.extend(white_space(path, line, text));
        findings.extend(marker(path, line, text));
    }
    findings
}

fn length(path: &str, content: &str) -> Option<Finding> {
    let lines = content.lines().count();
    let is_source = SOURCE_EXTENSIONS.iter().any(|extension| path.ends_with(extension));
    if !is_source || lines <= WARN_FILE_LINES || TABLES.contains(&path) {
        return None;
    }
    let sentence = format!("the file has {lines} lines: say in one sentence what it owns, or split it");
    if lines > MAX_FILE_LINES {
        return Some(Finding::error(path, lines, format!("{sentence} (at most {MAX_FILE_LINES})")));
    }
    Some(Finding::warning(path, lines, format!("{sentence} (better below {WARN_FILE_LINES})")))
}

fn ending(path: &str, content: &str) -> Option<Finding> {
    let last = content.lines().count().max(1);
    if content.is_empty() || content.ends_with('\n') && !content.ends_with("\n\n") {
        return None;
    }
    Some(Finding::error(path, last, "the file must end with one line break"))
}

fn white_space(path: &str, line: usize, text: &str) -> Option<Finding> {
    if text.contains('\t') && !path.ends_with("Makefile") {
        return Some(Finding::error(path, line, "a tab; indent with spaces"));
    }
    text.ends_with([' ', '\r']).then(|| Finding::error(path, line, "white space at the end of the line"))
}

fn marker(path: &str, line: usize, text: &str) -> Option<Finding> {
    if path.ends_with(".md") {
        return None;
    }
    let word = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|word| MARKERS.contains(word))?;
    Some(Finding::error(path, line, format!("a leftover {word}: finish it, or file an issue and drop the mark")))
}

const WARN_FILE_LINES: usize = 500;
const MAX_FILE_LINES: usize = 800;
const SOURCE_EXTENSIONS: &[&str] = &[".c", ".h", ".mjs", ".js", ".py", ".rs", ".sh", ".ts"];

/// Files that are one long table, where a split would hide what belongs together.
const TABLES: &[&str] = &[];

// In two parts, so that this file passes its own check.
const MARKERS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO"), concat!("HA", "CK")];

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(path: &str, content: &str) -> Vec<String> {
        check(path, content).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn clean_file_has_no_findings() {
        assert_eq!(sentences("a.rs", "fn main() {}\n"), [""; 0]);
    }

    #[test]
    fn empty_file_is_fine() {
        assert_eq!(sentences("a.rs", ""), [""; 0]);
    }

    #[test]
    fn file_of_501_lines_is_a_warning() {
        let findings = check("a.rs", &"x\n".repeat(501));
        assert_eq!(findings.len(), 1);
        assert!(!findings[0].is_error());
        assert!(findings[0].to_string().starts_with("a.rs:501: warning: the file has 501 lines"));
        assert!(check("a.rs", &"x\n".repeat(500)).is_empty());
    }

    #[test]
    fn file_of_801_lines_is_an_error() {
        assert!(!check("a.rs", &"x\n".repeat(800))[0].is_error());
        assert!(check("a.rs", &"x\n".repeat(801))[0].is_error());
    }

    #[test]
    fn documents_may_be_long() {
        assert!(check("a.md", &"x\n".repeat(2_000)).is_empty());
    }

    #[test]
    fn last_line_needs_its_break() {
        assert_eq!(sentences("a.py", "x = 1\ny = 2"), ["a.py:2: the file must end with one line break"]);
        assert_eq!(sentences("a.py", "x = 1\n\n"), ["a.py:2: the file must end with one line break"]);
    }

    #[test]
    fn tabs_belong_in_makefiles_only() {
        assert_eq!(sentences("a.rs", "fn a() {\n\tb();\n}\n"), ["a.rs:2: a tab; indent with spaces"]);
        assert!(check("Makefile", "all:\n\ttrue\n").is_empty());
    }

    #[test]
    fn spaces_and_carriage_returns_at_the_end_are_found() {
        assert_eq!(sentences("a.c", "x \ny\r\n").len(), 1, "lines() hides the return of a CRLF");
        assert_eq!(sentences("a.c", "x \n"), ["a.c:1: white space at the end of the line"]);
    }

    #[test]
    fn markers_are_found_as_words() {
        for word in MARKERS {
            let found = sentences("a.rs", &format!("// {word}: later\n"));
            assert_eq!(found, [format!("a.rs:1: a leftover {word}: finish it, or file an issue and drop the mark")]);
            assert!(check("a.rs", &format!("// {word}Y is a word of its own\n")).is_empty());
            assert!(check("a.md", &format!("The mark {word} may be explained.\n")).is_empty());
        }
    }
}

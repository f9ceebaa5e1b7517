//! The checks, and what they find.

mod arrows;
mod files;
mod rust;
mod text;

use std::{fmt, path::Path};

/// A place and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root of the workspace, with `/`.
    path: String,
    /// From 1.
    line: usize,
    severity: Severity,
    sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(path: &str, line: usize, sentence: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, severity: Severity::Error, sentence: sentence.into() }
    }

    fn warning(path: &str, line: usize, sentence: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, line, sentence) }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error() { "" } else { "warning: " };
        write!(f, "{}:{}: {kind}{}", self.path, self.line, self.sentence)
    }
}

/// Everything that is wrong in the workspace at `root`, in the order of the files.
pub(crate) fn check(root: &Path) -> Vec<Finding> {
    let mut findings = arrows::check(root);
    for file in files::collect(root) {
        findings.extend(text::check(&file.path, &file.content));
        if file.path.ends_with(".rs") {
            findings.extend(rust::check(&file.path, &file.content));
        }
    }
    findings.sort();
    findings
}

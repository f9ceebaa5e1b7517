//! The page that lists a directory.

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::root::Root;

/// The page for the directory at `path`, which the client calls `title`.
///
/// Names that are not UTF-8 are left out, since no path names them; so is what a link brings in from outside.
pub(super) fn page(root: &Root, path: &Path, title: &str, shows_hidden: bool) -> io::Result<String> {
    let directory = root.directory(path)?;
    // One that may not be read is no invitation to list.
    if directory.symlink_metadata("index.html").is_ok() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut entries = Vec::new();
    for entry in directory.entries()? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.starts_with('.') && !shows_hidden {
            continue;
        }
        let Ok(metadata) = directory.metadata(&name) else { continue };
        if metadata.is_dir() {
            entries.push(Entry { is_file: false, name, len: 0 });
        } else if metadata.is_file() {
            entries.push(Entry { is_file: true, name, len: metadata.len() });
        }
        if entries.len() == MAX_ENTRIES {
            break;
        }
    }
    entries.sort();
    Ok(render(&percent_decode_str(title).decode_utf8_lossy(), path == Path::new("."), &entries))
}

/// Directories come before files, each by name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    is_file: bool,
    name: String,
    len: u64,
}

fn render(title: &str, is_top: bool, entries: &[Entry]) -> String {
    let mut page = String::new();
    let title = Escaped(title);
    let up = if is_top { "" } else { "<tr><td><a href=\"../\">../</a></td><td></td></tr>\n" };
    // Writing to a string does not fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<table>\n{up}"
    );
    for entry in entries {
        let (slash, len) = if entry.is_file { ("", entry.len.to_string()) } else { ("/", String::new()) };
        // "./" keeps a name such as "javascript:x" from being read as a scheme.
        let link = utf8_percent_encode(&entry.name, ESCAPED_IN_LINKS);
        let name = Escaped(&entry.name);
        let _ = writeln!(page, "<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a></td><td>{len}</td></tr>");
    }
    let more = if entries.len() == MAX_ENTRIES { "<p>There may be more.</p>\n" } else { "" };
    let _ = write!(page, "</table>\n{more}</body>\n</html>\n");
    page
}

/// Text that HTML does not read as markup, in content or in a quoted attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// All but the unreserved characters of RFC 3986 §2.3.
const ESCAPED_IN_LINKS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// So that a huge directory makes no huge page.
const MAX_ENTRIES: usize = 10_000;

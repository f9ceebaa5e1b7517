//! Which files are ours to check.

use std::{fs, path::Path};

/// A text file of the project.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    pub(super) content: String,
}

/// Every checked file below `root`, sorted by path.
pub(super) fn collect(root: &Path) -> Vec<File> {
    let mut files = Vec::new();
    walk(root, "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                walk(&entry.path(), &format!("{path}/"), files);
            }
        } else if kind.is_file()
            && is_checked(&name)
            && let Ok(content) = fs::read_to_string(entry.path())
        {
            files.push(File { path, content });
        }
    }
}

fn is_checked(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    CHECKED_EXTENSIONS.contains(&extension) || CHECKED_NAMES.contains(&name)
}

/// What is not ours: build output, packages, what Git keeps, what a fuzzer found.
const SKIPPED_FOLDERS: &[&str] =
    &[".git", ".venv", "__pycache__", "artifacts", "corpus", "dist", "node_modules", "target"];
const CHECKED_EXTENSIONS: &[&str] =
    &["c", "css", "h", "html", "mjs", "js", "md", "py", "rs", "sh", "toml", "ts", "yml"];
const CHECKED_NAMES: &[&str] = &["Makefile", "run", "setup"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_checked_and_pictures_are_not() {
        assert!(["lib.rs", "README.md", "Makefile"].iter().all(|name| is_checked(name)));
        assert!(["logo.png", "Cargo.lock", "seed-1"].iter().all(|name| !is_checked(name)));
    }

    #[test]
    fn collect_finds_this_file_and_nothing_built() {
        let files = collect(&crate::workspace_root());
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy/files.rs"));
        assert!(files.iter().all(|file| !file.path.split('/').any(|folder| folder == "target")));
    }
}

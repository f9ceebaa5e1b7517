//! What a path asks for: the rules on names, before any file is touched.

use std::path::Path;

use http::{StatusCode, Uri};

use crate::path;

/// A path that may be looked up.
pub(super) struct Target {
    /// Decoded and relative to the directory, such as `docs/a b.txt`; empty for the directory itself.
    pub(super) relative: String,
    /// The last name on the way, still encoded, as a relative reference has it.
    last: String,
    /// The path ends in a slash and so asks for a directory.
    pub(super) is_directory: bool,
    /// The directory itself was asked for by its name in the router, without a slash.
    pub(super) lacks_slash: bool,
}

impl Target {
    /// Reads a path. `mounted_as` is what the router calls the directory, where it was asked for by that name alone.
    pub(super) fn parse(uri: &Uri, mounted_as: Option<&str>, shows_hidden: bool) -> Result<Self, StatusCode> {
        let normal = path::normalize(uri.path()).map_err(|_| StatusCode::BAD_REQUEST)?;
        let mut names = Vec::new();
        for (index, segment) in normal.split('/').filter(|segment| !segment.is_empty()).enumerate() {
            let name = path::decode(segment).ok_or(StatusCode::NOT_FOUND)?;
            let is_hidden = name.starts_with('.') && !shows_hidden && !(index == 0 && name == WELL_KNOWN);
            // An encoded slash is part of a name, and no file has such a name. A backslash separates on some systems.
            if is_hidden || matches!(&*name, "." | "..") || name.contains(['/', '\\', '\0']) {
                return Err(StatusCode::NOT_FOUND);
            }
            names.push(name);
        }
        let relative = names.join("/");
        let last = mounted_as.filter(|_| names.is_empty()).or(normal.rsplit('/').next()).unwrap_or_default().to_owned();
        let lacks_slash = names.is_empty() && mounted_as.is_some();
        Ok(Self { relative, last, is_directory: normal.ends_with('/'), lacks_slash })
    }

    pub(super) fn relative_path(&self) -> &Path {
        Path::new(if self.relative.is_empty() { "." } else { &self.relative })
    }

    /// Where a directory without its slash is redirected to. Relative to the path as the client wrote it, so that it
    /// holds wherever the directory is mounted, and never leads to another host.
    pub(super) fn with_slash(&self, query: Option<&str>) -> String {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("./{}/{query}", self.last)
    }
}

/// RFC 8615.
const WELL_KNOWN: &str = ".well-known";

//! The path of a route, read and translated for the radix tree.

use super::error::RouteMistake;
use crate::path;

/// A path with its parameters found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// In the tree's words, parameters by position so that routes may name them differently: `/users/{0}/{*1}`.
    tree: String,
    /// The names, in the order of the path. The wildcard is called `*`.
    pub(super) names: Box<[Box<str>]>,
    /// It stands for the path above the wildcard too.
    is_prefix: bool,
}

impl Pattern {
    /// Reads `path`; `route` is how messages call it.
    pub(super) fn parse(path: &str, route: &str) -> Result<Self, RouteMistake> {
        let route = || route.to_owned();
        let Some(relative) = path.strip_prefix('/') else { return Err(RouteMistake::NoSlash { route: route() }) };
        if let Some(character) = path.chars().find(|character| matches!(character, '?' | '#' | '{' | '}')) {
            return Err(RouteMistake::BadCharacter { route: route(), character });
        }
        let mut tree = String::with_capacity(path.len() + 2);
        let mut names: Vec<Box<str>> = Vec::new();
        for segment in relative.split('/') {
            // RFC 3986 allows a `*` in a segment; here it must be escaped, so that a misplaced wildcard is not silent.
            if names.last().is_some_and(|name| &**name == WILDCARD) || (segment.contains('*') && segment != WILDCARD) {
                return Err(RouteMistake::MisplacedWildcard { route: route() });
            }
            tree.push('/');
            if let Some(name) = parameter(segment) {
                check_name(name, &names, &route)?;
                let star = if segment == WILDCARD { WILDCARD } else { "" };
                tree.push_str(&format!("{{{star}{}}}", names.len()));
                names.push(name.into());
            } else {
                let literal = path::normalize(segment).map_err(|_| RouteMistake::BadEscape { route: route() })?;
                tree.push_str(&literal);
            }
        }
        Ok(Self { tree, names: names.into(), is_prefix: false })
    }

    /// Reads the path of a nested service: `/app`, or `/app/`, stands for itself and for all below.
    pub(super) fn parse_prefix(path: &str, route: &str) -> Result<Self, RouteMistake> {
        let below = format!("{}/{WILDCARD}", path.strip_suffix('/').unwrap_or(path));
        if path.is_empty() {
            return Err(RouteMistake::NoSlash { route: route.to_owned() });
        }
        Ok(Self { is_prefix: true, ..Self::parse(&below, route)? })
    }

    /// The ways a route is entered into the tree, whose own wildcard matches no empty rest.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let ends_in_wildcard = self.names.last().is_some_and(|name| &**name == WILDCARD);
        let with_slash = self.tree.rfind('{').filter(|_| ends_in_wildcard).map(|start| &self.tree[..start]);
        let without_slash = with_slash.and_then(|tree| tree.strip_suffix('/'));
        let implied = with_slash.into_iter().chain(without_slash.filter(|tree| self.is_prefix && !tree.is_empty()));
        std::iter::once(Entry { tree: &self.tree, implied: false })
            .chain(implied.map(|tree| Entry { tree, implied: true }))
    }
}

/// One path in the tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) tree: &'a str,
    /// It follows from a wildcard and gives way to a route declared for this very path.
    pub(super) implied: bool,
}

/// What the rest of a path is called.
pub(super) const WILDCARD: &str = "*";

fn parameter(segment: &str) -> Option<&str> {
    if segment == WILDCARD { Some(WILDCARD) } else { segment.strip_prefix(':') }
}

fn check_name(name: &str, names: &[Box<str>], route: &impl Fn() -> String) -> Result<(), RouteMistake> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() {
        Err(RouteMistake::EmptyParameter { route: route() })
    } else if name != WILDCARD && !name.bytes().all(is_valid) {
        Err(RouteMistake::BadParameter { route: route() })
    } else if names.iter().any(|other| **other == *name) {
        Err(RouteMistake::RepeatedParameter { route: route(), name: name.to_owned() })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str) -> String {
        Pattern::parse(path, path).map_or_else(|mistake| mistake.to_string(), |pattern| pattern.tree)
    }

    #[test]
    fn translation_table() {
        let cases = [
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/users/:id", "/users/{0}"),
            ("/users/:id/posts/:post-id", "/users/{0}/posts/{1}"),
            ("/files/*", "/files/{*0}"),
            ("/*", "/{*0}"),
            ("/:a/*", "/{0}/{*1}"),
            ("/v1/things:batch", "/v1/things:batch"),
            ("/café", "/caf%C3%A9"),
            ("/%3Aid/%2A", "/%3Aid/%2A"),
            ("/a b", "/a%20b"),
        ];
        for (path, expected) in cases {
            assert_eq!(tree(path), expected, "{path}");
        }
    }

    #[test]
    fn mistakes_are_sentences() {
        let misplaced = "has a misplaced *: it takes the rest of a path, so it stands alone, once, as the last segment";
        let cases = [
            ("", "does not begin with a slash"),
            ("a", "does not begin with a slash"),
            ("/:", "has a parameter without a name: write :name"),
            ("/:/x", "has a parameter without a name: write :name"),
            ("/:a.b", "has a parameter whose name is not made of letters, digits, _ and -"),
            ("/:a/:a", "has two parameters called a"),
            ("/*/a", misplaced),
            ("/*/*", misplaced),
            ("/*/", misplaced),
            ("/a*", misplaced),
            ("/*rest", misplaced),
            ("/{id}", "has a '{', which paths do not have; a parameter is written :name"),
            ("/a?b", "has a '?', which paths do not have; a parameter is written :name"),
            ("/100%", "has a % without two hex digits behind it"),
        ];
        for (path, expected) in cases {
            assert_eq!(tree(path), format!("{path} {expected}"));
        }
    }

    #[test]
    fn wildcard_is_entered_with_and_without_rest() {
        let pattern = Pattern::parse("/:a/*", "").unwrap();
        let entries: Vec<_> = pattern.entries().map(|entry| (entry.tree, entry.implied)).collect();
        assert_eq!(entries, [("/{0}/{*1}", false), ("/{0}/", true)]);
        assert_eq!(Pattern::parse("/:a", "").unwrap().entries().count(), 1);
    }

    #[test]
    fn prefix_stands_for_itself_and_all_below() {
        for path in ["/a/:b", "/a/:b/"] {
            let pattern = Pattern::parse_prefix(path, "").unwrap();
            let entries: Vec<_> = pattern.entries().map(|entry| (entry.tree, entry.implied)).collect();
            assert_eq!(entries, [("/a/{0}/{*1}", false), ("/a/{0}/", true), ("/a/{0}", true)], "{path}");
        }
        let pattern = Pattern::parse_prefix("/", "").unwrap();
        let root: Vec<_> = pattern.entries().map(|entry| entry.tree).collect();
        assert_eq!(root, ["/{*0}", "/"]);
        assert!(Pattern::parse_prefix("/a/*", "").is_err());
        assert!(Pattern::parse_prefix("", "").is_err());
    }
}

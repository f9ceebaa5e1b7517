//! Route mistakes, as sentences.

use std::fmt;

/// What is wrong with the routes: one sentence a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterError {
    mistakes: Vec<RouteMistake>,
}

impl RouterError {
    pub(super) fn new(mistakes: Vec<RouteMistake>) -> Self {
        Self { mistakes }
    }

    /// All mistakes, in the order of declaration; never empty.
    #[must_use]
    pub fn mistakes(&self) -> &[RouteMistake] {
        &self.mistakes
    }
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RouterError {}

/// One mistake. Routes are named as they were declared: `GET /users/:id`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteMistake {
    /// Two routes take the same method of the same path.
    #[error("{route} takes the same requests as {earlier}, declared before it")]
    Duplicate {
        /// The later route.
        route: String,
        /// The one before it.
        earlier: String,
    },
    /// Two routes overlap and neither is more particular, such as `/a/:x` and `/a/*`.
    #[error("{route} overlaps with {earlier}, and neither is more particular: change one of the paths")]
    Conflict {
        /// The later route.
        route: String,
        /// The one before it.
        earlier: String,
    },
    /// The path does not begin with `/`.
    #[error("{route} does not begin with a slash")]
    NoSlash {
        /// The route.
        route: String,
    },
    /// A `:` without a name behind it.
    #[error("{route} has a parameter without a name: write :name")]
    EmptyParameter {
        /// The route.
        route: String,
    },
    /// A parameter name with something other than ASCII letters, digits, `_` and `-`.
    #[error("{route} has a parameter whose name is not made of letters, digits, _ and -")]
    BadParameter {
        /// The route.
        route: String,
    },
    /// One name twice in a path.
    #[error("{route} has two parameters called {name}")]
    RepeatedParameter {
        /// The route.
        route: String,
        /// The name.
        name: String,
    },
    /// A `*` that is not the last segment, or not alone in it, or a second one, or one in a nested path.
    #[error("{route} has a misplaced *: it takes the rest of a path, so it stands alone, once, as the last segment")]
    MisplacedWildcard {
        /// The route.
        route: String,
    },
    /// A character that no path has: `?`, `#`, `{` or `}`.
    #[error("{route} has a {character:?}, which paths do not have; a parameter is written :name")]
    BadCharacter {
        /// The route.
        route: String,
        /// The character.
        character: char,
    },
    /// A `%` without two hex digits.
    #[error("{route} has a % without two hex digits behind it")]
    BadEscape {
        /// The route.
        route: String,
    },
    /// A `:protocol` that no request can carry.
    #[error(
        "the route {path} asks for the protocol {protocol:?}, which is no upgrade token such as \"name\" or \"name/1\""
    )]
    Protocol {
        /// The path of the route.
        path: String,
        /// What is none.
        protocol: String,
    },
    /// CONNECT asks for a host, not for a path.
    #[error("{route} can never be asked for: CONNECT has no path")]
    Connect {
        /// The route.
        route: String,
    },
}

//! What the RFCs leave to whoever runs the endpoint.

/// How received messages are judged where the RFCs leave a choice.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// What to do with field names that hold an underscore. [`Underscores::Drop`].
    pub underscores: Underscores,
    /// Whether our SETTINGS allowed `:protocol` (RFC 9220 §3). Off.
    pub extended_connect: bool,
    /// The longest `:path`, bytes. 8 KiB; [`http::Uri`] refuses more than 65,534 bytes whatever is set here.
    pub max_path: usize,
    /// The longest name of a field, bytes. 256.
    pub max_name: usize,
}

impl Default for Policy {
    /// The policy of a server.
    fn default() -> Self {
        Self { underscores: Underscores::Drop, extended_connect: false, max_path: 8 * 1024, max_name: 256 }
    }
}

impl Policy {
    /// The policy of a client: as the default, but names with underscores are kept, because nothing behind a client
    /// confuses them with hyphens.
    #[must_use]
    pub fn for_client() -> Self {
        Self { underscores: Underscores::Accept, ..Self::default() }
    }
}

/// What to do with a field name such as `x_user`, which CGI-like software behind a server cannot tell from `x-user`,
/// so that a client could forge a field a proxy is trusted to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underscores {
    /// Leave the field out.
    Drop,
    /// Keep it.
    Accept,
    /// The message is malformed.
    Reject,
}

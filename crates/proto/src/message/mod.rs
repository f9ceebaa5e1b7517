//! Field sections and `http` types: strict validation both ways.
//!
//! Owns what makes a message malformed (RFC 9114 §4.1.2, §4.2, §4.3, §4.4; RFC 9220 §3; RFC 9110 §5, §6.5.1, §8.6) and
//! the sum of DATA against `content-length`. Does not own frames, QPACK, the size and the number of field lines, nor
//! what a handler should think of a well-formed message.
//!
//! - In: [`request`], [`response`] and [`trailers`] turn decoded field lines into `http` types or a [`MessageFault`].
//! - Out: [`check_request`], [`check_response`] and [`check_trailers`] refuse what must not be sent with a
//!   [`SendFault`]; [`request_fields`], [`response_fields`] and [`trailer_fields`] then give the lines to an encoder.
//! - Between: [`BodyLength`] counts the body, received or sent.
//!
//! Where the RFCs leave a choice:
//! - A repeated field that can have one value only (`authorization`, `content-type`, `location`, `origin`,
//!   `proxy-authorization`) is collapsed when the values are the same bytes and malformed otherwise; a second `host`
//!   is always malformed (RFC 9112 §3.2). Other repeated fields are kept in order.
//! - `cookie` lines are joined with `; ` (RFC 9114 §4.2.1); empty ones are left out.
//! - `cookie`, `authorization` and `proxy-authorization` are marked sensitive, so that `Debug` does not print them.
//! - A `:path` may hold bytes above 0x7f when they are UTF-8, as clients send them; [`http::Uri`] takes them.
//! - Trailers lose the fields RFC 9110 §6.5.1 does not allow there; a connection-specific field in trailers is
//!   malformed, as in every field section (RFC 9114 §4.2).

mod authority;
mod fault;
mod length;
mod outgoing;
mod policy;
mod protocol;
mod request;
mod response;
mod rules;
mod section;
mod send;
#[cfg(test)]
mod tests;

pub use fault::MessageFault;
pub use length::{BodyLength, RequestKind, content_length};
pub use outgoing::{OutField, OutName, request_fields, response_fields, trailer_fields};
pub use policy::{Policy, Underscores};
pub use protocol::{InvalidProtocol, Protocol};
pub use request::request;
pub use response::{response, trailers};
pub use send::{SendFault, check_request, check_response, check_trailers};

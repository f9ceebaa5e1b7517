//! QPACK: field compression for HTTP/3 (RFC 9204).
//!
//! An [`Encoder`] and a [`Decoder`] are values: bytes in, bytes out. They know no streams; the connection carries
//! [`Encoder::take_output`] to its encoder stream and [`Decoder::take_output`] to its decoder stream, and gives them
//! what arrives on the peer's. Instruction streams may be cut anywhere; field sections are given whole.
//!
//! What a peer can make either of them hold is bounded by their configuration: lengths that the peer declares are
//! checked before anything is allocated for them.
//!
//! ```
//! use bytes::BytesMut;
//! use lorraine_proto::StreamId;
//! use lorraine_proto::qpack::{Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig, FieldLine};
//!
//! let mut encoder = Encoder::new(EncoderConfig::default());
//! let mut section = BytesMut::new();
//! let line = FieldLine { name: b":status", value: b"200", is_sensitive: false };
//! encoder.encode(StreamId::new(0), [line], &mut section);
//! assert_eq!(&section[..], [0x00, 0x00, 0xd9]);
//!
//! let mut decoder = Decoder::new(DecoderConfig::default());
//! let mut fields = Vec::new();
//! assert_eq!(decoder.decode(StreamId::new(0), &section, &mut fields), Ok(Decoded::Complete));
//! assert_eq!(fields[0].name.as_bytes(), b":status");
//! ```

mod decoder;
mod dynamic_table;
mod encoder;
mod error;
mod huffman;
mod instruction;
mod integer;
mod output;
mod static_table;
mod string;

pub use decoder::{Decoded, Decoder, DecoderConfig};
pub use encoder::{Encoder, EncoderConfig, EncoderCounters, FieldLine};
pub use error::{DecodeError, DecoderStreamError, DecompressionError, EncoderStreamError, HuffmanError, SectionError};

//! One received field section: the pseudo-header fields apart, the others in a [`HeaderMap`], each by its rule.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::fault::MessageFault;
use super::policy::{Policy, Underscores};
use super::rules::{self, NameMarks, Place, Rule};
use crate::field::{Field, FieldName, Pseudo};

#[derive(Default)]
pub(super) struct Section {
    pub(super) pseudo: PseudoFields,
    pub(super) headers: HeaderMap,
    /// The value of `host`, shared with the one in `headers`.
    pub(super) host: Option<Bytes>,
}

impl Section {
    /// Judges `fields` and takes them in. Drains them, also when they are at fault.
    pub(super) fn read(&mut self, fields: &mut Vec<Field>, place: Place, policy: &Policy) -> Result<(), MessageFault> {
        let ordinary = fields.iter().filter(|field| !matches!(field.name, FieldName::Pseudo(_))).count();
        if self.headers.try_reserve(ordinary).is_err() {
            fields.clear();
            return Err(MessageFault::TooManyFields);
        }
        let mut reader = Reader { section: self, place, policy, past_pseudo: false, cookies: SmallVec::new() };
        for field in fields.drain(..) {
            match field.name {
                FieldName::Regular(name) => reader.on_field(name, field.value)?,
                FieldName::Pseudo(pseudo) => reader.on_pseudo(pseudo, field.value)?,
                FieldName::Invalid(name) => return Err(reader.fault_of_name(&name)),
            }
        }
        reader.finish()
    }
}

/// The values of the pseudo-header fields, each at most once.
#[derive(Default)]
pub(super) struct PseudoFields([Option<Bytes>; 6]);

impl PseudoFields {
    pub(super) fn take(&mut self, pseudo: Pseudo) -> Option<Bytes> {
        self.0[pseudo as usize].take()
    }

    pub(super) fn require(&mut self, pseudo: Pseudo) -> Result<Bytes, MessageFault> {
        self.take(pseudo).ok_or(MessageFault::MissingPseudo(pseudo))
    }

    fn put(&mut self, pseudo: Pseudo, value: Bytes) -> Result<(), MessageFault> {
        let slot = &mut self.0[pseudo as usize];
        if slot.is_some() {
            return Err(MessageFault::DuplicatePseudo(pseudo));
        }
        *slot = Some(value);
        Ok(())
    }
}

struct Reader<'a> {
    section: &'a mut Section,
    place: Place,
    policy: &'a Policy,
    /// Whether an ordinary field was seen, so that no pseudo-header field may follow.
    past_pseudo: bool,
    cookies: SmallVec<[HeaderValue; 4]>,
}

impl Reader<'_> {
    fn on_pseudo(&mut self, pseudo: Pseudo, value: Bytes) -> Result<(), MessageFault> {
        // RFC 9114 §4.3: defined for the other kind of message, after an ordinary field, or twice: malformed.
        match (self.place, pseudo) {
            (Place::Trailers, _) => return Err(MessageFault::PseudoInTrailers),
            (Place::Request, Pseudo::Status) => return Err(MessageFault::StatusInRequest),
            (Place::Request, _) | (Place::Response, Pseudo::Status) => {}
            (Place::Response, _) => return Err(MessageFault::RequestPseudoInResponse(pseudo)),
        }
        if self.past_pseudo {
            return Err(MessageFault::PseudoAfterField);
        }
        self.section.pseudo.put(pseudo, value)
    }

    fn fault_of_name(&self, name: &[u8]) -> MessageFault {
        match name.first() {
            None => MessageFault::EmptyName,
            Some(b':') if self.place == Place::Trailers => MessageFault::PseudoInTrailers,
            Some(b':') => MessageFault::UnknownPseudo,
            Some(_) if !name.iter().all(|&byte| rules::is_tchar(byte)) => MessageFault::NameByte,
            Some(_) if name.iter().any(u8::is_ascii_uppercase) => MessageFault::UppercaseName,
            // `HeaderName` bounds its length too.
            Some(_) => MessageFault::NameTooLong,
        }
    }

    fn on_field(&mut self, name: HeaderName, value: Bytes) -> Result<(), MessageFault> {
        self.past_pseudo = true;
        let is_kept = self.judge_name(&name)?;
        let shared = (self.place == Place::Request && name == header::HOST).then(|| value.clone());
        let mut value = judge_value(value)?;
        match Rule::of(&name) {
            Rule::ConnectionSpecific(name) => return Err(MessageFault::ConnectionSpecific(name)),
            // RFC 9114 §4.2: te "MAY be present in an HTTP/3 request header", and nowhere else.
            Rule::Te if self.place == Place::Response || !rules::is_te_trailers(value.as_bytes()) => {
                return Err(MessageFault::Te);
            }
            _ if !is_kept => return Ok(()),
            Rule::ContentLength => {
                rules::parse_content_length(value.as_bytes()).ok_or(MessageFault::ContentLength)?;
            }
            Rule::Cookie => {
                value.set_sensitive(true);
                self.cookies.push(value);
                return Ok(());
            }
            Rule::Host => self.section.host = shared.or(self.section.host.take()),
            Rule::Credential(_) => value.set_sensitive(true),
            Rule::Free | Rule::Single(_) | Rule::Te => {}
        }
        self.keep(name, value)
    }

    /// Whether the field is kept.
    fn judge_name(&self, name: &HeaderName) -> Result<bool, MessageFault> {
        if name.as_str().len() > self.policy.max_name {
            return Err(MessageFault::NameTooLong);
        }
        let marks = NameMarks::of(name);
        if marks.quote {
            return Err(MessageFault::NameByte);
        }
        if marks.underscore && self.policy.underscores == Underscores::Reject {
            return Err(MessageFault::UnderscoreName);
        }
        let is_dropped = marks.underscore && self.policy.underscores == Underscores::Drop
            || self.place == Place::Trailers && rules::is_forbidden_in_trailers(name);
        Ok(!is_dropped)
    }

    fn keep(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), MessageFault> {
        match self.section.headers.try_entry(name).map_err(|_| MessageFault::TooManyFields)? {
            Entry::Vacant(slot) => {
                slot.try_insert(value).map_err(|_| MessageFault::TooManyFields)?;
            }
            Entry::Occupied(mut slot) => {
                let is_same = *slot.get() == value;
                match Rule::of(slot.key()) {
                    // RFC 9112 §3.2: more than one host line is an error whatever it says.
                    Rule::Host if self.place == Place::Request => return Err(MessageFault::RepeatedField("host")),
                    Rule::ContentLength if !is_same => return Err(MessageFault::ContentLengthDiffers),
                    Rule::Single(name) | Rule::Credential(name) if !is_same => {
                        return Err(MessageFault::RepeatedField(name));
                    }
                    Rule::ContentLength | Rule::Single(_) | Rule::Credential(_) => {}
                    _ => slot.append(value),
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), MessageFault> {
        if let Some(cookie) = join_cookies(self.cookies)? {
            self.section.headers.try_insert(header::COOKIE, cookie).map_err(|_| MessageFault::TooManyFields)?;
        }
        Ok(())
    }
}

fn judge_value(value: Bytes) -> Result<HeaderValue, MessageFault> {
    if let (Some(&first), Some(&last)) = (value.first(), value.last())
        && (rules::is_blank(first) || rules::is_blank(last))
    {
        return Err(MessageFault::ValueWhitespace);
    }
    // RFC 9110 §5.5: `HeaderValue` takes VCHAR, SP, HTAB and obs-text, and looks at each byte once.
    HeaderValue::from_maybe_shared(value).map_err(|_| MessageFault::ValueByte)
}

/// RFC 9114 §4.2.1: cookie crumbs become one line, in their order, before anything else sees them.
fn join_cookies(mut cookies: SmallVec<[HeaderValue; 4]>) -> Result<Option<HeaderValue>, MessageFault> {
    cookies.retain(|cookie| !cookie.is_empty());
    if cookies.len() < 2 {
        return Ok(cookies.pop());
    }
    let mut joined = BytesMut::with_capacity(cookies.iter().map(|cookie| cookie.len() + 2).sum());
    for cookie in &cookies {
        if !joined.is_empty() {
            joined.put_slice(b"; ");
        }
        joined.put_slice(cookie.as_bytes());
    }
    let mut joined = HeaderValue::from_maybe_shared(joined.freeze()).map_err(|_| MessageFault::ValueByte)?;
    joined.set_sensitive(true);
    Ok(Some(joined))
}

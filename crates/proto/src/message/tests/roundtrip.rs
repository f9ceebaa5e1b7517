//! What we send, we receive: random well-formed messages through the iterators and back. The seed is in the message of
//! an assertion that fails.

use ::bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::field::{Field, FieldName};
use crate::message::{
    self, OutField, Policy, Protocol, RequestKind, check_request, check_response, check_trailers, request_fields,
    response_fields, trailer_fields,
};

const MESSAGES: u64 = 4000;

#[test]
fn a_request_that_may_be_sent_is_received_as_it_was() {
    let policy = Policy { extended_connect: true, ..Policy::default() };
    for seed in 0..MESSAGES {
        let parts = random_request(&mut Random(seed));
        assert_eq!(check_request(&parts), Ok(()), "seed {seed}: {parts:?}");
        let received = message::request(&mut received_fields(request_fields(&parts)), &policy);
        let received = received.unwrap_or_else(|fault| panic!("seed {seed}: {fault}: {parts:?}"));
        assert_eq!(received.method, parts.method, "seed {seed}");
        assert_eq!(received.uri, parts.uri, "seed {seed}");
        assert_eq!(received.headers, parts.headers, "seed {seed}");
        assert_eq!(received.version, http::Version::HTTP_3);
        assert_eq!(received.extensions.get::<Protocol>(), parts.extensions.get::<Protocol>(), "seed {seed}");
    }
}

#[test]
fn a_response_that_may_be_sent_is_received_as_it_was() {
    for seed in 0..MESSAGES {
        let random = &mut Random(seed);
        let mut parts = Response::new(()).into_parts().0;
        parts.status = StatusCode::from_u16(200 + random.below(4) as u16 * 100).unwrap();
        parts.headers = random_headers(random);
        assert_eq!(check_response(&parts, RequestKind::Ordinary), Ok(()), "seed {seed}: {parts:?}");
        let mut fields = received_fields(response_fields(&parts, RequestKind::Ordinary));
        let received = message::response(&mut fields, &Policy::for_client()).unwrap();
        assert_eq!((received.status, received.headers), (parts.status, parts.headers), "seed {seed}");
    }
}

#[test]
fn trailers_that_may_be_sent_are_received_as_they_were() {
    for seed in 0..MESSAGES {
        let mut trailers = random_headers(&mut Random(seed));
        for name in ["content-length", "content-type", "cookie", "authorization"] {
            trailers.remove(name);
        }
        assert_eq!(check_trailers(&trailers), Ok(()), "seed {seed}: {trailers:?}");
        let received = message::trailers(&mut received_fields(trailer_fields(&trailers)), &Policy::default());
        assert_eq!(received, Ok(trailers), "seed {seed}");
    }
}

#[test]
fn a_damaged_request_is_judged_without_a_panic_and_may_be_sent_on_when_it_is_taken() {
    let policy = Policy { extended_connect: true, ..Policy::default() };
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..MESSAGES * 5 {
        let fields = damaged_request(&mut Random(seed));
        match message::request(&mut fields.clone(), &policy) {
            Ok(parts) => {
                taken += 1;
                assert_eq!(check_request(&parts), Ok(()), "seed {seed}: {fields:?}");
            }
            Err(_) => refused += 1,
        }
        let _ = message::response(&mut fields.clone(), &policy);
        let _ = message::trailers(&mut fields.clone(), &policy);
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

/// A well-formed request after a few random insertions, removals and replaced values.
fn damaged_request(random: &mut Random) -> Vec<Field> {
    let names =
        [":method", ":scheme", ":authority", ":path", ":protocol", ":status", ":x", "host", "cookie", "te", "x_a"];
    let values: [&[u8]; 11] =
        [b"GET", b"CONNECT", b"OPTIONS", b"https", b"a.example:1", b"/", b"*", b"", b"trailers", b"[", b"\xff@?#"];
    let start = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example:1"), (":path", "/")];
    let line = |name: &str, value: &'static [u8]| Field {
        name: FieldName::recognise(name.as_bytes()),
        value: Bytes::from_static(value),
    };
    let mut fields: Vec<_> = start.map(|(name, value)| line(name, value.as_bytes())).into();
    for _ in 0..1 + random.below(3) {
        let at = random.below(fields.len() as u64) as usize;
        match random.below(3) {
            0 => drop(fields.remove(at)),
            1 => fields.insert(at + 1, line(random.pick(&names), random.pick(&values))),
            _ => fields[at].value = Bytes::from_static(random.pick(&values)),
        }
    }
    fields
}

fn received_fields<'a>(fields: impl Iterator<Item = OutField<'a>>) -> Vec<Field> {
    fields
        .map(|field| Field {
            name: FieldName::recognise(field.name.as_str().as_bytes()),
            value: Bytes::copy_from_slice(field.value),
        })
        .collect()
}

fn random_request(random: &mut Random) -> http::request::Parts {
    let mut parts = Request::new(()).into_parts().0;
    parts.headers = random_headers(random);
    let authority =
        format!("{}:{}", random.pick(&["a.example", "127.0.0.1", "[2001:db8::1]"]), 1 + random.below(65_535));
    match random.below(8) {
        0 => {
            parts.method = Method::CONNECT;
            parts.uri = authority.parse().unwrap();
        }
        1 => {
            parts.method = Method::CONNECT;
            parts.uri = absolute("https", &authority, &random_path(random));
            parts.extensions.insert(random.pick(&["websocket", "chat/1"]).parse::<Protocol>().unwrap());
        }
        2 => {
            parts.method = Method::OPTIONS;
            parts.uri = absolute("https", &authority, "*");
        }
        _ => {
            parts.method =
                random.pick(&["GET", "HEAD", "POST", "PUT", "DELETE", "PURGE", "x!#$%&'*+-.^_`|~1"]).parse().unwrap();
            parts.uri = absolute(random.pick(&["https", "http", "coap"]), &authority, &random_path(random));
        }
    }
    parts
}

fn absolute(scheme: &str, authority: &str, path: &str) -> Uri {
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().unwrap()
}

fn random_path(random: &mut Random) -> String {
    let mut path = String::from("/");
    for _ in 0..random.below(40) {
        path.push_str(random.pick(&["a", "Z", "9", "/", "?", "%20", "=", "&", "~", ".", "\u{e4}", ";", "@", ":"]));
    }
    path
}

fn random_headers(random: &mut Random) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for _ in 0..random.below(12) {
        let name = format!("x-{}{}", random.pick(&["a", "b", "!#$%&'*+.^`|~", "0"]), random.below(3));
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), random_value(random));
    }
    for name in ["accept", "authorization", "content-type", "cookie", "priority", "user-agent"] {
        let value = random_value(random);
        if random.below(2) == 0 && !value.is_empty() {
            headers.insert(name, value);
        }
    }
    if random.below(2) == 0 {
        headers.insert("content-length", HeaderValue::from(random.below(1 << 63)));
    }
    headers
}

/// Any bytes a value may have, without white space at its ends.
fn random_value(random: &mut Random) -> HeaderValue {
    let mut value: Vec<u8> = (0..random.below(30)).map(|_| random.below(256) as u8).collect();
    value.retain(|&byte| byte >= b' ' && byte != 0x7f || byte == b'\t');
    HeaderValue::from_bytes(value.trim_ascii()).unwrap()
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

use http::{Method, Version};

use super::*;
use crate::field::Pseudo;

#[test]
fn a_well_formed_request_becomes_method_uri_version_and_headers() {
    let parts = get_with(&[("accept", "*/*"), ("x-a", ""), ("accept", "text/html")]).unwrap();
    assert_eq!(parts.method, Method::GET);
    assert_eq!(parts.uri, "https://example.com/");
    assert_eq!(parts.version, Version::HTTP_3);
    assert_eq!(values(&parts.headers, "accept"), ["*/*", "text/html"]);
    assert_eq!(values(&parts.headers, "x-a"), [""]);
    assert_eq!(parts.headers.len(), 3);
    assert!(parts.extensions.is_empty());
}

#[test]
fn pseudo_fields_come_in_any_order() {
    let mut lines = GET;
    lines.reverse();
    assert_eq!(request(&lines).unwrap().uri, "https://example.com/");
}

#[test]
fn values_are_shared_and_not_copied() {
    let mut fields = fields(&[&GET[..], &[("x-a", "a value")]].concat());
    let addresses: Vec<_> = fields.iter().map(|field| field.value.as_ptr()).collect();
    let parts = crate::message::request(&mut fields, &Policy::default()).unwrap();
    assert_eq!(parts.uri.authority().unwrap().as_str().as_ptr(), addresses[2]);
    assert_eq!(parts.uri.path().as_ptr(), addresses[3]);
    assert_eq!(parts.headers["x-a"].as_bytes().as_ptr(), addresses[4]);
}

#[test]
fn fields_are_drained_and_keep_their_capacity_whatever_comes_of_them() {
    for lines in [&GET[..], &[("Bad", ""), ("x-a", "b")]] {
        let mut fields = fields(lines);
        let capacity = fields.capacity();
        let _ = crate::message::request(&mut fields, &Policy::default());
        assert!(fields.is_empty());
        assert_eq!(fields.capacity(), capacity);
    }
}

// The vectors H2 to H5 of h3spec, at the level of fields.
#[test]
fn h3spec_h2_duplicate_pseudo_field_is_malformed() {
    let lines =
        [(":method", "GET"), (":scheme", "https"), (":authority", "127.0.0.1"), (":path", "/"), (":method", "GET")];
    assert_fault(request(&lines), MessageFault::DuplicatePseudo(Pseudo::Method));
}

#[test]
fn h3spec_h3_missing_pseudo_field_is_malformed() {
    assert_fault(request(&[(":method", "GET"), (":scheme", "https"), (":path", "/")]), MessageFault::AuthorityMissing);
}

#[test]
fn h3spec_h4_unknown_pseudo_field_is_malformed() {
    let lines =
        [(":method", "GET"), (":scheme", "https"), (":authority", "127.0.0.1"), (":path", "/"), (":foo", "bar")];
    assert_fault(request(&lines), MessageFault::UnknownPseudo);
}

#[test]
fn h3spec_h5_pseudo_field_behind_an_ordinary_one_is_malformed() {
    let lines = [(":method", "GET"), (":scheme", "https"), (":authority", "127.0.0.1"), ("foo", "bar"), (":path", "/")];
    assert_fault(request(&lines), MessageFault::PseudoAfterField);
}

#[test]
fn every_pseudo_field_is_malformed_when_it_is_missing_or_occurs_twice() {
    for (index, pseudo) in [(0, Pseudo::Method), (1, Pseudo::Scheme), (3, Pseudo::Path)] {
        let mut lines = GET.to_vec();
        lines.remove(index);
        assert_fault(request(&lines), MessageFault::MissingPseudo(pseudo));
    }
    for (index, pseudo) in [(0, Pseudo::Method), (1, Pseudo::Scheme), (2, Pseudo::Authority), (3, Pseudo::Path)] {
        assert_fault(get_with(&[GET[index]]), MessageFault::DuplicatePseudo(pseudo));
    }
    assert_fault(request(&[]), MessageFault::MissingPseudo(Pseudo::Method));
}

#[test]
fn a_pseudo_field_behind_a_dropped_field_is_malformed_too() {
    assert_fault(request(&[&GET[..3], &[("x_dropped", "1")], &GET[3..]].concat()), MessageFault::PseudoAfterField);
}

#[test]
fn status_in_a_request_is_malformed_wherever_it_stands() {
    assert_fault(get_with(&[(":status", "200")]), MessageFault::StatusInRequest);
    assert_fault(get_with(&[("x-a", "b"), (":status", "200")]), MessageFault::StatusInRequest);
}

#[test]
fn unknown_and_misspelled_pseudo_fields_are_malformed() {
    for name in [":", ":Path", ":path ", "::path", ":version", ":method\0"] {
        assert_fault(get_with(&[(name, "x")]), MessageFault::UnknownPseudo);
    }
}

#[test]
fn methods_are_tokens_of_any_spelling() {
    for method in ["GET", "get", "QUERY", "M-SEARCH", "A-VERY-LONG-METHOD-THAT-NOBODY-HAS-REGISTERED"] {
        assert_eq!(get_but(":method", method.as_bytes()).unwrap().method.as_str(), method);
    }
    for method in ["", "GET ", "G T", "GET\0", "G/T", "GÄT"] {
        assert_fault(get_but(":method", method.as_bytes()), MessageFault::Method);
    }
}

#[test]
fn trailers_have_no_pseudo_fields() {
    for name in [":path", ":status", ":foo", ":"] {
        let mut fields = fields(&[("x-a", "b"), (name, "x")]);
        assert_fault(crate::message::trailers(&mut fields, &Policy::default()), MessageFault::PseudoInTrailers);
    }
}

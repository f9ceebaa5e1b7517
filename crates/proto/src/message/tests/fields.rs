use super::*;
use crate::message::{Underscores, content_length, trailers};

fn policy(underscores: Underscores) -> Policy {
    Policy { underscores, ..Policy::default() }
}

#[test]
fn names_are_neither_empty_nor_upper_case_nor_too_long() {
    assert_fault(get_with(&[("", "x")]), MessageFault::EmptyName);
    assert_fault(get_with(&[("Accept", "x")]), MessageFault::UppercaseName);
    assert_fault(get_with(&[("x-\u{e4}", "x")]), MessageFault::NameByte);
    assert_fault(get_with(&[("X a", "x")]), MessageFault::NameByte);
    assert!(get_with(&[(&"a".repeat(256), "x")]).is_ok());
    assert_fault(get_with(&[(&"a".repeat(257), "x")]), MessageFault::NameTooLong);
    assert_fault(get_with(&[(&"a".repeat(70_000), "x")]), MessageFault::NameTooLong);
}

#[test]
fn names_with_underscores_are_dropped_kept_or_refused_as_the_policy_says() {
    let lines = [&GET[..], &[("x_a", "1"), ("content_length", "x"), ("x-a", "2")]].concat();
    let ask = |underscores| crate::message::request(&mut fields(&lines), &policy(underscores));

    let dropped = ask(Underscores::Drop).unwrap().headers;
    assert_eq!((dropped.len(), values(&dropped, "x-a")), (1, vec!["2".to_owned()]));
    assert_eq!(ask(Underscores::Accept).unwrap().headers.len(), 3);
    assert_fault(ask(Underscores::Reject), MessageFault::UnderscoreName);
    assert_eq!(Policy::default().underscores, Underscores::Drop);
    assert_eq!(Policy::for_client().underscores, Underscores::Accept);
}

#[test]
fn connection_specific_fields_are_malformed_in_every_section() {
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        let fault = MessageFault::ConnectionSpecific(name);
        let policy = Policy::default();
        assert_fault(get_with(&[(name, "x")]), fault);
        assert_fault(crate::message::response(&mut fields(&[(":status", "200"), (name, "")]), &policy), fault);
        assert_fault(trailers(&mut fields(&[(name, "close")]), &policy), fault);
    }
}

#[test]
fn te_says_trailers_in_a_request_or_nothing() {
    for value in ["trailers", "Trailers"] {
        assert_eq!(values(&get_with(&[("te", value)]).unwrap().headers, "te"), [value]);
    }
    for value in ["", "gzip", "trailers, gzip", "trailers;q=1", "chunked"] {
        assert_fault(get_with(&[("te", value)]), MessageFault::Te);
    }
    assert_fault(get_with(&[("te", "trailers"), ("te", "gzip")]), MessageFault::Te);
    let mut response = fields(&[(":status", "200"), ("te", "trailers")]);
    assert_fault(crate::message::response(&mut response, &Policy::default()), MessageFault::Te);
}

#[test]
fn content_length_is_one_number_below_two_to_the_63rd() {
    let cases = [
        ("0", Some(0)),
        ("10", Some(10)),
        ("0010", Some(10)),
        ("9223372036854775807", Some(i64::MAX as u64)),
        ("9223372036854775808", None),
        ("9999999999999999999", None),
        ("18446744073709551616", None),
        ("00000000000000000010", None),
        ("", None),
        ("+10", None),
        ("-1", None),
        ("0x10", None),
        ("1e3", None),
        ("10,10", None),
        ("10, 11", None),
        ("1 0", None),
        ("\u{661}", None),
    ];
    for (value, expected) in cases {
        let outcome = get_with(&[("content-length", value)]).map(|parts| content_length(&parts.headers));
        assert_eq!(outcome, expected.map(Some).ok_or(MessageFault::ContentLength), "{value:?}");
    }
    assert_fault(get_with(&[("content-length", " 10")]), MessageFault::ValueWhitespace);
    assert_eq!(content_length(&get_with(&[]).unwrap().headers), None);
}

#[test]
fn equal_content_lengths_become_one_and_unlike_ones_are_malformed() {
    let twice = |a, b| get_with(&[("content-length", a), ("content-length", b)]);
    assert_eq!(values(&twice("10", "10").unwrap().headers, "content-length"), ["10"]);
    assert_fault(twice("10", "11"), MessageFault::ContentLengthDiffers);
    assert_fault(twice("10", "010"), MessageFault::ContentLengthDiffers);
    assert_fault(twice("10", "x"), MessageFault::ContentLength);
}

#[test]
fn fields_with_one_value_become_one_when_equal_and_are_malformed_when_unlike() {
    for name in ["origin", "location", "content-type", "authorization", "proxy-authorization"] {
        assert_eq!(values(&get_with(&[(name, "a"), (name, "a")]).unwrap().headers, name), ["a"]);
        assert_fault(get_with(&[(name, "a"), (name, "b")]), MessageFault::RepeatedField(name));
        assert_fault(get_with(&[(name, "a"), (name, "a"), (name, "b")]), MessageFault::RepeatedField(name));
    }
}

#[test]
fn other_repeated_fields_are_kept_in_order() {
    let headers = get_with(&[("x-a", "1"), ("via", "p"), ("x-a", "1"), ("x-a", "0")]).unwrap().headers;
    assert_eq!(values(&headers, "x-a"), ["1", "1", "0"]);
}

#[test]
fn cookie_crumbs_are_joined_in_order() {
    let cases: [(&[&str], &[&str]); 7] = [
        (&[], &[]),
        (&["a=b"], &["a=b"]),
        (&["a=b; c=d"], &["a=b; c=d"]),
        (&["a=b", "c=d", "e=f"], &["a=b; c=d; e=f"]),
        (&["a=b; c=d", "a=b"], &["a=b; c=d; a=b"]),
        (&["", "a=b", "", "c=d", ""], &["a=b; c=d"]),
        (&["", ""], &[]),
    ];
    for (crumbs, joined) in cases {
        let lines: Vec<_> = crumbs.iter().flat_map(|crumb| [("cookie", *crumb), ("x-a", "b")]).collect();
        let headers = get_with(&lines).unwrap().headers;
        assert_eq!(values(&headers, "cookie"), joined, "{crumbs:?}");
        assert_eq!(values(&headers, "x-a").len(), crumbs.len());
    }
    assert_fault(get_with(&[("cookie", "a=b"), ("cookie", "c=d;\r\n")]), MessageFault::ValueByte);
    assert_fault(get_with(&[("cookie", "a=b"), ("cookie", "c=d; ")]), MessageFault::ValueWhitespace);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    for name in ["cookie", "authorization", "proxy-authorization"] {
        for lines in [&[(name, "s3cret")][..], &[(name, "s3cret"), (name, "s3cret")]] {
            let headers = get_with(lines).unwrap().headers;
            assert!(headers[name].is_sensitive());
            assert!(!format!("{headers:?}").contains("s3cret"));
        }
    }
}

#[test]
fn trailers_lose_what_must_be_known_before_the_content() {
    let dropped = "te:trailers age date host vary range cookie expect pragma expires trailer warning if-match if-range \
                   location set-cookie retry-after content-type max-forwards authorization cache-control content-range \
                   if-none-match content-length content-encoding www-authenticate if-modified-since \
                   proxy-authenticate if-unmodified-since proxy-authorization x_underscore";
    let mut lines = vec![("x-sha256", "abc")];
    lines.extend(dropped.split_whitespace().map(|line| line.split_once(':').unwrap_or((line, "x"))));
    lines.extend([("grpc-status", "0"), ("server-timing", "a"), ("server-timing", "b")]);
    let trailers = trailers(&mut fields(&lines), &Policy::default()).unwrap();
    assert_eq!(values(&trailers, "x-sha256"), ["abc"]);
    assert_eq!(values(&trailers, "grpc-status"), ["0"]);
    assert_eq!(values(&trailers, "server-timing"), ["a", "b"]);
    assert_eq!(trailers.len(), 4);
}

#[test]
fn trailers_are_judged_as_strictly_as_headers() {
    let cases = [
        ("te", "gzip", MessageFault::Te),
        ("X-A", "b", MessageFault::UppercaseName),
        ("", "b", MessageFault::EmptyName),
        ("x a", "b", MessageFault::NameByte),
        ("x-a", "b\n", MessageFault::ValueByte),
        ("x-a", "b ", MessageFault::ValueWhitespace),
    ];
    for (name, value, fault) in cases {
        assert_fault(trailers(&mut fields(&[(name, value)]), &Policy::default()), fault);
    }
    assert!(trailers(&mut Vec::new(), &Policy::default()).unwrap().is_empty());
}

#[test]
fn more_fields_than_a_header_map_holds_are_a_fault_and_no_panic() {
    for distinct in [true, false] {
        let mut many = fields(&GET);
        many.extend((0..40_000).map(|n| field(format!("x-{}", if distinct { n } else { 0 }).as_bytes(), b"")));
        assert_fault(crate::message::request(&mut many, &Policy::default()), MessageFault::TooManyFields);
        assert!(many.is_empty());
    }
}

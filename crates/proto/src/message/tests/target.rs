use super::*;

fn from(authority: Option<&str>, host: Option<&str>) -> Result<request::Parts, MessageFault> {
    let mut lines = vec![GET[0], GET[1], GET[3]];
    lines.extend(authority.map(|authority| (":authority", authority)));
    lines.extend(host.map(|host| ("host", host)));
    request(&lines)
}

#[test]
fn authority_comes_from_the_pseudo_field_or_from_host() {
    let cases = [(Some("a.example"), None), (None, Some("a.example")), (Some("a.example"), Some("a.example"))];
    for (authority, host) in cases {
        let parts = from(authority, host).unwrap();
        assert_eq!(parts.uri, "https://a.example/");
        assert_eq!(parts.headers.contains_key("host"), host.is_some());
    }
}

#[test]
fn authority_and_host_neither_missing_nor_empty_nor_different() {
    let cases = [
        (None, None, MessageFault::AuthorityMissing),
        (Some(""), None, MessageFault::AuthorityEmpty),
        (None, Some(""), MessageFault::AuthorityEmpty),
        (Some(""), Some(""), MessageFault::AuthorityEmpty),
        (Some(""), Some("a.example"), MessageFault::AuthorityEmpty),
        (Some("a.example"), Some(""), MessageFault::AuthorityEmpty),
        (Some("a.example"), Some("b.example"), MessageFault::HostDiffers),
        (Some("a.example"), Some("a.example:443"), MessageFault::HostDiffers),
        (Some("a.example"), Some("A.example"), MessageFault::HostDiffers),
        (Some("user@a.example"), None, MessageFault::Userinfo),
        (Some("user:secret@a.example:1"), None, MessageFault::Userinfo),
        (None, Some("user@a.example"), MessageFault::Userinfo),
        (Some("a.example:port"), None, MessageFault::AuthorityForm),
        (Some("a.example:65536"), None, MessageFault::AuthorityForm),
        (Some("a.example/"), None, MessageFault::AuthorityForm),
        (Some("a b"), None, MessageFault::AuthorityForm),
        (None, Some("a.example, b.example"), MessageFault::AuthorityForm),
        (None, Some("[::1"), MessageFault::AuthorityForm),
        (None, Some(" a.example"), MessageFault::ValueWhitespace),
    ];
    for (authority, host, fault) in cases {
        assert_eq!(from(authority, host).map(drop), Err(fault), "{authority:?} {host:?}");
    }
}

#[test]
fn a_second_host_is_malformed_even_when_it_says_the_same() {
    assert_fault(get_with(&[("host", "example.com"), ("host", "example.com")]), MessageFault::RepeatedField("host"));
    assert_fault(get_with(&[("host", "example.com"), ("host", "b.example")]), MessageFault::RepeatedField("host"));
}

#[test]
fn schemes_are_as_rfc_3986_has_them_and_compare_without_case() {
    for (value, scheme) in [("https", "https"), ("HTTPS", "https"), ("http", "http"), ("coap+tcp", "coap+tcp")] {
        let parts = get_but(":scheme", value.as_bytes()).unwrap();
        assert_eq!(parts.uri.scheme_str(), Some(scheme));
    }
    assert_eq!(get_but(":scheme", b"HtTpS").unwrap().uri.scheme(), Some(&http::uri::Scheme::HTTPS));
    let long = "a".repeat(65);
    for value in ["", "1http", "-", "ht tp", "https:", "https://", "ht~p", "h\u{e4}", "a\0", &long] {
        assert_fault(get_but(":scheme", value.as_bytes()), MessageFault::Scheme);
    }
}

#[test]
fn paths_begin_with_a_slash() {
    for path in ["/", "//", "/a/b", "/?", "/a?b=c&d", "/a?b?c", "/%2e%2e/", "/*", "/\u{e4}", "/a\"{}|\\^[]"] {
        let parts = get_but(":path", path.as_bytes()).unwrap();
        assert_eq!(parts.uri.path_and_query().unwrap().as_str(), path);
    }
    for path in ["a", "?a", "*", "**", "https://example.com/", "%2f", "\\", " /"] {
        assert_fault(get_but(":path", path.as_bytes()), MessageFault::PathForm);
    }
    assert_fault(get_but(":path", b"#"), MessageFault::PathForm);
    assert_fault(get_but(":path", b""), MessageFault::PathEmpty);
}

#[test]
fn the_asterisk_is_for_options_only() {
    let ask = |method, path| request(&[(":method", method), GET[1], GET[2], (":path", path)]);
    let parts = ask("OPTIONS", "*").unwrap();
    assert_eq!((parts.uri.host(), parts.uri.path()), (Some("example.com"), "*"));
    assert_eq!(ask("OPTIONS", "/").unwrap().uri.path(), "/");
    assert_fault(ask("OPTIONS", "**"), MessageFault::PathForm);
    assert_fault(ask("OPTIONS", "*?a"), MessageFault::PathForm);
    for method in ["GET", "HEAD", "POST", "options"] {
        assert_fault(ask(method, "*"), MessageFault::PathForm);
    }
}

#[test]
fn a_path_has_no_fragment() {
    for path in ["/#", "/a#b", "/a?b#c", "/#?"] {
        assert_fault(get_but(":path", path.as_bytes()), MessageFault::PathByte);
    }
}

#[test]
fn a_path_is_as_long_as_the_policy_allows() {
    let path = |len: usize| format!("/{}", "a".repeat(len - 1)).into_bytes();
    assert!(get_but(":path", &path(8 * 1024)).is_ok());
    assert_fault(get_but(":path", &path(8 * 1024 + 1)), MessageFault::PathTooLong);
}

#[test]
fn a_path_longer_than_a_uri_is_a_fault_whatever_the_policy_allows() {
    let policy = Policy { max_path: usize::MAX, ..Policy::default() };
    for (len, expected) in [(65_534, Ok(())), (65_535, Err(MessageFault::PathTooLong))] {
        let mut fields = fields(&GET);
        fields[3].value = format!("/{}", "a".repeat(len - 1)).into();
        assert_eq!(crate::message::request(&mut fields, &policy).map(drop), expected, "{len}");
    }
}

use super::*;
use crate::field::Pseudo;
use crate::message::Protocol;

fn connect(lines: &[Line<'_>]) -> Result<request::Parts, MessageFault> {
    let policy = Policy { extended_connect: true, ..Policy::default() };
    crate::message::request(&mut fields(&[&[(":method", "CONNECT")], lines].concat()), &policy)
}

/// An extended CONNECT without what `left_out` names.
fn extended(protocol: &str, left_out: &str, more: &[Line<'_>]) -> Result<request::Parts, MessageFault> {
    let lines = [(":protocol", protocol), GET[1], GET[2], (":path", "/chat")];
    let kept: Vec<_> = lines.into_iter().filter(|(name, _)| *name != left_out).collect();
    connect(&[&kept[..], more].concat())
}

#[test]
fn connect_has_host_and_port_alone() {
    for authority in ["example.com:443", "[::1]:1", "127.0.0.1:65535"] {
        let parts = connect(&[(":authority", authority)]).unwrap();
        assert_eq!(parts.uri, authority);
        assert_eq!(parts.uri.authority().unwrap(), authority);
        assert_eq!((parts.uri.scheme(), parts.uri.path_and_query()), (None, None));
        assert_eq!(parts.extensions.get::<Protocol>(), None);
    }
    assert!(connect(&[(":authority", "example.com:443"), ("host", "example.com:443")]).is_ok());
}

#[test]
fn connect_without_host_and_port_or_with_more_is_malformed() {
    let authority = (":authority", "example.com:443");
    let cases: [(&[Line<'_>], MessageFault); 11] = [
        (&[], MessageFault::MissingPseudo(Pseudo::Authority)),
        (&[("host", "example.com:443")], MessageFault::MissingPseudo(Pseudo::Authority)),
        (&[(":authority", "")], MessageFault::AuthorityEmpty),
        (&[(":authority", "example.com")], MessageFault::ConnectPort),
        (&[(":authority", "example.com:")], MessageFault::ConnectPort),
        (&[(":authority", "example.com:0")], MessageFault::ConnectPort),
        (&[(":authority", "example.com:+80")], MessageFault::AuthorityForm),
        (&[(":authority", "user@example.com:443")], MessageFault::Userinfo),
        (&[authority, (":scheme", "https")], MessageFault::PseudoInConnect(Pseudo::Scheme)),
        (&[authority, (":path", "/")], MessageFault::PseudoInConnect(Pseudo::Path)),
        (&[authority, ("host", "example.com")], MessageFault::HostDiffers),
    ];
    for (lines, fault) in cases {
        assert_eq!(connect(lines).map(drop), Err(fault), "{lines:?}");
    }
}

#[test]
fn extended_connect_has_a_whole_uri_and_its_protocol_in_the_extensions() {
    for protocol in ["websocket", "webtransport", "webtransport-h3", "connect-udp", "connect-ip", "unheard-of/2"] {
        let parts = extended(protocol, "", &[("origin", "https://example.com")]).unwrap();
        assert_eq!(parts.method, http::Method::CONNECT);
        assert_eq!(parts.uri, "https://example.com/chat");
        assert_eq!(parts.extensions.get::<Protocol>().map(Protocol::as_str), Some(protocol));
    }
}

#[test]
fn extended_connect_without_scheme_path_or_authority_is_malformed() {
    for (name, pseudo) in [(":scheme", Pseudo::Scheme), (":path", Pseudo::Path), (":authority", Pseudo::Authority)] {
        assert_fault(extended("websocket", name, &[("host", "example.com")]), MessageFault::MissingPseudo(pseudo));
    }
}

#[test]
fn protocol_goes_with_connect_and_with_our_settings_only() {
    assert_fault(request(&[&[(":protocol", "websocket")], &GET[..]].concat()), MessageFault::ProtocolWithoutConnect);
    let lines = [(":method", "CONNECT"), (":protocol", "websocket"), GET[1], GET[2], GET[3]];
    assert_fault(request(&lines), MessageFault::ProtocolNotEnabled);
    for protocol in ["", "a b", "a/b/c", "\u{e4}"] {
        assert_fault(extended(protocol, "", &[]), MessageFault::Protocol);
    }
    assert_fault(extended("a", "", &[(":protocol", "a")]), MessageFault::DuplicatePseudo(Pseudo::Protocol));
}

#[test]
fn webtransport_is_https_only() {
    let over_http = |protocol| {
        connect(&[(":protocol", protocol), (":scheme", "http"), GET[2], GET[3]]).map(|parts| parts.uri.to_string())
    };
    for protocol in ["webtransport", "webtransport-h3"] {
        assert_fault(over_http(protocol), MessageFault::WebTransportScheme);
    }
    assert_eq!(over_http("websocket").as_deref(), Ok("http://example.com/"));
}

#[test]
fn a_request_of_capsules_has_neither_content_length_nor_content_type() {
    for line in [("content-length", "0"), ("content-type", "text/plain")] {
        for protocol in ["webtransport", "webtransport-h3", "connect-udp", "connect-ip"] {
            assert_fault(extended(protocol, "", &[line]), MessageFault::ContentWithCapsules);
        }
        assert!(extended("websocket", "", &[line]).is_ok());
    }
}

#[test]
fn the_asterisk_is_no_path_of_connect() {
    assert_fault(connect(&[(":protocol", "a"), GET[1], GET[2], (":path", "*")]), MessageFault::PathForm);
}

use super::*;
use crate::field::Pseudo;
use crate::types::Code;
use http::StatusCode;

fn response(lines: &[Line<'_>]) -> Result<http::response::Parts, MessageFault> {
    crate::message::response(&mut fields(lines), &Policy::for_client())
}

#[test]
fn a_well_formed_response_becomes_status_version_and_headers() {
    for status in ["100", "103", "200", "204", "304", "404", "599", "999"] {
        let parts =
            response(&[(":status", status), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x_a", "")]).unwrap();
        assert_eq!(parts.status.as_str(), status);
        assert_eq!(parts.version, http::Version::HTTP_3);
        assert_eq!(values(&parts.headers, "set-cookie"), ["a=1", "b=2"]);
        assert!(parts.headers.contains_key("x_a"));
    }
}

#[test]
fn a_status_is_three_digits_and_not_101() {
    for status in ["", "0", "99", "099", "1000", "20", "2000", "+20", "2x0", " 200", "OK"] {
        assert_fault(response(&[(":status", status)]), MessageFault::Status);
    }
    assert_fault(response(&[(":status", "101")]), MessageFault::SwitchingProtocols);
}

#[test]
fn a_response_has_status_once_first_and_alone() {
    let status = (":status", "200");
    assert_fault(response(&[]), MessageFault::MissingPseudo(Pseudo::Status));
    assert_fault(response(&[("x-a", "b")]), MessageFault::MissingPseudo(Pseudo::Status));
    assert_fault(response(&[status, status]), MessageFault::DuplicatePseudo(Pseudo::Status));
    assert_fault(response(&[("x-a", "b"), status]), MessageFault::PseudoAfterField);
    assert_fault(response(&[status, (":foo", "")]), MessageFault::UnknownPseudo);
    let pseudos = [Pseudo::Method, Pseudo::Scheme, Pseudo::Authority, Pseudo::Path, Pseudo::Protocol];
    for pseudo in pseudos {
        assert_fault(response(&[status, (pseudo.as_str(), "x")]), MessageFault::RequestPseudoInResponse(pseudo));
    }
}

#[test]
fn a_response_may_repeat_host_but_no_content_type() {
    assert!(response(&[(":status", "200"), ("host", ""), ("host", "b")]).is_ok());
    let types = [(":status", "200"), ("content-type", "text/html"), ("content-type", "text/plain")];
    assert_fault(response(&types), MessageFault::RepeatedField("content-type"));
}

#[test]
fn every_fault_is_a_message_error_and_says_so_without_the_peers_bytes() {
    let faults = [
        (get_with(&[("X-S3CRET", "")]).map(drop).unwrap_err(), StatusCode::BAD_REQUEST),
        (get_with(&[(":s3cret", "")]).map(drop).unwrap_err(), StatusCode::BAD_REQUEST),
        (get_with(&[("content-length", "s3cret")]).map(drop).unwrap_err(), StatusCode::BAD_REQUEST),
        (get_but(":authority", b"s3cret@").map(drop).unwrap_err(), StatusCode::BAD_REQUEST),
        (get_but(":path", &[b'/'; 9000]).map(drop).unwrap_err(), StatusCode::URI_TOO_LONG),
        (get_with(&[(&"a".repeat(300), "")]).map(drop).unwrap_err(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ];
    for (fault, status) in faults {
        assert_eq!((fault.code(), fault.status()), (Code::H3_MESSAGE_ERROR, status));
        assert!(!fault.to_string().to_lowercase().contains("s3cret"), "{fault}");
    }
    let missing = request(&[]).map(drop).unwrap_err();
    assert_eq!(missing.to_string(), ":method is missing");
}

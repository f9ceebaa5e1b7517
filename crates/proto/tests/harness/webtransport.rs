//! Capsules, and what streams and datagrams of sessions begin with.

use bytes::Bytes;
use lorraine_proto::capsule::{Capsule, CapsuleFault, CapsuleReader};
use lorraine_proto::webtransport::{Direction, codes, datagram, flow::SessionFlow, header};
use lorraine_proto::{Code, Limits, StreamId, WebTransportSettings, varint};

/// What a reader made of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    capsules: Vec<Capsule>,
    fault: Option<CapsuleFault>,
    /// Unknown once there was a fault.
    end: Option<(u64, bool)>,
}

/// The content of a CONNECT stream: whatever the pieces, the same comes of it; what was read can be sent and is read
/// again as it was; and any limits may be given to the accounts of a session.
pub(crate) fn capsules(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let reader = || match first % 4 {
        0 => CapsuleReader::for_datagrams(),
        1 => CapsuleReader::for_sessions(false),
        _ => CapsuleReader::for_sessions(true),
    };
    let mut limits = Limits::default();
    limits.capsule_size = usize::from(first >> 2);
    let whole = read(reader(), &[stream], &limits);
    let cut = usize::from(*first) % stream.len().max(1);
    let (head, tail) = stream.split_at(cut.min(stream.len()));
    assert_eq!(read(reader(), &[head, tail], &limits), whole, "cut at {cut}");
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(reader(), &bytes, &limits), whole, "byte by byte");

    let mut again = Vec::new();
    whole.capsules.iter().for_each(|capsule| capsule.encode(&mut again));
    assert!(again.len() <= stream.len(), "what was sent is no longer than what came");
    let expected = Reading { capsules: whole.capsules, fault: None, end: Some((0, false)) };
    assert_eq!(read(reader(), &[&again], &limits), expected);
    account(&expected.capsules);
}

fn read(mut reader: CapsuleReader, pieces: &[&[u8]], limits: &Limits) -> Reading {
    let mut reading = Reading { capsules: Vec::new(), fault: None, end: None };
    for piece in pieces {
        let mut bytes = Bytes::copy_from_slice(piece);
        loop {
            match reader.next(&mut bytes, limits) {
                Ok(Some(capsule)) => reading.capsules.push(capsule),
                Ok(None) => break assert!(bytes.is_empty(), "nothing is left where more is needed"),
                Err(fault) => return Reading { fault: Some(fault), ..reading },
            }
        }
    }
    reading.end = Some((reader.take_passed_over(), reader.is_inside()));
    reading
}

/// Limits only grow, and what is blocked is told once.
fn account(capsules: &[Capsule]) {
    let windows = WebTransportSettings { wt_initial_max_data: 10, ..WebTransportSettings::default() };
    let mut flow = SessionFlow::new(&windows, &windows);
    for capsule in capsules {
        let before = flow.room();
        if let Err(fault) = flow.on_capsule(capsule) {
            assert_eq!(fault.code(), Code::WT_FLOW_CONTROL_ERROR);
            return assert_eq!(flow.room(), before);
        }
        assert!(flow.room() >= before);
        flow.on_sent(usize::try_from(flow.room()).unwrap_or(usize::MAX));
        for direction in [Direction::Bidirectional, Direction::Unidirectional] {
            if flow.can_open(direction) {
                flow.on_opened(direction);
            } else {
                flow.poll_streams_blocked(direction);
                assert_eq!(flow.poll_streams_blocked(direction), None);
            }
        }
        flow.poll_data_blocked();
        assert_eq!((flow.room(), flow.poll_data_blocked()), (0, None));
    }
}

/// A stream after its type: the session's ID is found whatever the pieces, and nothing behind it is taken.
pub(crate) fn stream_head(data: &[u8]) {
    let mut rest = data;
    let whole = header::SessionIdReader::default().read(&mut rest);
    let mut reader = header::SessionIdReader::default();
    let mut at = 0;
    let cut = loop {
        let end = (at + reader.wants()).min(data.len());
        let mut piece = &data[at..end];
        let read = reader.read(&mut piece);
        assert!(piece.is_empty());
        at = end;
        if !matches!(read, Ok(None)) || at == data.len() {
            break read;
        }
    };
    assert_eq!((&cut, data.len() - at), (&whole, rest.len()));
    let Ok(Some(session)) = whole else { return };
    assert!(session.is_request());
    for direction in [Direction::Bidirectional, Direction::Unidirectional] {
        let (encoded, len) = header::encode_header(direction, session);
        let mut id = &encoded[2..len];
        assert_eq!(header::SessionIdReader::default().read(&mut id), Ok(Some(session)));
        assert!(id.is_empty() && len - 2 <= at);
    }
}

/// A DATAGRAM frame; and the number in it as a code.
pub(crate) fn datagram_head(frame: &[u8]) {
    if let Some((number, _)) = varint::decode(frame) {
        check_code(Code::new(number));
    }
    let Ok((request, at)) = datagram::decode(frame) else { return };
    assert!(request.is_request() && request <= StreamId::new(varint::MAX) && at <= frame.len());
    let (prefix, len) = datagram::encode_prefix(request);
    assert!(len <= at);
    assert_eq!(datagram::decode(&prefix[..len]), Ok((request, len)));
}

fn check_code(wire: Code) {
    if let Some(code) = codes::from_wire(wire) {
        assert_eq!(codes::to_wire(code), wire);
    }
    let code = wire.value() as u32;
    assert_eq!(codes::from_wire(codes::to_wire(code)), Some(code));
}

//! Where the fuzzer begins: good examples of each target's input.

use crate::common::frames::{GET, GREASE, POST, frame, headers_with, hex, section, settings};

/// Examples for a target.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let play = |operations: &[(u8, u8)]| -> Vec<u8> {
        // Default limits, then phrases on streams.
        [0x00].into_iter().chain(operations.iter().flat_map(|(operation, choice)| [*operation, *choice])).collect()
    };
    // A phrase on a stream: its number shifted past the stream's.
    let say = |phrase: u8, stream: u8| phrase << 3 | stream;
    match target {
        "varints" => vec![hex("25"), hex("7bbd"), hex("9d7f3e7d"), hex("c2197c5eff14e88c")],
        "settings" => vec![
            settings(&[(0x01, 4096), (0x06, 16_384), (0x07, 16), (0x08, 1), (0x33, 1)])[2..].to_vec(),
            hex("33 01 80ffd277 01 ab603742 01 c0000000c671706a 10 94e9cd29 01 ac7cf000 01 6b61 44 00 6b64 03 6b65 04"),
        ],
        "field_section" => vec![section(GET), section(POST), hex("0400 83 82 81 80"), hex("0500 d1 10 50 01 61")],
        "encoder_stream" => vec![hex("3fe11f 41 78 01 79 c0 01 61 00 80 01 62"), hex("20 3f11")],
        "decoder_stream" => vec![hex("02 80 84 88"), hex("01 40 48")],
        "huffman" => vec![hex("f1e3c2e5f23a6ba0ab90f4ff"), hex("25a849e95ba97d7f"), hex("a8eb10649cbf")],
        "fields" => vec![
            b":method: GET\n:scheme: https\n:authority: a\n:path: /?q\naccept: */*\ncookie: a=b\ncookie: c=d".to_vec(),
            b":status: 200\ncontent-length: 5\nserver: x".to_vec(),
            b":method: CONNECT\n:protocol: websocket\n:scheme: https\n:authority: a\n:path: /".to_vec(),
            b"x-trailer: 1".to_vec(),
        ],
        "priority" => vec![b"u=5, i".to_vec(), b"i=?0,u=0;a=1, x=\"y\"".to_vec()],
        // What is known and how long a datagram may be, then the content.
        "capsules" => vec![
            hex("02 6843 07 00000007 627965"),
            hex("ff 800078ae 00 00 04 64617461 990b4d3d 02 44 00 990b4d3f 01 02 990b4d40 01 03"),
            hex("a2 990b4d41 01 0a 990b4d43 01 00 990b4d44 01 01 17 03 616263 00 01 78 990b4d3e 02 0001"),
            hex("01 80ff37a2 04 80ff7c00 990b4d40 00 6843 04 00000000"),
            hex("00 00 02 6869 c00000000fffffff c000000000001000 00"),
        ],
        "stream_head" => vec![hex("00 68"), hex("44 00 6869"), hex("80010000"), hex("fffffffffffffffc 00"), hex("03")],
        "datagram_head" => vec![
            hex("00 6869"),
            hex("40 40 61"),
            hex("cfffffffffffffff 61"),
            hex("d000000000000000"),
            hex("c00052e4a40fa8fa"),
        ],
        "control_stream" => vec![
            [hex("07 01 08"), frame(GREASE, b"abc"), hex("0d 01 05 0d 01 07")].concat(),
            [frame(0xf_0700, b"\x00u=1"), hex("07 01 00")].concat(),
        ],
        "server_connection" => vec![
            play(&[(7, say(6, 4)), (10, say(0, 0)), (7, say(1, 1)), (7, say(4, 1)), (10, say(5, 1))]),
            play(&[(7, say(6, 4)), (7, say(7, 5)), (10, say(9, 0)), (7, say(3, 1)), (10, say(11, 1)), (7, say(8, 5))]),
            play(&[(7, say(1, 0)), (13, 0), (7, say(1, 1)), (14, 1), (7, say(14, 4)), (15, 255), (12, 2)]),
            [&play(&[])[..], &[6, 0, headers_with(GET, &[("a", "b")]).len() as u8], &headers_with(GET, &[("a", "b")])]
                .concat(),
        ],
        "client_connection" => vec![
            play(&[(7, say(6, 4)), (7, say(12, 0)), (7, say(2, 0)), (7, say(4, 0)), (10, say(5, 0)), (10, say(2, 1))]),
            play(&[(7, say(7, 5)), (7, say(10, 0)), (7, say(8, 5)), (13, 1), (14, 2), (10, say(2, 2))]),
        ],
        // A choice, then operations on streams, each with what is said; the peer has greeted but in the last one.
        "server_sessions" => vec![
            vec![0x00, 0x40, 4, 0xa0, 6, 0xc0, 6, 0xd4, 9, 0, 2, 0, 1, 0x54, 9, 27, 3, 0, b'h', b'i', 0, 0, 24, 0],
            vec![0x01, 0xa0, 6, 0xc0, 6, 0, 5, 0, 8, 0, 9, 0x40, 4, 0, 10, 0, 7, 31, 200],
            vec![0x4a, 0x40, 4, 0x60, 4, 0x40, 9, 0x5a, 3, 0x79, 5, 0, 13, 24, 0],
            vec![0x02, 0x40, 4, 0xa0, 3, 0x80, 194, 0, 192, 31, 60, 0x20, 222, 0x39, 9],
        ],
        "client_sessions" => vec![
            vec![0x00, 0x40, 4, 0xa0, 6, 0xc0, 6, 0x60, 1, 0x20, 193, 0, 2, 27, 2, 0, 1, 0, 0, 24, 0],
            vec![0x01, 0xa0, 6, 0xc0, 6, 0, 5, 0, 9, 0, 1, 0x40, 4, 0x54, 9, 25, 3],
            vec![0x40, 0x80, 195, 0xa0, 6, 0x40, 4, 0, 217, 0, 216, 0x20, 193, 0x34, 0],
        ],
        other => panic!("no target is called {other}"),
    }
}

"""What the server must make of a WebTransport client that breaks the rules, or stretches them.

Each case that ends a connection is followed by a look whether the server still serves another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3Connection, Setting

from .report import check, equal
from .server import Server
from .webtransport_peer import (
    BUFFERED_STREAM_REJECTED,
    CLOSE_SESSION,
    SESSION_GONE,
    Peer,
    Session,
    capsule,
    close_capsule,
    connected,
)

Case = Callable[[Server], Awaitable[None]]

H3_DATAGRAM_ERROR = 0x33
H3_FRAME_ERROR = 0x106
H3_ID_ERROR = 0x108
H3_SETTINGS_ERROR = 0x109
H3_REQUEST_REJECTED = 0x10B
H3_REQUEST_CANCELLED = 0x10C
H3_MESSAGE_ERROR = 0x10E

# What the server keeps for a session that has not been opened yet, and how many sessions it takes on a connection.
KEPT_STREAMS = 16
MAX_SESSIONS = 16
# How long to listen for an answer that must not come.
SILENCE_SECONDS = 0.5
UNKNOWN_CAPSULE = 0x1F5E
GREASE_CAPSULE = 0x29 * 1_000_000 + 0x17
MAX_STREAM_DATA = 0x190B4D3E
BIDI_HEAD = b"\x40\x41"
UNI_HEAD = b"\x40\x54"


# --- Streams --------------------------------------------------------------------------------------------------------


async def streams_before_their_session_are_kept(server: Server) -> None:
    async with connected(server) as peer:
        await peer.settings()
        session = Session(peer, peer.reserve())
        bidis = [session.open(b"early", end=True) for _ in range(KEPT_STREAMS // 2)]
        for _ in range(KEPT_STREAMS // 2):
            session.open(b"early", uni=True, end=True)
        await peer.ping()
        peer.request(session.id, "/wt/echo")
        unis = await session.accept(KEPT_STREAMS // 2, uni=True)
        for stream in bidis + unis:
            equal(await session.read(stream), b"early", f"stream {stream}")


async def streams_beyond_those_that_are_kept_are_rejected(server: Server) -> None:
    async with connected(server) as peer:
        await peer.settings()
        session = Session(peer, peer.reserve())
        streams = [session.open(b"early", uni=True) for _ in range(KEPT_STREAMS + 4)]
        rejected = await peer.until(lambda: list_of(peer, streams, 4))
        equal({peer.streams[stream].stopped for stream in rejected}, {BUFFERED_STREAM_REJECTED}, "codes")
        peer.request(session.id, "/wt/echo")
        for stream in set(streams) - set(rejected):
            peer.write(stream, b"", end=True)
        for stream in await session.accept(KEPT_STREAMS, uni=True):
            equal(await session.read(stream), b"early", f"stream {stream}")


async def streams_whose_session_never_comes_are_rejected(server: Server) -> None:
    async with connected(server) as peer:
        await peer.settings()
        session = Session(peer, peer.reserve())
        uni, bidi = session.open(b"early", uni=True), session.open(b"early")
        equal(await session.until_stopped(uni), BUFFERED_STREAM_REJECTED, "stop of the uni stream")
        equal(await session.until_stopped(bidi), BUFFERED_STREAM_REJECTED, "stop of the bidi stream")
        equal(await session.until_reset(bidi), BUFFERED_STREAM_REJECTED, "reset of the bidi stream")
        await (await peer.open("/wt/echo")).alive()


async def stream_of_an_odd_session_closes_the_connection(server: Server) -> None:
    for head, uni in [(BIDI_HEAD, False), (UNI_HEAD, True)]:
        for session in [1, 2, 3]:
            async with connected(server) as peer:
                await peer.settings()
                peer.open_raw(head + encode_uint_var(session) + b"data", uni=uni)
                await closed_with(peer, H3_ID_ERROR)
    await still_serves(server)


async def stream_of_a_session_that_is_over_is_no_error(server: Server) -> None:
    async with connected(server) as peer:
        over, other = await peer.open("/wt/echo"), await peer.open("/wt/echo")
        over.say(close_capsule(0, b""), end=True)
        await over.closed()
        equal(await over.until_stopped(over.open(b"late", uni=True)), SESSION_GONE, "stop of the uni stream")
        equal(await over.until_reset(over.open(b"late")), SESSION_GONE, "reset of the bidi stream")
        await other.alive()


async def stream_signal_inside_a_request_is_a_frame_error(server: Server) -> None:
    async with connected(server) as peer:
        await peer.settings()
        request = peer.reserve()
        head = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"/echo")]
        peer.http.send_headers(request, head)
        peer.write(request, BIDI_HEAD + encode_uint_var(0) + b"data")
        await closed_with(peer, H3_FRAME_ERROR)
    await still_serves(server)


async def stream_head_may_come_byte_by_byte(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        # Both numbers in their longest form.
        head = bytes.fromhex("c000000000000041") + (0xC0 << 56 | session.id).to_bytes(8, "big") + b"x"
        stream = peer.open_raw(head[:1], uni=False)
        for index in range(1, len(head)):
            await peer.ping()
            peer.write(stream, head[index : index + 1], end=index == len(head) - 1)
        equal(await session.read(stream), b"x", "echo")


async def reset_before_the_head_is_whole_hurts_nobody(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        for uni in [True, False]:
            stream = peer.open_raw((UNI_HEAD if uni else BIDI_HEAD)[:1], uni=uni)
            await peer.ping()
            peer.reset(stream, H3_REQUEST_CANCELLED)
        await session.alive()


# --- Datagrams ------------------------------------------------------------------------------------------------------


async def datagram_that_is_too_short_closes_the_connection(server: Server) -> None:
    for frame in [b"", b"\x40", b"\xc0\x00"]:
        async with connected(server) as peer:
            await peer.settings()
            peer.send_frame(frame)
            await closed_with(peer, H3_DATAGRAM_ERROR)
    await still_serves(server)


async def datagram_of_an_impossible_stream_closes_the_connection(server: Server) -> None:
    async with connected(server) as peer:
        await peer.settings()
        peer.send_datagram(1 << 60, b"data")
        await closed_with(peer, H3_DATAGRAM_ERROR)
    await still_serves(server)


async def datagrams_of_unknown_and_closed_streams_are_dropped(server: Server) -> None:
    async with connected(server) as peer:
        over, session = await peer.open("/wt/echo"), await peer.open("/wt/echo")
        over.say(b"", end=True)
        await over.closed()
        for quarter in [over.id // 4, session.id // 4 + 10]:
            for _ in range(100):
                peer.send_datagram(quarter, b"lost")
        session.send_datagram(b"found")
        await peer.until(lambda: peer.datagrams[session.id] or None)
        equal(dict(peer.datagrams), {session.id: [b"found"]}, "datagrams that came back")


async def datagrams_of_several_requests_are_kept_apart(server: Server) -> None:
    async with connected(server) as peer:
        flows = [await peer.open("/datagram/echo", protocol="datagram-echo") for _ in range(4)]
        sent = {flow.id: [f"{flow.id} {number}".encode() for number in range(20)] for flow in flows}
        for number in range(20):
            for flow in flows:
                flow.send_datagram(sent[flow.id][number])
            await peer.until(lambda: all(len(peer.datagrams[flow.id]) > number for flow in flows))
        equal(dict(peer.datagrams), sent, "datagrams that came back")
        flows[0].say(b"", end=True)
        await flows[0].closed()
        flows[1].send_datagram(b"goes on")
        await peer.until(lambda: peer.datagrams[flows[1].id][-1] == b"goes on")


async def setting_of_datagrams_has_two_values(server: Server) -> None:
    class Wrong(Peer):
        def make_http(self) -> H3Connection:
            return WithSettings(self._quic, {Setting.H3_DATAGRAM: 2})

    async with connected(server, Wrong) as peer:
        await closed_with(peer, H3_SETTINGS_ERROR)
    await still_serves(server)


async def setting_of_datagrams_needs_the_transport_parameter(server: Server) -> None:
    async with connected(server, max_datagram_frame_size=None) as peer:
        await closed_with(peer, H3_SETTINGS_ERROR)
    await still_serves(server)


# --- Requests -------------------------------------------------------------------------------------------------------


async def unknown_protocol_is_answered_with_501(server: Server) -> None:
    async with connected(server) as peer:
        await peer.settings()
        for path in ["/wt/echo", "/datagram/echo", "/"]:
            stream = peer.reserve()
            peer.request(stream, path, protocol="no-such-protocol")
            equal((await peer.answer(stream))[":status"], "501", f"status of {path}")
        await (await peer.open("/wt/echo")).alive()


async def newer_name_of_the_protocol_is_known(server: Server) -> None:
    async with connected(server) as peer:
        await (await peer.open("/wt/echo", protocol="webtransport-h3")).alive()


async def request_waits_for_the_clients_settings(server: Server) -> None:
    class Late(Peer):
        def make_http(self) -> H3Connection:
            return WithLateSettings(self._quic, enable_webtransport=True)

    async with connected(server, Late) as peer:
        stream = peer.reserve()
        peer.request(stream, "/wt/echo")
        # aioquic reads the answer to nothing before its own streams are there, so what comes is told by QUIC.
        await asyncio.sleep(SILENCE_SECONDS)
        equal(peer.fields.get(stream), None, "answer before the settings")
        peer.http.begin()
        peer.transmit()
        equal((await peer.answer(stream))[":status"], "200", "status")
        await Session(peer, stream).alive()


async def sessions_beyond_the_limit_are_refused(server: Server) -> None:
    async with connected(server) as peer:
        sessions = [await peer.open("/wt/echo") for _ in range(MAX_SESSIONS)]
        stream = peer.reserve()
        peer.request(stream, "/wt/echo")
        # Draft 16 §5.2 has a code for it, older drafts a status.
        refused = await peer.until(lambda: peer.fields.get(stream) or peer.streams[stream].reset)
        check(refused == H3_REQUEST_REJECTED or refused[":status"] == "429", f"one too many was answered with {refused}")
        sessions[0].say(b"", end=True)
        await sessions[0].closed()
        await (await peer.open("/wt/echo")).alive()
        await sessions[1].alive()


# --- Capsules -------------------------------------------------------------------------------------------------------


async def unknown_capsules_are_skipped(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        session.say(capsule(GREASE_CAPSULE) + capsule(GREASE_CAPSULE, b"grease") + capsule(UNKNOWN_CAPSULE, bytes(2_000_000)))
        await session.alive()
        session.say(close_capsule(3, b"after the unknown ones"), end=True)
        equal(await session.closed(), (0, ""), "end")


async def capsules_may_be_cut_anywhere(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        whole = capsule(GREASE_CAPSULE, b"grease") + close_capsule(4, "Grüße".encode())
        for index in range(len(whole)):
            session.say(whole[index : index + 1])
            await peer.ping()
        session.say(b"", end=True)
        equal(await session.closed(), (0, ""), "end")


async def unknown_capsule_of_any_length_is_not_held(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        session.say(encode_uint_var(UNKNOWN_CAPSULE) + encode_uint_var((1 << 62) - 1))
        for _ in range(8):
            session.say(bytes(1 << 20))
            await session.alive()


async def reason_of_1025_bytes_resets_the_session(server: Server) -> None:
    await malformed(server, close_capsule(1, b"x" * 1_025))


async def reason_that_is_not_utf_8_resets_the_session(server: Server) -> None:
    await malformed(server, close_capsule(1, b"\xff\xfe"))


async def close_without_a_whole_code_resets_the_session(server: Server) -> None:
    await malformed(server, capsule(CLOSE_SESSION, b"\x00\x00\x00"))


async def data_after_the_close_resets_the_session(server: Server) -> None:
    await malformed(server, close_capsule(1, b"bye") + capsule(GREASE_CAPSULE))


async def capsule_cut_by_the_end_resets_the_session(server: Server) -> None:
    await malformed(server, close_capsule(1, b"never whole")[:-1], end=True)


async def capsule_of_the_http2_variant_ends_the_session(server: Server) -> None:
    async with connected(server) as peer:
        session, other = await peer.open("/wt/echo"), await peer.open("/wt/echo")
        session.say(capsule(MAX_STREAM_DATA, b"\x00\x10"))
        ended = peer.streams[session.id]
        await peer.until(lambda: ended.ended or ended.reset is not None)
        await other.alive()


# --- The end --------------------------------------------------------------------------------------------------------


async def end_of_the_request_stream_closes_with_0(server: Server) -> None:
    async with connected(server) as peer:
        session, other = await peer.open("/wt/echo"), await peer.open("/wt/echo")
        streams = [await session.started() for _ in range(10)]
        session.say(b"", end=True)
        equal(await session.closed(), (0, ""), "end")
        await gone(session, streams)
        await other.alive()


async def reset_of_the_request_stream_ends_its_streams(server: Server) -> None:
    async with connected(server) as peer:
        session, other = await peer.open("/wt/echo"), await peer.open("/wt/echo")
        streams = [await session.started() for _ in range(10)]
        peer.reset(session.id, H3_REQUEST_CANCELLED)
        await gone(session, streams)
        await other.alive()


async def close_ends_its_streams(server: Server) -> None:
    async with connected(server) as peer:
        session, other = await peer.open("/wt/echo"), await peer.open("/wt/echo")
        streams = [await session.started() for _ in range(10)]
        session.say(close_capsule(5, b"done"), end=True)
        await gone(session, streams)
        await other.alive()


# --------------------------------------------------------------------------------------------------------------------


class WithSettings(H3Connection):
    """Sends some settings with other values."""

    def __init__(self, quic: object, settings: dict[int, int]) -> None:
        self._changed_settings = settings
        super().__init__(quic, enable_webtransport=True)

    def _get_local_settings(self) -> dict[int, int]:
        return super()._get_local_settings() | self._changed_settings


class WithLateSettings(H3Connection):
    """Opens its control stream, and those of QPACK, when asked to."""

    def _init_connection(self) -> None:
        self._begin = super()._init_connection
        self._local_encoder_stream_id = self._create_uni_stream(2)
        self._local_decoder_stream_id = self._create_uni_stream(3)

    def begin(self) -> None:
        create, known = self._create_uni_stream, {2: self._local_encoder_stream_id, 3: self._local_decoder_stream_id}
        self._create_uni_stream = lambda kind, push_id=None: known.get(kind) or create(kind, push_id)
        self._begin()


async def malformed(server: Server, data: bytes, *, end: bool = False) -> None:
    """Says this on a session's CONNECT stream: it is reset as a malformed message, and another session goes on."""
    async with connected(server) as peer:
        session, other = await peer.open("/wt/echo"), await peer.open("/wt/echo")
        stream = await session.started()
        session.say(data, end=end)
        # A server that has ended its direction already has nothing to reset.
        known = peer.streams[session.id]
        code = await peer.until(lambda: known.reset or (known.stopped if known.ended else None))
        equal(code, H3_MESSAGE_ERROR, "code on the CONNECT stream")
        await gone(session, [stream])
        await other.alive()


async def gone(session: Session, streams: list[int]) -> None:
    """Both directions of the streams of a session that is over are ended."""
    for stream in streams:
        equal(await session.until_reset(stream), SESSION_GONE, f"reset of stream {stream}")
        equal(await session.until_stopped(stream), SESSION_GONE, f"stop of stream {stream}")


async def closed_with(peer: Peer, code: int) -> None:
    seen, reason = await peer.until(lambda: peer.closed)
    check(seen == code, f"the connection was closed with {seen:#x} {reason}, not {code:#x}")


async def still_serves(server: Server) -> None:
    async with connected(server) as peer:
        await (await peer.open("/wt/echo")).alive()


def list_of(peer: Peer, streams: list[int], number: int) -> list[int] | None:
    """The streams that were stopped, once there are so many."""
    stopped = [stream for stream in streams if peer.streams[stream].stopped is not None]
    return stopped if len(stopped) >= number else None


CASES: list[Case] = [
    streams_before_their_session_are_kept,
    streams_beyond_those_that_are_kept_are_rejected,
    streams_whose_session_never_comes_are_rejected,
    stream_of_an_odd_session_closes_the_connection,
    stream_of_a_session_that_is_over_is_no_error,
    stream_signal_inside_a_request_is_a_frame_error,
    stream_head_may_come_byte_by_byte,
    reset_before_the_head_is_whole_hurts_nobody,
    datagram_that_is_too_short_closes_the_connection,
    datagram_of_an_impossible_stream_closes_the_connection,
    datagrams_of_unknown_and_closed_streams_are_dropped,
    datagrams_of_several_requests_are_kept_apart,
    setting_of_datagrams_has_two_values,
    setting_of_datagrams_needs_the_transport_parameter,
    unknown_protocol_is_answered_with_501,
    newer_name_of_the_protocol_is_known,
    request_waits_for_the_clients_settings,
    sessions_beyond_the_limit_are_refused,
    unknown_capsules_are_skipped,
    capsules_may_be_cut_anywhere,
    unknown_capsule_of_any_length_is_not_held,
    reason_of_1025_bytes_resets_the_session,
    reason_that_is_not_utf_8_resets_the_session,
    close_without_a_whole_code_resets_the_session,
    data_after_the_close_resets_the_session,
    capsule_cut_by_the_end_resets_the_session,
    capsule_of_the_http2_variant_ends_the_session,
    end_of_the_request_stream_closes_with_0,
    reset_of_the_request_stream_ends_its_streams,
    close_ends_its_streams,
]

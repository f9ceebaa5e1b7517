"""The fifteen HTTP/3 cases of h3spec: what a client must not do, and the error that answers it.

aioquic carries the bytes; the HTTP/3 in them is written by hand. h3spec also takes H3_GENERAL_PROTOCOL_ERROR and
H3_INTERNAL_ERROR for an answer; here only the code that the RFC names is one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pylsqpack
from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.buffer import Buffer, encode_uint_var
from aioquic.h3.connection import ErrorCode, FrameType
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived, StreamReset

from .aio import configuration, name_of
from .report import Report, check, equal

ANSWER_SECONDS = 30


class Peer(QuicConnectionProtocol):
    """A client that says whatever it is told to."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._resets: dict[int, int] = {}
        self._received: dict[int, bytes] = defaultdict(bytes)
        self._ended: set[int] = set()
        self._close_code: int | None = None
        self._news = asyncio.Event()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self._received[event.stream_id] += event.data
            if event.end_stream:
                self._ended.add(event.stream_id)
        elif isinstance(event, StreamReset):
            self._resets[event.stream_id] = event.error_code
        elif isinstance(event, ConnectionTerminated):
            self._close_code = event.error_code
        self._news.set()

    def open(self, unidirectional: bool = False) -> int:
        """The number of a new stream. It is open once something is sent on it."""
        stream = self._quic.get_next_available_stream_id(is_unidirectional=unidirectional)
        self._quic.send_stream_data(stream, b"")
        return stream

    def send(self, stream: int, data: bytes, end: bool = False) -> None:
        self._quic.send_stream_data(stream, data, end_stream=end)
        self.transmit()

    def control(self, frames: bytes | None = None) -> int:
        """Opens the control stream with `frames`, empty SETTINGS unless given."""
        stream = self.open(unidirectional=True)
        self.send(stream, CONTROL + (frame(FrameType.SETTINGS, b"") if frames is None else frames))
        return stream

    def request(self, frames: bytes, end: bool = True) -> int:
        stream = self.open()
        self.send(stream, frames, end)
        return stream

    async def expect_close(self, code: ErrorCode) -> None:
        """The server closes the connection with this code."""
        await self._wait(lambda: self._close_code is not None, f"the connection is still open, not closed with {code.name}")
        equal(name_of(self._close_code), code.name, "the code of the close")

    async def expect_reset(self, stream: int, code: ErrorCode) -> None:
        """The server resets this stream with this code, and answers others."""
        done = lambda: stream in self._resets or stream in self._ended or self._close_code is not None  # noqa: E731
        await self._wait(done, f"stream {stream} is still open, not reset with {code.name}")
        check(self._close_code is None, f"the whole connection was closed with {name_of(self._close_code or 0)}")
        ending = name_of(self._resets[stream]) if stream in self._resets else "a whole response"
        equal(ending, code.name, "what ended the stream")
        await self.expect_answer()

    async def expect_answer(self) -> None:
        """An honest request gets status 200."""
        stream = self.request(frame(FrameType.HEADERS, HONEST))
        done = lambda: stream in self._ended or stream in self._resets or self._close_code is not None  # noqa: E731
        await self._wait(done, "an honest request is not answered")
        equal(status_of(self._received[stream]), b"200", "the status of an honest request")

    async def _wait(self, done: Callable[[], bool], otherwise: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while not done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(otherwise) from None


def frame(frame_type: int, payload: bytes) -> bytes:
    return encode_uint_var(frame_type) + encode_uint_var(len(payload)) + payload


def status_of(stream: bytes) -> bytes | None:
    """The status in the first HEADERS frame of a response; frames of unknown types are passed over."""
    buffer = Buffer(data=stream)
    while not buffer.eof():
        frame_type, length = buffer.pull_uint_var(), buffer.pull_uint_var()
        payload = buffer.pull_bytes(length)
        if frame_type == FrameType.HEADERS:
            _, fields = pylsqpack.Decoder(0, 0).feed_header(0, payload)
            return dict(fields)[b":status"]
    return None


CONTROL, QPACK_ENCODER, QPACK_DECODER = b"\x00", b"\x02", b"\x03"

# Field sections of static references: d1 is ":method: GET", d7 ":scheme: https", c1 ":path: /", 50 names ":authority".
AUTHORITY = bytes.fromhex("5009") + b"127.0.0.1"
HONEST = bytes.fromhex("0000d1d7") + AUTHORITY + bytes.fromhex("c1")
# Literal fields "foo: bar" and ":foo: bar".
FOO_BAR = b"\x23foo\x03bar"
PSEUDO_FOO_BAR = b"\x24:foo\x03bar"

Case = Callable[[Peer], Awaitable[None]]


# --- Requests: RFC 9114 sections 4.1 and 4.3 ------------------------------------------------------------------------


async def data_before_headers_is_unexpected(peer: Peer) -> None:
    peer.control()
    peer.request(frame(FrameType.DATA, b"hello"), end=False)
    await peer.expect_close(ErrorCode.H3_FRAME_UNEXPECTED)


async def duplicate_pseudo_header_is_malformed(peer: Peer) -> None:
    await expect_malformed(peer, HONEST + b"\xd1")


async def missing_authority_is_malformed(peer: Peer) -> None:
    await expect_malformed(peer, bytes.fromhex("0000d1d7c1"))


async def unknown_pseudo_header_is_malformed(peer: Peer) -> None:
    await expect_malformed(peer, HONEST + PSEUDO_FOO_BAR)


async def pseudo_header_after_a_field_is_malformed(peer: Peer) -> None:
    await expect_malformed(peer, bytes.fromhex("0000d1d7") + AUTHORITY + FOO_BAR + b"\xc1")


async def expect_malformed(peer: Peer, section: bytes) -> None:
    peer.control()
    stream = peer.request(frame(FrameType.HEADERS, section))
    await peer.expect_reset(stream, ErrorCode.H3_MESSAGE_ERROR)


async def cancel_push_on_a_request_stream_is_unexpected(peer: Peer) -> None:
    peer.control()
    peer.request(frame(FrameType.CANCEL_PUSH, b"\x00"), end=False)
    await peer.expect_close(ErrorCode.H3_FRAME_UNEXPECTED)


# --- The control stream: RFC 9114 sections 6.2.1 and 7.2 ------------------------------------------------------------


async def control_stream_without_settings_is_refused(peer: Peer) -> None:
    peer.control(frame(FrameType.GOAWAY, b"\x00"))
    await peer.expect_close(ErrorCode.H3_MISSING_SETTINGS)


async def data_on_the_control_stream_is_unexpected(peer: Peer) -> None:
    peer.control(frame(FrameType.SETTINGS, b"") + frame(FrameType.DATA, b"hello"))
    await peer.expect_close(ErrorCode.H3_FRAME_UNEXPECTED)


async def headers_on_the_control_stream_are_unexpected(peer: Peer) -> None:
    peer.control(frame(FrameType.SETTINGS, b"") + frame(FrameType.HEADERS, HONEST))
    await peer.expect_close(ErrorCode.H3_FRAME_UNEXPECTED)


async def second_settings_frame_is_unexpected(peer: Peer) -> None:
    peer.control(frame(FrameType.SETTINGS, b"") * 2)
    await peer.expect_close(ErrorCode.H3_FRAME_UNEXPECTED)


async def setting_of_http2_is_refused(peer: Peer) -> None:
    # QPACK_MAX_TABLE_CAPACITY, SETTINGS_ENABLE_PUSH of HTTP/2, and two more.
    peer.control(frame(FrameType.SETTINGS, bytes.fromhex("074064 0240c8 015000 0680008000")))
    await peer.expect_close(ErrorCode.H3_SETTINGS_ERROR)


async def closed_control_stream_is_an_error(peer: Peer) -> None:
    stream = peer.control()
    peer.send(stream, b"", end=True)
    await peer.expect_close(ErrorCode.H3_CLOSED_CRITICAL_STREAM)


# --- QPACK: RFC 9204 sections 3.1, 4.3.1 and 4.4.3 ------------------------------------------------------------------


async def static_index_99_is_refused(peer: Peer) -> None:
    peer.control()
    peer.request(frame(FrameType.HEADERS, HONEST + bytes.fromhex("ff24")))
    await peer.expect_close(ErrorCode.QPACK_DECOMPRESSION_FAILED)


async def capacity_above_the_limit_is_refused(peer: Peer) -> None:
    peer.control()
    peer.send(peer.open(unidirectional=True), QPACK_ENCODER + bytes.fromhex("3fe1c7afa025"))
    await peer.expect_close(ErrorCode.QPACK_ENCODER_STREAM_ERROR)


async def insert_count_increment_of_zero_is_refused(peer: Peer) -> None:
    peer.control()
    peer.send(peer.open(unidirectional=True), QPACK_DECODER + b"\x00")
    await peer.expect_close(ErrorCode.QPACK_DECODER_STREAM_ERROR)


# --------------------------------------------------------------------------------------------------------------------


async def honest_request_is_answered(peer: Peer) -> None:
    peer.control()
    await peer.expect_answer()


CASES: list[Case] = [
    honest_request_is_answered,
    data_before_headers_is_unexpected,
    duplicate_pseudo_header_is_malformed,
    missing_authority_is_malformed,
    unknown_pseudo_header_is_malformed,
    pseudo_header_after_a_field_is_malformed,
    control_stream_without_settings_is_refused,
    data_on_the_control_stream_is_unexpected,
    headers_on_the_control_stream_are_unexpected,
    second_settings_frame_is_unexpected,
    setting_of_http2_is_refused,
    cancel_push_on_a_request_stream_is_unexpected,
    static_index_99_is_refused,
    capacity_above_the_limit_is_refused,
    closed_control_stream_is_an_error,
    insert_count_increment_of_zero_is_refused,
]


async def run(report: Report, port: int) -> None:
    """Makes every case on a connection of its own; after each the server still answers others."""
    for case in CASES:
        await report.case(case.__name__, lambda case=case: on_new_connection(case, port), 3 * ANSWER_SECONDS)


async def on_new_connection(case: Case, port: int) -> None:
    async with peer_of(port) as peer:
        await case(peer)
    async with peer_of(port) as other:
        other.control()
        await other.expect_answer()


@asynccontextmanager
async def peer_of(port: int):  # noqa: ANN201 - an async context manager of a Peer
    async with connect("127.0.0.1", port, configuration=configuration(), create_protocol=Peer) as peer:
        yield peer

"""A WebTransport client on aioquic that can also say what a client must not.

aioquic carries QUIC, SETTINGS and field sections; heads of streams, datagrams and capsules are made here byte by byte.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.events import (
    ConnectionTerminated,
    DatagramFrameReceived,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

from .aio import configuration
from .report import equal
from .server import Server

# draft-ietf-webtrans-http3-16 §4.4: application codes live in a block of HTTP/3 codes, around the reserved ones.
FIRST_CODE = 0x52E4A40FA8DB
LAST_CODE = 0x52E5AC983162
SESSION_GONE = 0x170D7B68
BUFFERED_STREAM_REJECTED = 0x3994BD84

UNI_STREAM = 0x54
BIDI_SIGNAL = 0x41
CLOSE_SESSION = 0x2843
DRAIN_SESSION = 0x78AE
DATAGRAM_FRAME_BYTES = 65_536

T = TypeVar("T")
Fields = list[tuple[bytes, bytes]]


def to_wire(code: int) -> int:
    return FIRST_CODE + code + code // 0x1E


def from_wire(code: int) -> int | None:
    """The application's code, or None where the HTTP/3 code carries none."""
    if not FIRST_CODE <= code <= LAST_CODE or (code - 0x21) % 0x1F == 0:
        return None
    shifted = code - FIRST_CODE
    return shifted - shifted // 0x1F


def capsule(kind: int, payload: bytes = b"") -> bytes:
    return encode_uint_var(kind) + encode_uint_var(len(payload)) + payload


def close_capsule(code: int, reason: bytes) -> bytes:
    return capsule(CLOSE_SESSION, code.to_bytes(4, "big") + reason)


@dataclass
class Stream:
    """What has come on a stream. Codes are those of the wire."""

    data: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None
    stopped: int | None = None


class Peer(QuicConnectionProtocol):
    """One connection. Nothing is awaited without `until`, whose deadline is the case's."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self.http = self.make_http()
        self.closed: tuple[int, str] | None = None
        self.fields: dict[int, dict[str, str]] = {}
        self.streams: dict[int, Stream] = defaultdict(Stream)
        # By session; streams that the server opened, in the order in which their heads came.
        self.datagrams: dict[int, list[bytes]] = defaultdict(list)
        self.unis: dict[int, list[int]] = defaultdict(list)
        self.bidis: dict[int, list[int]] = defaultdict(list)
        self._heads: dict[int, bytes] = {}
        # Streams whose data is not HTTP/3's to read.
        self._raw: set[int] = set()
        self._changed = asyncio.get_running_loop().create_future()

    def make_http(self) -> H3Connection:
        return H3Connection(self._quic, enable_webtransport=True)

    # What the client does.

    async def until(self, ask: Callable[[], T | None]) -> T:
        """Waits for an answer other than None and False."""
        while (answer := ask()) is None or answer is False:
            if self.closed and ask() in (None, False):
                raise AssertionError(f"the connection was closed with {self.closed[0]:#x} {self.closed[1]}".strip())
            await asyncio.shield(self._changed)
        return answer

    async def settings(self) -> dict[int, int]:
        return await self.until(lambda: self.http.received_settings)

    def reserve(self) -> int:
        """A bidirectional stream that others may overtake."""
        stream = self._quic.get_next_available_stream_id()
        self._quic._get_or_create_stream_for_send(stream)
        return stream

    def request(self, stream: int, path: str, more: Fields | None = None, *, protocol: str = "webtransport") -> None:
        head = [
            (b":method", b"CONNECT"),
            (b":protocol", protocol.encode()),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
        ]
        self.http.send_headers(stream, head + (more or []))
        self.transmit()

    async def answer(self, stream: int) -> dict[str, str]:
        """The fields of the response."""
        return await self.until(lambda: self.fields.get(stream))

    async def open(self, path: str, more: Fields | None = None, *, protocol: str = "webtransport") -> Session:
        await self.settings()
        stream = self.reserve()
        self.request(stream, path, more, protocol=protocol)
        equal((await self.answer(stream))[":status"], "200", f"status of {path}")
        return Session(self, stream)

    def write(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self._quic.send_stream_data(stream, data, end)
        self.transmit()

    def open_raw(self, data: bytes, *, uni: bool) -> int:
        """A stream with these bytes, which HTTP/3 does not read."""
        stream = self._quic.get_next_available_stream_id(is_unidirectional=uni)
        self._raw.add(stream)
        self.write(stream, data)
        return stream

    def reset(self, stream: int, wire_code: int) -> None:
        self._quic.reset_stream(stream, wire_code)
        self.transmit()

    def stop(self, stream: int, wire_code: int) -> None:
        self._quic.stop_stream(stream, wire_code)
        self.transmit()

    def send_datagram(self, quarter: int, payload: bytes) -> None:
        self.send_frame(encode_uint_var(quarter) + payload)

    def send_frame(self, data: bytes) -> None:
        """A QUIC DATAGRAM frame."""
        self._quic.send_datagram_frame(data)
        self.transmit()

    # What comes.

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self._on_data(event)
        elif isinstance(event, StreamReset):
            self.streams[event.stream_id].reset = event.error_code
        elif isinstance(event, StopSendingReceived):
            self.streams[event.stream_id].stopped = event.error_code
        elif isinstance(event, DatagramFrameReceived):
            buffer = Buffer(data=event.data)
            self.datagrams[buffer.pull_uint_var() * 4].append(event.data[buffer.tell() :])
        elif isinstance(event, ConnectionTerminated):
            self.closed = (event.error_code, event.reason_phrase)
        changed, self._changed = self._changed, asyncio.get_running_loop().create_future()
        if not changed.done():
            changed.set_result(None)

    def _on_data(self, event: StreamDataReceived) -> None:
        stream = event.stream_id
        if stream % 4 in (1, 3) and stream not in self._raw and not self._read_head(event):
            return
        if stream not in self._raw:
            for made in self.http.handle_event(event):
                self._on_http(made)
            return
        self.streams[stream].data += event.data
        self.streams[stream].ended |= event.end_stream

    def _read_head(self, event: StreamDataReceived) -> bool:
        """Whether the rest of a server's stream may be read: as a session's, or as HTTP/3's with what was held back."""
        stream, uni = event.stream_id, event.stream_id % 4 == 3
        if stream not in self._heads and stream in self.http._stream:
            return True
        event.data = self._heads.pop(stream, b"") + event.data
        buffer = Buffer(data=event.data)
        try:
            if buffer.pull_uint_var() != (UNI_STREAM if uni else BIDI_SIGNAL):
                return True
            session = buffer.pull_uint_var()
        except BufferReadError:
            self._heads[stream] = event.data
            return False
        event.data = event.data[buffer.tell() :]
        self._raw.add(stream)
        (self.unis if uni else self.bidis)[session].append(stream)
        return True

    def _on_http(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self.fields[event.stream_id] = {name.decode(): value.decode() for name, value in event.headers}
            self.streams[event.stream_id].ended |= event.stream_ended
        elif isinstance(event, DataReceived):
            self.streams[event.stream_id].data += event.data
            self.streams[event.stream_id].ended |= event.stream_ended


class Session:
    """One session of a connection."""

    def __init__(self, peer: Peer, stream: int) -> None:
        self.peer, self.id = peer, stream

    def open(self, data: bytes = b"", *, uni: bool = False, end: bool = False) -> int:
        head = encode_uint_var(UNI_STREAM if uni else BIDI_SIGNAL) + encode_uint_var(self.id)
        stream = self.peer.open_raw(head + data, uni=uni)
        if end:
            self.peer.write(stream, b"", end=True)
        return stream

    async def read(self, stream: int) -> bytes:
        """The whole of a stream."""

        def done() -> Stream | None:
            known = self.peer.streams[stream]
            return known if known.ended or known.reset is not None else None

        known = await self.peer.until(done)
        equal(known.reset, None, f"reset of stream {stream}")
        return bytes(known.data)

    async def until_reset(self, stream: int) -> int:
        return await self.peer.until(lambda: self.peer.streams[stream].reset)

    async def until_stopped(self, stream: int) -> int:
        return await self.peer.until(lambda: self.peer.streams[stream].stopped)

    async def accept(self, number: int, *, uni: bool) -> list[int]:
        """The first streams that the server opened."""
        opened = (self.peer.unis if uni else self.peer.bidis)[self.id]
        await self.peer.until(lambda: len(opened) >= number)
        return opened[:number]

    async def echo(self, body: bytes) -> None:
        back = await self.read(self.open(body, end=True))
        equal(back, body, f"echo of {len(body)} bytes")

    async def started(self) -> int:
        """A bidirectional stream on which the echo has been seen, and which stays open."""
        stream = self.open(b"abc")
        await self.peer.until(lambda: self.peer.streams[stream].data == b"abc")
        return stream

    async def alive(self) -> None:
        await self.echo(b"still here")

    def send_datagram(self, payload: bytes) -> None:
        self.peer.send_datagram(self.id // 4, payload)

    def say(self, data: bytes, *, end: bool = False) -> None:
        """Bytes on the CONNECT stream, in a DATA frame."""
        self.peer.http.send_data(self.id, data, end)
        self.peer.transmit()

    def capsules(self) -> list[tuple[int, bytes]]:
        """Those that have come whole."""
        buffer = Buffer(data=bytes(self.peer.streams[self.id].data))
        found = []
        while not buffer.eof():
            try:
                kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
                found.append((kind, buffer.pull_bytes(length)))
            except BufferReadError:
                break
        return found

    async def closed(self) -> tuple[int, str]:
        """With which code and reason the server ended the session."""
        await self.peer.until(lambda: self.peer.streams[self.id].ended)
        ends = [payload for kind, payload in self.capsules() if kind == CLOSE_SESSION]
        return (int.from_bytes(ends[0][:4], "big"), ends[0][4:].decode()) if ends else (0, "")


def connected(server: Server, protocol: type[Peer] = Peer, **more: object) -> AbstractAsyncContextManager[Peer]:
    """A connection for the length of a `with` block."""
    more.setdefault("max_datagram_frame_size", DATAGRAM_FRAME_BYTES)
    return connect("127.0.0.1", server.port, configuration=configuration(**more), create_protocol=protocol)

"""aioquic: a QUIC and HTTP/3 stack in Python."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection, H3Stream
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamReset

from .http import Fields, Request, RequestFailed, Response, Source

# aioquic removes acknowledged bytes from the front of one buffer a stream, so that a large one costs a copy an
# acknowledgement.
MAX_UNSENT_BYTES = 1 << 20
CHUNK_BYTES = 256 << 10
WINDOW_BYTES = 16 << 20


def configuration(**more: object) -> QuicConfiguration:
    """A client that accepts a self-signed certificate and takes large responses at full speed."""
    return QuicConfiguration(
        is_client=True,
        alpn_protocols=H3_ALPN,
        verify_mode=ssl.CERT_NONE,
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
        server_name="localhost",
        **more,
    )


class PatientH3Connection(H3Connection):
    """Knows that the answer to some requests has a content-length and no content, which aioquic does not."""

    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic)
        self.without_content: set[int] = set()

    def _check_content_length(self, stream: H3Stream) -> None:
        if stream.stream_id not in self.without_content:
            super()._check_content_length(stream)


class Http3Protocol(QuicConnectionProtocol):
    """Collects responses by stream."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.http = PatientH3Connection(self._quic)
        self.closed: str | None = None
        self._responses: dict[int, Response] = defaultdict(Response)
        self._bodies: dict[int, bytearray] = defaultdict(bytearray)
        self._sinks: dict[int, Callable[[bytes], object]] = {}
        self._waiting: dict[int, asyncio.Future[Response]] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamReset):
            self._fail(event.stream_id, f"the stream was reset with {name_of(event.error_code)}")
        elif isinstance(event, ConnectionTerminated):
            self.closed = f"the connection was closed with {name_of(event.error_code)} {event.reason_phrase}".strip()
            for stream in list(self._waiting):
                self._fail(stream, self.closed)
        for http_event in self.http.handle_event(event):
            self._handle(http_event)

    async def fetch(self, request: Request) -> Response:
        if self.closed:
            raise RequestFailed(self.closed)
        stream = self._quic.get_next_available_stream_id()
        answer = asyncio.get_running_loop().create_future()
        self._waiting[stream] = answer
        if request.sink:
            self._sinks[stream] = request.sink
        # Their answers may be 304, with the length of what is not sent.
        if request.method == "HEAD" or any(name.startswith("if-") for name in request.headers):
            self.http.without_content.add(stream)
        headers = [
            (b":method", request.method.encode()),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", request.path.encode()),
            *((name.encode(), value.encode()) for name, value in request.headers.items()),
        ]
        self.http.send_headers(stream, headers, end_stream=request.body is None)
        self.transmit()
        if request.body is not None:
            await self._upload(stream, request.source(), answer)
        return await answer

    async def _upload(self, stream: int, body: Source, answer: asyncio.Future[Response]) -> None:
        left = len(body)
        if not left:
            self.http.send_data(stream, b"", end_stream=True)
        while left:
            while self._unsent(stream) > MAX_UNSENT_BYTES and not answer.done():
                await asyncio.sleep(0.001)
            if answer.done():
                return
            chunk = body.read(CHUNK_BYTES)
            left -= len(chunk)
            self.http.send_data(stream, chunk, end_stream=not left)
            self.transmit()
        self.transmit()

    # aioquic has no public way to ask how much of a stream is still to be sent.
    def _unsent(self, stream: int) -> int:
        found = self._quic._streams.get(stream)
        return len(found.sender._buffer) if found else 0

    def _handle(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self._handle_headers(event)
        elif isinstance(event, DataReceived):
            if sink := self._sinks.get(event.stream_id):
                sink(event.data)
            else:
                self._bodies[event.stream_id] += event.data
        else:
            return
        if event.stream_ended:
            self._finish(event.stream_id)

    def _handle_headers(self, event: HeadersReceived) -> None:
        response = self._responses[event.stream_id]
        fields = [(name.decode(), value.decode()) for name, value in event.headers]
        if fields and fields[0][0] == ":status":
            status, fields = int(fields[0][1]), fields[1:]
            if status < 200:
                response.interim.append((status, fields))
            else:
                response.status, response.headers = status, fields
        else:
            response.trailers = fields

    def _finish(self, stream: int) -> None:
        response = self._responses.pop(stream, Response())
        response.body = bytes(self._bodies.pop(stream, b""))
        self._sinks.pop(stream, None)
        answer = self._waiting.pop(stream, None)
        if answer and not answer.done():
            answer.set_result(response)

    def _fail(self, stream: int, reason: str) -> None:
        self._responses.pop(stream, None)
        self._bodies.pop(stream, None)
        self._sinks.pop(stream, None)
        answer = self._waiting.pop(stream, None)
        if answer and not answer.done():
            answer.set_exception(RequestFailed(reason))


class AioquicClient:
    """One connection of aioquic at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = AsyncExitStack()
        self._protocol: Http3Protocol | None = None

    async def fetch(self, request: Request) -> Response:
        return await self._protocol.fetch(request)

    async def revive(self) -> None:
        if self._protocol is None or self._protocol.closed:
            await self.close()
            connecting = connect("127.0.0.1", self._port, configuration=configuration(), create_protocol=Http3Protocol)
            self._protocol = await self._stack.enter_async_context(connecting)

    async def close(self) -> None:
        await self._stack.aclose()


def name_of(code: int) -> str:
    """The name of an HTTP/3 or QPACK error code, or the number."""
    known: Fields = [(str(error.value), error.name) for error in ErrorCode]
    return next((name for value, name in known if value == str(code)), f"{code:#x}")

#!/usr/bin/env python3
"""A WebTransport server on aioquic that serves the demo routes of Lorraine: `aioquic_server.py --cert PEM --key PEM`.

An independent stack for both ends: browsers are tried against it, to tell a fault of a suite from a fault of Lorraine,
and so is Lorraine's own client. It prints where it listens, and one line for each session that ends.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DatagramReceived, DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StopSendingReceived, StreamDataReceived, StreamReset

# draft-ietf-webtrans-http3-16 §4.4: application codes live in a block of HTTP/3 codes, around the reserved ones.
FIRST_CODE = 0x52E4A40FA8DB
LAST_CODE = 0x52E5AC983162
CLOSE_SESSION = 0x2843
DRAIN_SESSION = 0x78AE
SESSION_GONE = 0x170D7B68
PROTOCOLS = ("echo-v2", "echo-v1")
PATTERN = bytes(index % 251 for index in range(251))
# More than this on the CONNECT stream without a whole capsule ends the session.
LONGEST_CAPSULE = 65_536
RESET_AFTER_SECONDS = 0.1


def to_wire(code: int) -> int:
    return FIRST_CODE + code + code // 0x1E


def from_wire(code: int) -> int | None:
    """The application's code, or None where the HTTP/3 code carries none."""
    if not FIRST_CODE <= code <= LAST_CODE or (code - 0x21) % 0x1F == 0:
        return None
    shifted = code - FIRST_CODE
    return shifted - shifted // 0x1F


def is_uni(stream: int) -> bool:
    return stream & 0x2 != 0


def is_own(stream: int) -> bool:
    return stream & 0x1 != 0


class Session:
    """One session, and what its route does with it: this one echoes."""

    def __init__(self, connection: Connection, stream: int, query: dict[str, list[str]]) -> None:
        self.connection, self.id, self.query = connection, stream, query
        self.ended = False
        self.streams: set[int] = set()
        self._capsules = b""
        self._unis: dict[int, bytearray] = {}

    # What a route may do otherwise.

    def on_open(self) -> None:
        """The client has been answered with 200."""

    def on_data(self, stream: int, data: bytes, end: bool) -> None:
        if not is_uni(stream):
            self.write(stream, data, end)
            return
        kept = self._unis.setdefault(stream, bytearray())
        kept += data
        if end:
            self.write(self.open(uni=True), bytes(self._unis.pop(stream)), True)

    def on_datagram(self, data: bytes) -> None:
        self.connection.http.send_datagram(self.id, data)

    def on_reset(self, stream: int, code: int | None) -> None:
        self._unis.pop(stream, None)
        if not is_uni(stream):
            self.connection.reset(stream, code or 0)

    def on_stop(self, stream: int, code: int | None) -> None:
        if not is_uni(stream):
            self.connection.stop(stream, code or 0)

    # What a route can do.

    def parameter(self, name: str, default: str) -> str:
        return self.query.get(name, [default])[0]

    def open(self, *, uni: bool) -> int:
        stream = self.connection.http.create_webtransport_stream(self.id, is_unidirectional=uni)
        self.connection.adopt(stream, self)
        return stream

    def write(self, stream: int, data: bytes, end: bool) -> None:
        self.connection.write(stream, data, end)

    def close(self, code: int, reason: str) -> None:
        payload = code.to_bytes(4, "big") + reason.encode()
        self._send_capsule(CLOSE_SESSION, payload, end=True)
        self._end(f"closed here with {code} {reason!r}")

    def drain(self) -> None:
        self._send_capsule(DRAIN_SESSION, b"", end=False)

    def _send_capsule(self, kind: int, payload: bytes, *, end: bool) -> None:
        capsule = encode_uint_var(kind) + encode_uint_var(len(payload)) + payload
        self.connection.http.send_data(self.id, capsule, end)

    # What the CONNECT stream brings.

    def on_connect_data(self, data: bytes, end: bool) -> None:
        self._capsules += data
        while not self.ended and (capsule := self._next_capsule()) is not None:
            kind, payload = capsule
            if kind == CLOSE_SESSION and len(payload) >= 4:
                code, reason = int.from_bytes(payload[:4], "big"), payload[4:].decode(errors="replace")
                self._finish(f"closed by the peer with {code} {reason!r}")
        if end or len(self._capsules) > LONGEST_CAPSULE:
            self._finish("closed by the peer with 0 ''")

    def on_connect_lost(self, why: str) -> None:
        if not self.ended:
            self._end(why)

    def _next_capsule(self) -> tuple[int, bytes] | None:
        buffer = Buffer(data=self._capsules)
        try:
            kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
            payload = buffer.pull_bytes(length)
        except BufferReadError:
            return None
        self._capsules = self._capsules[buffer.tell() :]
        return kind, payload

    def _finish(self, how: str) -> None:
        if self.ended:
            return
        self.connection.http.send_data(self.id, b"", True)
        self._end(how)

    def _end(self, how: str) -> None:
        self.ended = True
        print(f"session {self.id} at {self.connection.path_of(self.id)} {how}", flush=True)
        for stream in list(self.streams):
            self.connection.abandon(stream)


class CloseSession(Session):
    def on_open(self) -> None:
        self.close(int(self.parameter("code", "0")), self.parameter("reason", ""))


class DrainSession(Session):
    def on_open(self) -> None:
        self.drain()


class StreamsSession(Session):
    """Opens streams in both directions; what comes back on them is read and dropped."""

    def on_open(self) -> None:
        count, size = int(self.parameter("n", "16")), int(self.parameter("bytes", "1024"))
        data = (PATTERN * (size // len(PATTERN) + 1))[:size]
        for uni in (True, False):
            for _ in range(count):
                self.write(self.open(uni=uni), data, True)

    def on_data(self, stream: int, data: bytes, end: bool) -> None:
        if not is_own(stream):
            super().on_data(stream, data, end)


class ResetSession(Session):
    """Resets a stream of its own, and stops the first bidirectional one of the peer."""

    def on_open(self) -> None:
        self._stopped = False
        stream = self.open(uni=True)
        self.write(stream, b"reset", False)
        # Browsers never show a stream to the page that was reset before they got round to it.
        asyncio.get_running_loop().call_later(RESET_AFTER_SECONDS, self._reset, stream)

    def on_data(self, stream: int, data: bytes, end: bool) -> None:
        if not is_uni(stream) and not self._stopped:
            self._stopped = True
            self.connection.stop(stream, self._code())

    def _reset(self, stream: int) -> None:
        if not self.ended:
            self.connection.reset(stream, self._code())
            self.connection.transmit()

    def _code(self) -> int:
        return int(self.parameter("code", "0"))


ROUTES: dict[str, type[Session]] = {
    "/wt/echo": Session,
    "/wt/private": Session,
    "/wt/close": CloseSession,
    "/wt/drain": DrainSession,
    "/wt/streams": StreamsSession,
    "/wt/reset": ResetSession,
}
ALLOWED_ORIGIN = {"/wt/private": "https://allowed.example"}


class Connection(QuicConnectionProtocol):
    """A QUIC connection with the sessions on it."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self._sessions: dict[int, Session] = {}
        self._paths: dict[int, str] = {}
        self._streams: dict[int, Session] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            for session in self._sessions.values():
                session.on_connect_lost(f"lost with its connection ({event.error_code:#x})")
            return
        if isinstance(event, StreamDataReceived) and is_own(event.stream_id) and not is_uni(event.stream_id):
            # What a client answers on our stream has no head; aioquic's HTTP/3 layer would look for frames in it.
            self._on_data(event.stream_id, event.data, event.end_stream)
            return
        for made in self.http.handle_event(event):
            self._on_http(made)
        if isinstance(event, StreamReset):
            self._on_reset(event.stream_id, event.error_code)
        elif isinstance(event, StopSendingReceived):
            self._on_stop(event.stream_id, event.error_code)

    def path_of(self, session: int) -> str:
        return self._paths[session]

    def adopt(self, stream: int, session: Session) -> None:
        self._streams[stream] = session
        session.streams.add(stream)

    def write(self, stream: int, data: bytes, end: bool) -> None:
        try:
            self._quic.send_stream_data(stream, data, end)
        except RuntimeError:
            pass  # ended or reset in the meantime, by a STOP_SENDING for instance

    def reset(self, stream: int, code: int) -> None:
        self._quic.reset_stream(stream, to_wire(code))

    def stop(self, stream: int, code: int) -> None:
        self._stop(stream, to_wire(code))

    def abandon(self, stream: int) -> None:
        """Ends both halves of a stream whose session is over."""
        session = self._streams.pop(stream)
        session.streams.discard(stream)
        if is_own(stream) or not is_uni(stream):
            self._quic.reset_stream(stream, SESSION_GONE)
        if not is_own(stream) or not is_uni(stream):
            self._stop(stream, SESSION_GONE)

    def _stop(self, stream: int, wire_code: int) -> None:
        try:
            self._quic.stop_stream(stream, wire_code)
        except ValueError:
            pass  # the stream is done and forgotten

    def _on_http(self, event: object) -> None:
        if isinstance(event, HeadersReceived):
            self._on_request(event)
        elif isinstance(event, DataReceived):
            if session := self._sessions.get(event.stream_id):
                session.on_connect_data(event.data, event.stream_ended)
        elif isinstance(event, WebTransportStreamDataReceived):
            session = self._sessions.get(event.session_id)
            if session and not session.ended:
                self.adopt(event.stream_id, session)
                self._on_data(event.stream_id, event.data, event.stream_ended)
        elif isinstance(event, DatagramReceived):
            session = self._sessions.get(event.stream_id)
            if session and not session.ended:
                session.on_datagram(event.data)

    def _on_request(self, event: HeadersReceived) -> None:
        fields = {name.decode(): value.decode(errors="replace") for name, value in event.headers}
        url = urlsplit(fields.get(":path", ""))
        status = self._judge(fields, url.path)
        if status != 200:
            self.http.send_headers(event.stream_id, [(b":status", str(status).encode())], end_stream=True)
            return
        answer = [(b":status", b"200"), (b"sec-webtransport-http3-draft", b"draft02")]
        if protocol := choose_protocol(fields.get("wt-available-protocols", "")):
            answer.append((b"wt-protocol", f'"{protocol}"'.encode()))
        self.http.send_headers(event.stream_id, answer)
        session = ROUTES[url.path](self, event.stream_id, parse_qs(url.query))
        self._sessions[event.stream_id] = session
        self._paths[event.stream_id] = url.path
        session.on_open()

    @staticmethod
    def _judge(fields: dict[str, str], path: str) -> int:
        if path not in ROUTES:
            return 404
        if fields.get(":method") != "CONNECT":
            return 405
        if fields.get(":protocol") != "webtransport":
            return 501
        allowed = ALLOWED_ORIGIN.get(path)
        return 200 if allowed is None or fields.get("origin") == allowed else 403

    def _on_data(self, stream: int, data: bytes, end: bool) -> None:
        if session := self._streams.get(stream):
            session.on_data(stream, data, end)

    def _on_reset(self, stream: int, wire_code: int) -> None:
        if session := self._sessions.get(stream):
            session.on_connect_lost(f"reset by the peer ({wire_code:#x})")
        elif session := self._streams.get(stream):
            session.on_reset(stream, from_wire(wire_code))

    def _on_stop(self, stream: int, wire_code: int) -> None:
        if session := self._streams.get(stream):
            session.on_stop(stream, from_wire(wire_code))


def choose_protocol(offered: str) -> str | None:
    """The client's first that we know, of a list of strings or tokens (RFC 9651 §3.1)."""
    names = (item.split(";")[0].strip().strip('"') for item in offered.split(","))
    return next((name for name in names if name in PROTOCOLS), None)


async def serve(arguments: argparse.Namespace) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"], max_datagram_frame_size=65_536)
    # Browsers send datagrams of more than aioquic's 1,200 bytes; one that fits in no packet would block its queue.
    configuration.max_datagram_size = 1_400
    configuration.load_cert_chain(arguments.cert, arguments.key)
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: QuicServer(configuration=configuration, create_protocol=Connection),
        local_addr=(arguments.host, arguments.port),
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    print(f"listening on https://{arguments.host}:{transport.get_extra_info('sockname')[1]}", flush=True)
    await stop.wait()
    server.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=4433, help="UDP port; 0 lets the system choose (default: %(default)s)")
    parser.add_argument("--cert", type=Path, required=True, help="certificate chain, PEM")
    parser.add_argument("--key", type=Path, required=True, help="private key of the certificate, PEM")
    asyncio.run(serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

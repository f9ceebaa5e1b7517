"""What the transport promises, seen by aioquic and by a bare socket: other protocols, key updates, new addresses."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.buffer import Buffer
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, DatagramFrameReceived, QuicEvent, StreamDataReceived

from .aio import Http3Protocol, configuration
from .http import Request
from .report import Report, check, equal
from .server import Server

HELLO = b"Hello, HTTP/3!\n"
ALERT_NO_APPLICATION_PROTOCOL = 0x100 + 120
MIN_INITIAL_BYTES = 1_200
PATH_CHALLENGE = 0x1A
DATAGRAM_FRAME_BYTES = 65_536
# How long to listen for an answer that must not come, and for one that must.
SILENCE_SECONDS = 0.5
ANSWER_SECONDS = 20

Case = Callable[[Server], Awaitable[None]]


async def hq_interop_answers_from_the_same_routes(server: Server) -> None:
    async with connect_with(server, HqProtocol, ["hq-interop"]) as peer:
        equal(await peer.get("/"), HELLO, "answer")


async def unknown_protocol_is_refused_by_its_alert(server: Server) -> None:
    async with connect_with(server, RefusedProtocol, ["no-such-protocol"], wait_connected=False) as peer:
        peer.transmit()
        # RFC 9001 §8.1: a TLS alert is a CRYPTO_ERROR of QUIC.
        equal(await peer.refused, ALERT_NO_APPLICATION_PROTOCOL, "the code of the close")


async def key_update_is_followed(server: Server) -> None:
    async with connect_with(server, Http3Protocol) as peer:
        equal((await peer.fetch(Request("/"))).body, HELLO, "answer before")
        peer.request_key_update()
        equal((await peer.fetch(Request("/"))).body, HELLO, "answer after")


async def client_may_change_its_port(server: Server) -> None:
    async with connect_with(server, Http3Protocol) as peer:
        equal((await peer.fetch(Request("/"))).body, HELLO, "answer on the old port")
        old = peer._transport
        moved, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Forward(peer), sock=new_socket())
        peer._transport = moved
        response = await peer.fetch(Request("/download/300000"))
        equal((response.status, len(response.body)), (200, 300_000), "answer on the new port")
        old.close()


async def unanswered_path_challenge_is_sent_again(server: Server) -> None:
    # Chromium answers none that comes in one packet with the response to its own challenge.
    async with connect_with(server, Http3Protocol) as peer:
        await peer.fetch(Request("/"))
        ignored = ignore_first_path_challenge(peer._quic)
        moved, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Forward(peer), sock=new_socket())
        old, peer._transport = peer._transport, moved
        # RFC 9000 §8.1: until the new path is validated it carries three times what came from it, which is a trickle.
        response = await asyncio.wait_for(peer.fetch(Request("/download/3000000")), 10)
        equal(len(response.body), 3_000_000, "length of the answer on the new port")
        check(bool(ignored), "no PATH_CHALLENGE came")
        old.close()


async def retired_connection_id_may_be_told_twice(server: Server) -> None:
    # A client repeats RETIRE_CONNECTION_ID until it is acknowledged. It takes two IDs at a time here, as Chromium does.
    async with connect_with(server, FewIdsProtocol) as peer:
        await peer.fetch(Request("/"))
        check(bool(peer._quic._peer_cid_available), "the server offers no second connection ID")
        peer.change_connection_id()
        check(peer._quic._peer_cid.sequence_number == 1, "the connection ID in use did not change")
        peer._quic._retire_connection_ids.append(0)
        peer.transmit()
        equal((await peer.fetch(Request("/"))).body, HELLO, "answer")


async def unknown_version_is_answered_with_version_negotiation(server: Server) -> None:
    version, destination, source = b"\x1a\x2a\x3a\x4a", os.urandom(8), os.urandom(8)
    answer = await ask(server, long_header(version, destination, source, MIN_INITIAL_BYTES), ANSWER_SECONDS)
    check(answer is not None, "no answer")
    equal(answer[1:5], bytes(4), "version of the answer")
    # RFC 9000 §17.2.1: the connection IDs come back exchanged.
    equal(answer[5 : 5 + 9], bytes([8]) + source, "its destination connection ID")
    equal(answer[14 : 14 + 9], bytes([8]) + destination, "its source connection ID")
    versions = [answer[at : at + 4] for at in range(23, len(answer), 4)]
    check(b"\x00\x00\x00\x01" in versions, f"version 1 is not offered in {versions}")
    check(version not in versions, "the refused version is offered")


async def small_datagrams_get_no_answer(server: Server) -> None:
    for version in [b"\x1a\x2a\x3a\x4a", b"\x00\x00\x00\x01"]:
        short = long_header(version, os.urandom(8), os.urandom(8), MIN_INITIAL_BYTES - 1)
        equal(await ask(server, short), None, f"answer to version {version.hex()}")


async def noise_is_never_amplified_and_hurts_nobody(server: Server) -> None:
    for size in [1, 2, 20, 100]:
        # RFC 9000 §10.3: noise that could be a short packet may get a stateless reset, shorter than itself.
        answer = await ask(server, os.urandom(size), SILENCE_SECONDS / 4)
        check(len(answer or b"") < size, f"{size} bytes got an answer of {len(answer or b'')}")
    async with connect_with(server, Http3Protocol) as peer:
        equal((await peer.fetch(Request("/"))).status, 200, "status")


# --------------------------------------------------------------------------------------------------------------------


class HqProtocol(QuicConnectionProtocol):
    """HTTP/0.9: one line asks, the end of the stream ends the answer."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._body = b""
        self._done = asyncio.Event()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self._body += event.data
            if event.end_stream:
                self._done.set()

    async def get(self, path: str) -> bytes:
        stream = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream, f"GET {path}\r\n".encode(), end_stream=True)
        self.transmit()
        await self._done.wait()
        return self._body


class EchoProtocol(QuicConnectionProtocol):
    """No HTTP: streams and datagrams that come back."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._bodies: dict[int, bytes] = {}
        self._ended: asyncio.Queue[int] = asyncio.Queue()
        self.datagrams: asyncio.Queue[bytes] = asyncio.Queue()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, DatagramFrameReceived):
            self.datagrams.put_nowait(event.data)
        elif isinstance(event, StreamDataReceived):
            self._bodies[event.stream_id] = self._bodies.get(event.stream_id, b"") + event.data
            if event.end_stream:
                self._ended.put_nowait(event.stream_id)

    def say(self, body: bytes, uni: bool) -> None:
        stream = self._quic.get_next_available_stream_id(is_unidirectional=uni)
        self._quic.send_stream_data(stream, body, end_stream=True)
        self.transmit()

    def send_datagram(self, body: bytes) -> None:
        self._quic.send_datagram_frame(body)
        self.transmit()

    async def next_body(self) -> bytes:
        return self._bodies.pop(await self._ended.get())


async def echo_without_http(server: Server) -> None:
    """Asks a server that echoes connections of the protocol `quic-echo`."""
    async with connect_with(server, EchoProtocol, ["quic-echo"], datagrams=True) as peer:
        for uni in [False, True]:
            for body in [b"x" * 100_000, b""]:
                peer.say(body, uni)
                check(await peer.next_body() == body, f"a stream of {len(body)} bytes came back changed")
        peer.send_datagram(b"a datagram")
        equal(await peer.datagrams.get(), b"a datagram", "datagram")


class FewIdsProtocol(Http3Protocol):
    """Lets the server offer one connection ID beside the one in use."""

    def __init__(self, quic: QuicConnection, *args: object, **kwargs: object) -> None:
        quic._local_active_connection_id_limit = 2
        super().__init__(quic, *args, **kwargs)


class RefusedProtocol(QuicConnectionProtocol):
    """Waits for the end of the connection."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.refused: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated) and not self.refused.done():
            self.refused.set_result(event.error_code)


class Forward(asyncio.DatagramProtocol):
    """Hands datagrams of a second socket to the connection."""

    def __init__(self, peer: QuicConnectionProtocol) -> None:
        self._peer = peer

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._peer.datagram_received(data, addr)


def ignore_first_path_challenge(quic: QuicConnection) -> list[bytes]:
    """From now on; what was ignored is in the list."""
    handlers = quic._QuicConnection__frame_handlers
    answer, epochs = handlers[PATH_CHALLENGE]
    ignored: list[bytes] = []

    def handle(context: object, frame_type: int, buffer: Buffer) -> None:
        if ignored:
            answer(context, frame_type, buffer)
        else:
            ignored.append(buffer.pull_bytes(8))

    handlers[PATH_CHALLENGE] = (handle, epochs)
    return ignored


def new_socket() -> socket.socket:
    fresh = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    fresh.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    fresh.bind(("::", 0))
    return fresh


def connect_with(  # noqa: ANN201
    server: Server, protocol: type, alpn: list[str] | None = None, *, datagrams: bool = False, **more: object
):
    """aioquic's own context manager of a connection."""
    settings = configuration(max_datagram_frame_size=DATAGRAM_FRAME_BYTES) if datagrams else configuration()
    settings.alpn_protocols = alpn or settings.alpn_protocols
    return connect("127.0.0.1", server.port, configuration=settings, create_protocol=protocol, **more)


def long_header(version: bytes, destination: bytes, source: bytes, size: int) -> bytes:
    """A datagram that begins like an Initial packet and is `size` bytes long."""
    head = b"\xc3" + version + bytes([len(destination)]) + destination + bytes([len(source)]) + source
    return head + os.urandom(size - len(head))


async def ask(server: Server, datagram: bytes, seconds: float = SILENCE_SECONDS) -> bytes | None:
    """The first datagram that comes back, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(("127.0.0.1", server.port))
        client.send(datagram)
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 2_048), seconds)
        except TimeoutError:
            return None


CASES: list[Case] = [
    hq_interop_answers_from_the_same_routes,
    unknown_protocol_is_refused_by_its_alert,
    key_update_is_followed,
    client_may_change_its_port,
    unanswered_path_challenge_is_sent_again,
    retired_connection_id_may_be_told_twice,
    unknown_version_is_answered_with_version_negotiation,
    small_datagrams_get_no_answer,
    noise_is_never_amplified_and_hurts_nobody,
]


async def run(report: Report, server: Server) -> None:
    for case in CASES:
        await report.case(case.__name__, lambda case=case: case(server))

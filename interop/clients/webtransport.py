"""aioquic as a WebTransport client: the cases of the browsers' suites, with codes over the full 32 bits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from . import webtransport_faults
from .browser_webtransport import saw_close
from .demo import pattern
from .report import Report, Skip, check, equal
from .server import Server
from .webtransport_peer import DRAIN_SESSION, Peer, Session, close_capsule, connected, from_wire, to_wire

Case = Callable[[Server], Awaitable[None]]

CODES = [0, 29, 30, 255, 0x12345678, 0xFFFFFFFF]
DATAGRAMS_AT_ONCE = 8
# What aioquic puts into one packet.
LARGEST_DATAGRAM = 1_100


async def ready(server: Server) -> None:
    async with connected(server) as peer:
        await peer.open("/wt/echo")


async def datagrams_200_of_200_arrive(server: Server) -> None:
    async with connected(server) as peer:
        await exchange(await peer.open("/wt/echo"), [f"{number:064}".encode() for number in range(200)])


async def datagrams_of_every_size_arrive(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        await exchange(session, [pattern(size) for size in [1, 2, 100, 1_000, LARGEST_DATAGRAM]] + [b""])


async def bidi_echo_of_1_mib_has_its_hash(server: Server) -> None:
    async with connected(server) as peer:
        await (await peer.open("/wt/echo")).echo(pattern(1 << 20))


async def uni_comes_back_on_a_new_uni(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        session.open(pattern(100_000), uni=True, end=True)
        [back] = await session.accept(1, uni=True)
        check(await session.read(back) == pattern(100_000), "the stream came back changed")


async def empty_streams_come_back(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        await session.echo(b"")
        session.open(uni=True, end=True)
        [back] = await session.accept(1, uni=True)
        equal(await session.read(back), b"", "uni stream")


async def sixteen_streams_at_once_each_way(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        bodies = [pattern(20_000 + number) for number in range(16)]
        echoes = [asyncio.ensure_future(session.echo(body)) for body in bodies]
        for body in bodies:
            session.open(body, uni=True, end=True)
        back = [await session.read(stream) for stream in await session.accept(16, uni=True)]
        check(sorted(back, key=len) == bodies, "uni streams came back changed")
        await asyncio.gather(*echoes)


async def streams_of_the_server(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/streams?n=16&bytes=3000")
        expected = bytes(index % 251 for index in range(3_000))
        unis, bidis = await session.accept(16, uni=True), await session.accept(16, uni=False)
        for stream in unis + bidis:
            check(await session.read(stream) == expected, f"stream {stream} has other bytes")
        for stream in bidis:
            peer.write(stream, pattern(5_000), end=True)
        await peer.ping()


async def reset_by_the_server(server: Server) -> None:
    async with connected(server) as peer:
        for code in CODES:
            session = await peer.open(f"/wt/reset?code={code}")
            [stream] = await session.accept(1, uni=True)
            equal(from_wire(await session.until_reset(stream)), code, "code of the reset")
            session.say(b"", end=True)


async def reset_by_the_client(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        for code in CODES:
            stream = await session.started()
            peer.reset(stream, to_wire(code))
            # The server resets its direction with the code that it saw.
            equal(from_wire(await session.until_reset(stream)), code, "code of the other direction")
        await session.alive()


async def stop_by_the_server(server: Server) -> None:
    async with connected(server) as peer:
        for code in CODES:
            session = await peer.open(f"/wt/reset?code={code}")
            stream = session.open(b"to be stopped")
            equal(from_wire(await session.until_stopped(stream)), code, "code of the stop")
            session.say(b"", end=True)


async def stop_by_the_client(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        for code in CODES:
            stream = await session.started()
            peer.stop(stream, to_wire(code))
            # The server stops the other direction with the code that it saw.
            equal(from_wire(await session.until_stopped(stream)), code, "code of the other direction")
        await session.alive()


async def close_by_the_server(server: Server) -> None:
    async with connected(server) as peer:
        for code, reason in [(0, ""), (7, "bye"), (0xFFFFFFFF, "Grüße \U0001f44b"), (1, "x" * 1_024)]:
            session = await peer.open(f"/wt/close?code={code}&reason={quote(reason)}")
            equal(await session.closed(), (code, reason), "end")
            session.say(b"", end=True)
        await (await peer.open("/wt/echo")).alive()


async def close_by_the_client(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        await session.alive()
        session.say(close_capsule(7_777, b"enough of it"), end=True)
        equal(await session.closed(), (0, ""), "end of the server's direction")
        await (await peer.open("/wt/echo")).alive()


async def refused_origin(server: Server) -> None:
    async with connected(server) as peer:
        equal(await status(peer, "/wt/private", "https://elsewhere.example"), "403", "status")


async def allowed_origin(server: Server) -> None:
    async with connected(server) as peer:
        await (await peer.open("/wt/private", [(b"origin", b"https://allowed.example")])).alive()


async def wrong_path(server: Server) -> None:
    async with connected(server) as peer:
        equal(await status(peer, "/wt/there-is-no-such-route"), "404", "status")
        await (await peer.open("/wt/echo")).alive()


async def drain(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/drain")
        await session.alive()
        await exchange(session, [b"a datagram"])


async def draining_is_told(server: Server) -> None:
    async with connected(server) as peer:
        session, other = await peer.open("/wt/drain"), await peer.open("/wt/echo")
        await peer.until(lambda: (DRAIN_SESSION, b"") in session.capsules())
        await other.alive()
        equal(other.capsules(), [], "capsules of a session that is not drained")


async def two_sessions_keep_theirs_apart(server: Server) -> None:
    async with connected(server) as peer:
        sessions = [await peer.open("/wt/echo"), await peer.open("/wt/echo")]
        for session in sessions:
            await exchange(session, [f"{session.id} {number}".encode() for number in range(20)])
        await asyncio.gather(*(session.echo(pattern(50_000 + session.id)) for session in sessions))
        sessions[0].say(b"", end=True)
        await sessions[0].closed()
        await sessions[1].alive()


async def requests_and_sessions_share_the_connection(server: Server) -> None:
    async with connected(server) as peer:
        session = await peer.open("/wt/echo")
        stream = await session.started()
        for _ in range(3):
            request = peer._quic.get_next_available_stream_id()
            head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"/")]
            peer.http.send_headers(request, head, end_stream=True)
            peer.transmit()
            equal(await session.read(request), b"Hello, HTTP/3!\n", "answer")
        peer.write(stream, b"", end=True)
        equal(await session.read(stream), b"abc", "echo")


async def certificate_by_hash(_: Server) -> None:
    raise Skip("aioquic has no certificate hashes")


async def subprotocol(server: Server) -> None:
    offers = [
        ('"unheard-of", "echo-v1", "echo-v2"', '"echo-v1"'),
        ('"echo-v2"', '"echo-v2"'),
        # Tokens, as in drafts 10 to 12.
        ("unheard-of, echo-v2, echo-v1", '"echo-v2"'),
        ('"unheard-of"', None),
    ]
    async with connected(server) as peer:
        for offered, chosen in offers:
            session = await peer.open("/wt/echo", [(b"wt-available-protocols", offered.encode())])
            equal(peer.fields[session.id].get("wt-protocol"), chosen, f"of {offered}")
            await session.alive()


async def exchange(session: Session, datagrams: list[bytes]) -> None:
    """Waits until each has come back. A few are under way at a time: all queues between are bounded."""
    received = session.peer.datagrams[session.id]
    for start in range(0, len(datagrams), DATAGRAMS_AT_ONCE):
        sent = datagrams[start : start + DATAGRAMS_AT_ONCE]
        for datagram in sent:
            session.send_datagram(datagram)
        await session.peer.until(lambda: len(received) >= start + len(sent))
    check(Counter(received) == Counter(datagrams), "other datagrams came back than were sent")


async def status(peer: Peer, path: str, origin: str | None = None) -> str:
    """How the server answers one who asks for a session."""
    await peer.settings()
    stream = peer.reserve()
    peer.request(stream, path, [(b"origin", origin.encode())] if origin else [])
    return (await peer.answer(stream))[":status"]


CASES: list[Case] = [
    ready,
    datagrams_200_of_200_arrive,
    datagrams_of_every_size_arrive,
    bidi_echo_of_1_mib_has_its_hash,
    uni_comes_back_on_a_new_uni,
    empty_streams_come_back,
    sixteen_streams_at_once_each_way,
    streams_of_the_server,
    reset_by_the_server,
    reset_by_the_client,
    stop_by_the_server,
    stop_by_the_client,
    close_by_the_server,
    close_by_the_client,
    refused_origin,
    allowed_origin,
    wrong_path,
    drain,
    draining_is_told,
    two_sessions_keep_theirs_apart,
    requests_and_sessions_share_the_connection,
    certificate_by_hash,
    subprotocol,
]


async def run(report: Report, server: Server) -> None:
    for case in CASES:
        await report.case(case.__name__, lambda case=case: case(server))
    await report.case("server_saw_the_close", lambda: saw_close(server))
    for case in webtransport_faults.CASES:
        await report.case(case.__name__, lambda case=case: case(server))

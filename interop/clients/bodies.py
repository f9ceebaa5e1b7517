"""Bodies of a gibibyte, both ways and by three clients: they arrive whole, and the server holds none of them.

LORRAINE_FULL=1 asks for all of it; without it the bodies are shorter.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from .aio import AioquicClient
from .curl import CurlClient
from .http import Client, Request, RequestFailed
from .report import Report, check, equal
from .server import Server

MIB = 1 << 20
FULL = os.environ.get("LORRAINE_FULL") == "1"
SIZE = 1024 * MIB if FULL else 256 * MIB
# aioquic takes a millisecond of processor time for a few packets.
AIOQUIC_SIZE = 1024 * MIB if FULL else 32 * MIB
SECONDS = 3_000 if FULL else 300
# What the server may hold beyond what it holds at rest.
BOUND = 64 * MIB


async def run(report: Report, server: Server) -> None:
    idle = memory(server, "VmRSS")

    async def case(name: str, size: int, transfer: Callable[[int], Awaitable[None]]) -> None:
        async def measured() -> None:
            began = time.monotonic()
            await transfer(size)
            seconds, peak = time.monotonic() - began, memory(server, "VmHWM")
            print(f"     {name}: {size // MIB} MiB in {seconds:.1f} s, {size / MIB / seconds:.0f} MiB/s", flush=True)
            if idle is not None and peak is not None:
                print(f"     {name}: the server held {idle // 1024} KiB at rest, {peak // 1024} KiB at most", flush=True)
                check(peak < idle + BOUND, f"the server held {peak} bytes, at rest {idle}")

        await report.case(name, measured, SECONDS)

    await case("lorraine_get_downloads", SIZE, lambda size: lorraine_down(server, size))
    await case("lorraine_get_uploads", SIZE, lambda size: lorraine_up(server, size))
    for name, client, size in [
        ("curl", CurlClient(server.port), SIZE),
        ("aioquic", AioquicClient(server.port), AIOQUIC_SIZE),
    ]:
        await case(f"{name}_downloads", size, lambda size, client=client: down(client, size))
        await case(f"{name}_uploads", size, lambda size, client=client: up(client, size))
        await client.close()
    await report.case("bodies_of_another_length_than_declared_are_refused", lambda: belied(server))


def memory(server: Server, name: str) -> int | None:
    """A line of /proc/PID/status in bytes, where the system has it."""
    try:
        lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


# --- Any client -----------------------------------------------------------------------------------------------------


async def down(client: Client, size: int) -> None:
    await client.revive()
    received = Tally()
    response = await client.fetch(Request(f"/download/{size}", sink=received.take))
    equal(response.status, 200, "status")
    equal(received.size, size, "length")
    equal(response.trailer("x-sha256"), received.hash.hexdigest(), "x-sha256")


async def up(client: Client, size: int) -> None:
    await client.revive()
    source = Pattern(size)
    response = await client.fetch(Request("/upload", method="POST", body=source))
    equal(response.status, 200, "status")
    equal(json.loads(response.body), {"bytes": size, "sha256": source.sent.hash.hexdigest()}, "what the server counted")


async def belied(server: Server) -> None:
    client = AioquicClient(server.port)
    await client.revive()
    for declared in ["3", "5"]:
        request = Request("/upload", method="POST", headers={"content-length": declared}, body=b"four")
        try:
            response = await client.fetch(request)
        except RequestFailed as failure:
            check("H3_MESSAGE_ERROR" in str(failure), f"with {declared} declared: {failure}")
        else:
            raise AssertionError(f"with {declared} declared: {response.status}")
    equal((await client.fetch(Request("/"))).status, 200, "status of the next request")
    await client.close()


class Tally:
    """Counts and hashes what passes."""

    def __init__(self) -> None:
        self.size = 0
        self.hash = hashlib.sha256()

    def take(self, data: bytes) -> None:
        self.size += len(data)
        self.hash.update(data)


class Pattern:
    """Bytes that are made as they are read: one block again and again, each time from another place on."""

    def __init__(self, size: int) -> None:
        self.sent = Tally()
        self._size = size
        self._block = os.urandom(MIB)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int) -> bytes:
        start = self.sent.size * 31 % MIB
        data = self._block[start : start + min(size, self._size - self.sent.size)]
        self.sent.take(data)
        return data


# --- `lorraine get` ---------------------------------------------------------------------------------------------------


async def lorraine_down(server: Server, size: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        heads, received = Path(scratch) / "heads", Tally()
        await lorraine_get(server, received, "-D", str(heads), url(server, f"/download/{size}"))
        equal(received.size, size, "length")
        check(f"x-sha256: {received.hash.hexdigest()}\n" in heads.read_text(), "the hash is another one")


async def lorraine_up(server: Server, size: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        file, source, answer = Path(scratch) / "data", Pattern(size), bytearray()
        with file.open("wb") as data:
            while chunk := source.read(MIB):
                data.write(chunk)
        await lorraine_get(server, answer, "-d", f"@{file}", url(server, "/upload"))
        equal(json.loads(answer), {"bytes": size, "sha256": source.sent.hash.hexdigest()}, "what the server counted")


async def lorraine_get(server: Server, output: Tally | bytearray, *arguments: str) -> None:
    """Runs it to its end and hands on what it writes."""
    take = output.take if isinstance(output, Tally) else output.extend
    command = [server.program, "get", "--insecure", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=4 * MIB
    )
    try:
        while data := await process.stdout.read(MIB):
            take(data)
        equal(await process.wait(), 0, "the exit code of lorraine get")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def url(server: Server, path: str) -> str:
    return f"https://127.0.0.1:{server.port}{path}"

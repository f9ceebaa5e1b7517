"""Servers and load generators as processes, and what the kernel says of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers" / "target" / "release"

START_SECONDS = 20
LOAD_SECONDS = 300
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
SETTLE_SECONDS = 2
"""How long connections have been idle when memory is read: acknowledgements and timers of the handshake are over."""


@dataclass
class Settings:
    """How processes are run."""

    peers: Path = PEERS
    realtime: bool = False

    def pinned(self, core: int) -> list[str]:
        """A command prefix that keeps a process on one core, and ahead of other work where that was asked for."""
        prefix = ["chrt", "--rr", "20"] if self.realtime else []
        if shutil.which("taskset") and (os.cpu_count() or 1) > 1:
            prefix += ["taskset", "--cpu-list", str(core)]
        return prefix


class Watched:
    """A process whose CPU time and memory can be read."""

    def __init__(self, name: str, url: str, pid: int | None) -> None:
        self.name, self.url, self.pid = name, url, pid

    def cpu_seconds(self) -> float:
        """Processor time of all threads so far. A thread that has ended is forgotten: servers keep theirs."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


class Server(Watched):
    """A peer that runs until `stop`, pinned to the first core where the system can."""

    def __init__(self, name: str, certificate: list[str], settings: Settings) -> None:
        command = [str(settings.peers / f"peer-{name}"), "--listen", "127.0.0.1:0", *certificate]
        self._process = subprocess.Popen(
            [*settings.pinned(0), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        super().__init__(name, "", self._process.pid)
        self.url = f"https://127.0.0.1:{self._port()}"

    def _port(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        for line in self._process.stdout:
            if found := re.search(r"https://[^ ]+:(\d+)", line):
                return int(found.group(1))
            if time.monotonic() > deadline:
                break
        sys.exit(f"{self.name} does not say where it listens")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Outcome:
    """What a load generator told, and the CPU time of the server meanwhile."""

    told: dict[str, float]
    cpu_seconds: float | None


def run(program: str, arguments: list[str], server: Watched, what: str, settings: Settings) -> Outcome | None:
    """One run of a load generator, or None when the load was not served."""
    command = [*settings.pinned(1), str(settings.peers / program), "--paced", *arguments]
    with subprocess.Popen(command, text=True, **PIPES) as load:
        # It waits when it is connected, and again before it takes leave, so that neither moment is missed.
        load.stdout.readline()
        before = server.cpu_seconds() if server.pid else None
        with contextlib.suppress(BrokenPipeError):
            load.stdin.write("\n")
            load.stdin.flush()
        last = load.stdout.readline()
        spent = server.cpu_seconds() - before if server.pid else None
        complaints = _end(load, server, what)
    if complaints is None or load.returncode != 0 or not last:
        print(f"  {server.name}, {what}: {(complaints or 'not done').strip()[:300]}", file=sys.stderr)
        return None
    return Outcome(json.loads(last), spent)


def idle(arguments: list[str], connections: int, server: Watched, what: str, settings: Settings) -> float | None:
    """KiB of resident memory that one more idle connection takes, or None when they were not served."""
    url = f"{server.url}/"
    # What is made once, for the first connection, is not what a connection takes.
    if run("peer-load", [url], server, what, settings) is None:
        return None
    before = server.resident_kib()
    command = [*settings.pinned(1), str(settings.peers / "peer-load"), url, *arguments]
    with subprocess.Popen(command, text=True, **PIPES) as load:
        is_connected = load.stdout.readline().strip() == "connected"
        time.sleep(SETTLE_SECONDS)
        after = server.resident_kib()
        complaints = _end(load, server, what)
    if not is_connected:
        print(f"  {server.name}, {what}: {(complaints or 'not done').strip()[:300]}", file=sys.stderr)
        return None
    return (after - before) / connections


def _end(load: subprocess.Popen[str], server: Watched, what: str) -> str | None:
    """Lets a load generator end; its complaints, or None when it does not."""
    try:
        return load.communicate(timeout=LOAD_SECONDS)[1]
    except subprocess.TimeoutExpired:
        load.kill()
        print(f"  {server.name}, {what}: not done after {LOAD_SECONDS} s", file=sys.stderr)
        return None

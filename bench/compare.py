#!/usr/bin/env python3
"""Measures Lorraine beside other HTTP/3 servers with one load generator, and prints a table.

The load generator is built on quinn and h3 (bench/peers/load): it is the own client of none of the quiche servers, and
like browsers it puts several streams' frames into a packet. A connection and its first request come before the measure.

Every server runs on one core and the load generator on another. The servers take turns within a round, and the median
of the rounds counts. Server CPU per request is the figure that other work on the machine moves least; compare it
within one table, never with one of another day.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "interop"))

from clients.server import Certificate  # noqa: E402 - found only with the path above

PEERS = ROOT / "bench" / "peers" / "target" / "release"

START_SECONDS = 20
LOAD_SECONDS = 300
MIB = 1 << 20
REALTIME = False


@dataclass
class Load:
    """Something to ask of a server. `unit` is what its CPU time is divided by."""

    name: str
    path: str
    connections: int
    streams: int
    requests: int
    body: int = 0
    upload: int = 0

    def cost(self, cpu_seconds: float, requests: int) -> float:
        """Microseconds a request, or seconds a gigabyte where bytes are what counts."""
        size = (self.body + self.upload) * requests
        return cpu_seconds * 1e9 / size if size else cpu_seconds * 1e6 / requests

    @property
    def unit(self) -> str:
        return "s/GB" if self.body or self.upload else "us"


LOADS = [
    Load("small, 1 x 1", "/", 1, 1, 20_000),
    Load("small, 10 x 10", "/", 10, 10, 200_000),
    Load("small, 100 x 10", "/", 100, 10, 200_000),
    Load("download 100 MiB, 1 x 1", f"/download/{100 * MIB}", 1, 1, 5, body=100 * MIB),
    Load("download 1 MiB, 10 x 4", f"/download/{MIB}", 10, 4, 500, body=MIB),
    Load("upload 1 MiB, 10 x 4", "/upload", 10, 4, 500, upload=MIB),
]


class Server:
    """A running server, pinned to the first core where the system can."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [*pinned(0), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.port = self._port()

    def _port(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        for line in self._process.stdout:
            if found := re.search(r"https://[^ ]+:(\d+)", line):
                return int(found.group(1))
            if time.monotonic() > deadline:
                break
        sys.exit(f"{self.name} does not say where it listens")

    def cpu_seconds(self) -> float:
        """Processor time of all threads so far."""
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def pinned(core: int) -> list[str]:
    """A command prefix that keeps a process on one core, and ahead of other work where --realtime asks for it."""
    prefix = ["chrt", "--rr", "20"] if REALTIME else []
    if shutil.which("taskset") and (os.cpu_count() or 1) > 1:
        prefix += ["taskset", "--cpu-list", str(core)]
    return prefix


def start(name: str, certificate: list[str], folder: str) -> Server:
    # Lorraine's server is one of the peers here: the same routes by its public API, the same bytes.
    return Server(name, [str(PEERS / f"peer-{name}"), "--listen", "127.0.0.1:0", *certificate])


def measure(server: Server, load: Load, share: float) -> float | None:
    """Cost of the load on this server, or None when the load was not served."""
    requests = max(int(load.requests * share), 1)
    command = [str(PEERS / "peer-load"), f"https://127.0.0.1:{server.port}{load.path}"]
    command += ["-c", str(load.connections), "-m", str(load.streams), "-n", str(requests)]
    if load.upload:
        command += ["--upload", str(load.upload)]
    with subprocess.Popen([*pinned(1), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()  # It says when it is connected.
        before = server.cpu_seconds()
        try:
            _, complaints = run.communicate(timeout=LOAD_SECONDS)
        except subprocess.TimeoutExpired:
            run.kill()
            print(f"  {server.name}, {load.name}: not done after {LOAD_SECONDS} s", file=sys.stderr)
            return None
        spent = server.cpu_seconds() - before
    if run.returncode != 0:
        print(f"  {server.name}, {load.name}: {complaints.strip()[:300]}", file=sys.stderr)
        return None
    return load.cost(spent, requests)


def compare(names: list[str], rounds: int, share: float) -> dict[tuple[str, str], list[float]]:
    """Costs by load and server, one for each round in which the load was served."""
    costs: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="lorraine-bench-") as folder:
        made = Certificate(Path(folder))
        certificate = ["--cert", str(made.cert), "--key", str(made.key)]
        for number in range(rounds):
            for load in LOADS:
                for name in names:
                    # A new process each time: what one load leaves behind must not weigh on the next.
                    server = start(name, certificate, folder)
                    cost = measure(server, load, share)
                    server.stop()
                    if cost is not None:
                        costs.setdefault((load.name, name), []).append(cost)
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return costs


def table(names: list[str], costs: dict[tuple[str, str], list[float]]) -> str:
    """Medians as a Markdown table."""
    lines = ["| server CPU | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    for load in LOADS:
        cells = [f"{load.name}, {load.unit}"]
        for name in names:
            found = costs.get((load.name, name))
            cells.append(f"{statistics.median(found):.3g}" if found else "failed")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", default="lorraine,tokio-quiche,quinn-h3", help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of each load's requests, for a quick look")
    parser.add_argument("--realtime", action="store_true", help="ahead of all other work; needs root")
    arguments = parser.parse_args()
    global REALTIME
    REALTIME = arguments.realtime
    names = arguments.servers.split(",")
    print(table(names, compare(names, arguments.rounds, arguments.share)))


if __name__ == "__main__":
    main()

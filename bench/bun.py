#!/usr/bin/env python3
"""Measures Lorraine's Bun package beside `Bun.serve({ http3: true })` with one load generator, and prints a table.

What counts is the CPU time of the whole process, native threads and JavaScript, for a request: 10 connections with 32
requests each, in a closed loop. Each server runs on one core and the load generator on another; the servers take turns, a
new process for each load, and the median of the rounds counts. Compare figures within one table only.

It needs what `make bun` and `scripts/bench` build.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import processes
from processes import ROOT, Settings, Watched

sys.path.insert(0, str(ROOT / "interop"))

from clients.server import Certificate  # noqa: E402 - found only with the path above

BUN = ROOT / "bun" / "node_modules" / ".bin" / "bun"


@dataclass
class Row:
    """One line of the table: what each server is asked for, if it has it."""

    name: str
    lorraine: str
    bun: str | None
    requests: int = 100_000


ROWS = [
    Row("static route", "/static", "/static"),
    Row("handler", "/dynamic/7", "/dynamic/7"),
    Row("async handler", "/async/7", "/async/7"),
    Row("handler, the package's own `Response`", "/own/7", None),
    Row("handler that returns a string", "/text/7", None),
]
CONNECTIONS, STREAMS = 10, 32
DATAGRAMS = 200_000


class Script(Watched):
    """A server in TypeScript, on the first core."""

    def __init__(self, name: str, certificate: list[str], settings: Settings) -> None:
        command = [*settings.pinned(0), str(BUN), str(ROOT / "bench" / "bun" / f"{name}.ts"), *certificate]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        said = self._process.stdout.readline()
        found = re.search(r"https://\S+", said)
        if found is None:
            sys.exit(f"{name} does not say where it listens: {said!r}")
        super().__init__(name, found.group(0), self._process.pid)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def requests(name: str, path: str, count: int, certificate: list[str], settings: Settings) -> float | None:
    """Microseconds of CPU for a request."""
    server = Script(name, certificate, settings)
    try:
        # The first tenth is not counted: JavaScript is compiled as it runs.
        warm = ["-c", "2", "-m", str(STREAMS), "-n", str(count // 10), f"{server.url}{path}"]
        if processes.run("peer-load", warm, server, path, settings) is None:
            return None
        arguments = ["-c", str(CONNECTIONS), "-m", str(STREAMS), "-n", str(count), f"{server.url}{path}"]
        outcome = processes.run("peer-load", arguments, server, path, settings)
        return None if outcome is None else outcome.cpu_seconds / count * 1e6
    finally:
        server.stop()


def datagrams(certificate: list[str], settings: Settings) -> float | None:
    """Datagrams echoed by a JavaScript handler for a second of CPU."""
    server = Script("lorraine", certificate, settings)
    try:
        arguments = ["datagrams", f"{server.url}/echo", "-c", str(CONNECTIONS), "-m", str(STREAMS)]
        arguments += ["-n", str(DATAGRAMS), "--bytes", "100"]
        outcome = processes.run("peer-wt-load", arguments, server, "datagrams", settings)
        return None if outcome is None else DATAGRAMS / outcome.cpu_seconds
    finally:
        server.stop()


def told(found: list[float]) -> str:
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})" if found else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--realtime", action="store_true", help="ahead of other work on the machine (needs root)")
    parser.add_argument("--peers", type=Path, default=processes.PEERS, help="where the load generators are")
    arguments = parser.parse_args()
    settings = Settings(peers=arguments.peers.resolve(), realtime=arguments.realtime)
    costs: dict[tuple[str, str], list[float]] = {}
    echoes: list[float] = []
    with tempfile.TemporaryDirectory(prefix="lorraine-bench-") as folder:
        made = Certificate(Path(folder))
        certificate = [str(made.cert), str(made.key)]
        for number in range(arguments.rounds):
            for row in ROWS:
                asked = [("lorraine", row.lorraine), ("bun", row.bun)]
                for name, path in asked if number % 2 == 0 else reversed(asked):
                    cost = requests(name, path, row.requests, certificate, settings) if path else None
                    if cost is not None:
                        costs.setdefault((row.name, name), []).append(cost)
            if (rate := datagrams(certificate, settings)) is not None:
                echoes.append(rate)
            print(f"round {number + 1} of {arguments.rounds} done", file=sys.stderr)
    print("| CPU of a request, us | lorraine | Bun.serve, http3 | ratio |\n|---|--:|--:|--:|")
    for row in ROWS:
        own, other = costs.get((row.name, "lorraine"), []), costs.get((row.name, "bun"), [])
        ratio = f"{statistics.median(own) / statistics.median(other):.2f}" if own and other else "-"
        print(f"| {row.name} | {told(own)} | {told(other)} | {ratio} |")
    if echoes:
        print(f"\nDatagrams echoed by a handler: {statistics.median(echoes):,.0f} for a second of CPU.")


if __name__ == "__main__":
    main()

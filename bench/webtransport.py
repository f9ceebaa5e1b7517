#!/usr/bin/env python3
"""Measures WebTransport echoes of Lorraine beside wtransport with one load generator, and prints a table.

The load generator is built on web-transport-quinn (bench/peers/wt-load): the own client of neither server. A closed loop
keeps a fixed number of datagrams or streams under way on each session; sessions and their first stream come before the
measure. A datagram that does not come back is sent again, and not counted before it does.

Every server runs on one core and the load generator on another. The servers take turns within a round, and the median
of the rounds counts. The figure is echoes a second of the server's CPU time; compare it within one table only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import processes
from processes import ROOT, Server, Settings

sys.path.insert(0, str(ROOT / "interop"))

from clients.server import Certificate  # noqa: E402 - found only with the path above


@dataclass
class Load:
    """Echoes to ask of a server."""

    name: str
    what: str
    sessions: int
    at_once: int
    echoes: int


LOADS = [
    Load("datagrams, 1 x 32", "datagrams", 1, 32, 400_000),
    Load("datagrams, 10 x 32", "datagrams", 10, 32, 400_000),
    Load("streams, 1 x 16", "streams", 1, 16, 100_000),
    Load("streams, 10 x 16", "streams", 10, 16, 100_000),
    Load("streams, 100 x 1", "streams", 100, 1, 50_000),
]
PAYLOAD_BYTES = 100


def measure(server: Server, load: Load, share: float, settings: Settings) -> float | None:
    """Echoes a second of the server's CPU time, or None when the load was not served."""
    echoes = max(int(load.echoes * share), 1)
    arguments = [load.what, f"{server.url}/wt/echo", "-c", str(load.sessions), "-m", str(load.at_once)]
    arguments += ["-n", str(echoes), "--bytes", str(PAYLOAD_BYTES)]
    outcome = processes.run("peer-wt-load", arguments, server, load.name, settings)
    if outcome is None:
        return None
    rate = echoes / outcome.told["seconds"]
    print(f"  {server.name}, {load.name}: {rate:,.0f} a second, {outcome.cpu_seconds:.2f} s of CPU", file=sys.stderr)
    return echoes / outcome.cpu_seconds


def run(names: list[str], rounds: int, share: float, settings: Settings) -> dict[tuple[str, str], list[float]]:
    """Rates by load and server, one for each round in which the load was served."""
    rates: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="lorraine-bench-") as folder:
        made = Certificate(Path(folder))
        certificate = ["--cert", str(made.cert), "--key", str(made.key)]
        for number in range(rounds):
            for load in LOADS:
                # Who goes first alternates, so that a machine that warms up or slows down favours none.
                for name in names if number % 2 == 0 else reversed(names):
                    # A new process each time: what one load leaves behind must not weigh on the next.
                    server = Server(name, certificate, settings)
                    rate = measure(server, load, share, settings)
                    server.stop()
                    if rate is not None:
                        rates.setdefault((load.name, name), []).append(rate)
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return rates


def table(names: list[str], rates: dict[tuple[str, str], list[float]]) -> str:
    """Medians as a Markdown table; with two servers also how many times as many the first does."""
    ratio = len(names) == 2
    lines = ["| echoes a CPU second | " + " | ".join(names) + (" | ratio |" if ratio else " |")]
    lines.append("|---|" + "--:|" * (len(names) + ratio))
    for load in LOADS:
        medians = [statistics.median(found) if (found := rates.get((load.name, name))) else None for name in names]
        cells = [load.name, *(f"{median:,.0f}" if median else "failed" for median in medians)]
        if ratio:
            cells.append(f"{medians[0] / medians[1]:.2f}" if all(medians) else "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", default="lorraine,wtransport", help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of each load's echoes, for a quick look")
    parser.add_argument("--realtime", action="store_true", help="ahead of all other work; needs root")
    parser.add_argument("--peers", type=Path, default=processes.PEERS, help="where the programs are")
    arguments = parser.parse_args()
    settings = Settings(arguments.peers, arguments.realtime)
    names = arguments.servers.split(",")
    print(table(names, run(names, arguments.rounds, arguments.share, settings)))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures Lorraine beside other HTTP/3 servers with one load generator: a table, and bars.

The load generator is built on quinn and h3 (bench/peers/load): it is the own client of none of the quiche servers, and
like browsers it puts several streams' frames into a packet. A connection and its first request come before the measure,
except where handshakes are the measure.

Every server runs on one core and the load generator on another. The servers take turns within a round, who is first
changes with the round, and the median of the rounds counts. Server CPU per request is the figure that other work on the
machine moves least; compare it within one table, never with one of another day.

    scripts/bench                                     builds all of it, then all loads, five rounds
    scripts/bench --rounds 1 --share 0.1              a quick look
    scripts/bench --loads handshake,memory            only the loads with these words in their names
    scripts/bench --realtime --name 2026-11-25        ahead of other work on the machine, kept in bench/results
    scripts/bench --target https://localhost:4433/    the load alone, on a server that runs already

With --target the figures are what the client sees: requests a second, the median and the 99th percentile of the time
that a request takes, bytes a second; and with --pid also the server's CPU time for each. The client has one core: where
it is the one that is busy, requests a second say what the client can do.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import processes
import report
from loads import Load, chosen, of_target
from processes import ROOT, Server, Settings, Watched

sys.path.insert(0, str(ROOT / "interop"))


def measure(server: Watched, load: Load, share: float, settings: Settings) -> float | None:
    """Cost of the load on this server, or None when the load was not served."""
    count = load.scaled(share)
    if load.kind == "idle":
        return processes.idle(load.arguments(share), count, server, load.name, settings)
    arguments = [f"{server.url}{load.path}", *load.arguments(share)]
    outcome = processes.run("peer-load", arguments, server, load.name, settings)
    return load.cost(outcome.cpu_seconds, count) if outcome else None


def compare(loads: list[Load], arguments: argparse.Namespace, settings: Settings) -> report.Costs:
    """Costs by load and server, one for each round in which the load was served."""
    from clients.server import Certificate  # Found only with the path above, and not needed for --target.

    names = arguments.servers.split(",")
    costs: report.Costs = {}
    with tempfile.TemporaryDirectory(prefix="lorraine-bench-") as folder:
        made = Certificate(Path(folder))
        certificate = ["--cert", str(made.cert), "--key", str(made.key)]
        for number in range(arguments.rounds):
            first = number % len(names)
            for load in loads:
                # Who goes first changes, so that a machine that warms up or slows down favours none.
                for name in names[first:] + names[:first]:
                    # A new process each time: what one load leaves behind must not weigh on the next.
                    server = Server(name, certificate, settings)
                    cost = measure(server, load, arguments.share, settings)
                    server.stop()
                    if cost is not None:
                        costs.setdefault((load.name, name), []).append(cost)
            print(f"round {number + 1} of {arguments.rounds} done", file=sys.stderr)
            write(loads, names, costs, arguments)
    return costs


def write(loads: list[Load], names: list[str], costs: report.Costs, arguments: argparse.Namespace) -> None:
    """The table and the bars of the rounds so far."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    for ending, content in (
        ("md", report.table(loads, names, costs) + "\n"),
        ("svg", report.plot(loads, names, costs)),
    ):
        (arguments.output / f"{arguments.name}.{ending}").write_text(content)


def look_at(target: str, arguments: argparse.Namespace, settings: Settings) -> str:
    """The table of a server that runs already."""
    url = urlsplit(target)
    if url.scheme != "https" or not url.hostname:
        sys.exit(f"{target} is no URL of an HTTP/3 server: https://HOST:PORT/PATH is")
    server = Watched(target, f"{url.scheme}://{url.netloc}", arguments.pid)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    rows = []
    for load in of_target(path):
        seen: dict[str, list[float]] = {}
        for _ in range(arguments.rounds):
            command = [f"{server.url}{load.path}", *load.arguments(arguments.share)]
            outcome = processes.run("peer-load", command, server, load.name, settings)
            if outcome is None:
                continue
            told = outcome.told
            figures = {"p50_us": told["p50_us"], "p99_us": told["p99_us"]}
            figures |= {"rate": told["done"] / told["seconds"], "bytes_rate": told["bytes"] / told["seconds"]}
            if outcome.cpu_seconds is not None:
                figures["cpu_us"] = outcome.cpu_seconds * 1e6 / told["done"]
            for key, value in figures.items():
                seen.setdefault(key, []).append(value)
        if seen:
            rows.append((load.name, {key: statistics.median(values) for key, values in seen.items()}))
    return report.told_table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--servers", default="lorraine,tokio-quiche,quinn-h3", help="names, by commas; goals are the first one's"
    )
    parser.add_argument("--loads", default="", metavar="WORDS", help="only loads with one of these in their names")
    parser.add_argument("--rounds", type=int, default=5, help="the median of them counts (%(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="of each load's requests, for a quick look")
    parser.add_argument("--realtime", action="store_true", help="ahead of all other work (chrt --rr); needs root")
    parser.add_argument("--peers", type=Path, default=processes.PEERS, help="where the programs are")
    parser.add_argument("--target", metavar="URL", help="load this running server, and start none")
    parser.add_argument("--pid", type=int, help="the process of --target, for its CPU time; on this machine")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "bench" / "results", help="folder for table and bars (bench/results)"
    )
    parser.add_argument("--name", default="latest", help="of the two files in it (%(default)s); `today` is the date")
    arguments = parser.parse_args()
    if arguments.name == "today":
        arguments.name = datetime.date.today().isoformat()
    settings = Settings(arguments.peers, arguments.realtime)
    if arguments.target:
        print(look_at(arguments.target, arguments, settings))
        return
    loads = chosen(arguments.loads)
    if not loads:
        parser.error(f"no load has {arguments.loads!r} in its name")
    print(report.table(loads, arguments.servers.split(","), compare(loads, arguments, settings)))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures what one more worker adds: one core with one worker, then two cores with two.

Each core has a worker and a load generator of its own (bench/peers/load), so that the machine is as full with two as
with one and batches are as long: a worker that waits for its client answers sooner, in shorter batches, and pays more
for each request, which would count for the workers that share a machine with more of them. Twice the cores, the
workers and the load would at best do twice as much.

Two figures: requests a second of all, which holds whatever sharing costs server and client; and the same from CPU time
alone. A worker does 1 / t requests a second when each costs it t seconds of CPU; of several the busiest comes to its
end first, so that together they serve 1 / b, where b is the CPU time of the busiest divided by the requests of all.
Clients fall on workers at random, so that the more connections there are, the nearer both come to what is possible.

    cargo build --release --package lorraine-cli
    bench/workers.py target/release/lorraine

The two take turns, who is first alternates, and the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import processes
from processes import PIPES, Settings

READY = re.compile(r"https://\S+:(\d+) \(HTTP/3")


def measure(args: argparse.Namespace, workers: int) -> dict[str, float]:
    """One load on a fresh server."""
    cores = ["taskset", "--cpu-list", f"0-{workers - 1}"]
    command = [args.program, "demo", "--listen", "127.0.0.1:0", "--workers", str(workers), "--stop-timeout", "0"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*ahead(args), *cores, *command], text=True, **pipes) as server:
        try:
            # Reads no further: what else it says fits into the pipe.
            ready = next(filter(None, map(READY.search, server.stdout)), None)
            if ready is None:
                sys.exit(f"{args.program} does not start")
            return load(args, f"https://127.0.0.1:{ready[1]}{args.path}", server.pid, workers)
        finally:
            server.terminate()


def load(args: argparse.Namespace, url: str, pid: int, workers: int) -> dict[str, float]:
    """As many load generators as there are workers, all at once."""
    settings = Settings(args.peers, args.realtime)
    options = ["--paced", "-c", str(args.connections), "-m", str(args.streams), "-n", str(args.requests)]
    loads = [
        subprocess.Popen([*settings.pinned(core), str(args.peers / "peer-load"), url, *options], text=True, **PIPES)
        for core in range(workers)
    ]
    for one in loads:
        one.stdout.readline()
    before = thread_times(pid)
    for one in loads:
        one.stdin.write("\n")
        one.stdin.flush()
    told = [one.stdout.readline() for one in loads]
    after = thread_times(pid)
    for one in loads:
        one.communicate()
    if not all(told):
        sys.exit("a load was not served")
    told = [json.loads(line) for line in told]
    requests = sum(one["done"] for one in told)
    spent = [nanoseconds - before.get(thread, 0) for thread, nanoseconds in after.items()]
    return {
        # All of them begin at once, and it is over when the last one is.
        "rate": requests / max(one["seconds"] for one in told),
        "cpu_us": sum(spent) / 1e3 / requests,
        "busiest_us": max(spent) / 1e3 / requests,
    }


def thread_times(pid: int) -> dict[str, int]:
    """Processor time of each thread so far, in nanoseconds."""
    return {task.name: int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()}


def ahead(args: argparse.Namespace) -> list[str]:
    return ["chrt", "--rr", "20"] if args.realtime else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program lorraine, built as a release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--realtime", action="store_true", help="ahead of all other work (chrt --rr); needs root")
    parser.add_argument("--peers", type=Path, default=processes.PEERS, help="where the load generator is")
    parser.add_argument("--path", default="/")
    parser.add_argument("-n", "--requests", type=int, default=200_000, help="of each load generator (%(default)s)")
    parser.add_argument("-c", "--connections", type=int, default=100, help="of each load generator (%(default)s)")
    parser.add_argument("-m", "--streams", type=int, default=10, help="requests at once on each (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="compared with one; as many cores are needed")
    args = parser.parse_args()

    counts = (1, args.workers)
    rounds = {workers: [] for workers in counts}
    for number in range(args.rounds):
        for workers in counts if number % 2 == 0 else counts[::-1]:
            rounds[workers].append(measure(args, workers))
    print(f"{args.connections} x {args.streams} and {args.requests} requests a core, median of {args.rounds} rounds\n")
    print("| cores and workers | requests/s | server CPU, us a request | of it the busiest |")
    print("|--:|--:|--:|--:|")
    for workers in counts:
        rate, cpu, busiest = (
            statistics.median(done[key] for done in rounds[workers]) for key in ("rate", "cpu_us", "busiest_us")
        )
        print(f"| {workers} | {rate:,.0f} | {cpu:.2f} | {busiest:.2f} |")
    pairs = list(zip(rounds[1], rounds[args.workers], strict=True))
    for what, times in (
        ("requests a second", [many["rate"] / one["rate"] for one, many in pairs]),
        ("CPU of the busiest", [one["busiest_us"] / many["busiest_us"] for one, many in pairs]),
    ):
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"\n{args.workers} do {statistics.median(times):.2f} times what one does by {what} ({spread})")


if __name__ == "__main__":
    main()

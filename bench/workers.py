#!/usr/bin/env python3
"""Measures what one more worker adds: the server's CPU time per request with 1 worker and with 2.

A worker does 1 / t requests a second when each costs it t seconds of CPU. Of several workers the busiest comes to its
end first, so that together they serve 1 / b, where b is the CPU time of the busiest thread divided by the requests of
all. The ratio of the two is what the workers add, whatever the client takes of the machine meanwhile; it is the
number of workers at best, and less by what sharing costs and by how unevenly clients fall on workers: they fall at
random, so that the more connections there are, the nearer it comes.

    cargo build --release --package lorraine-cli
    bench/workers.py target/release/lorraine

Rounds take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys

READY = re.compile(r"https://\S+:(\d+) \(HTTP/3")


def measure(args: argparse.Namespace, workers: int) -> dict[str, float]:
    """One load on a fresh server."""
    command = [args.program, "demo", "--listen", "127.0.0.1:0", "--workers", str(workers), "--stop-timeout", "0"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as server:
        try:
            # Reads no further: what else it says fits into the pipe.
            ready = next(filter(None, map(READY.search, server.stdout)), None)
            if ready is None:
                sys.exit(f"{args.program} does not start")
            load = [args.program, "bench", f"https://127.0.0.1:{ready[1]}{args.path}", "--json"]
            load += ["--server-pid", str(server.pid), "-n", str(args.requests)]
            load += ["-c", str(args.connections), "-m", str(args.streams)]
            return json.loads(subprocess.run(load, check=True, stdout=subprocess.PIPE, text=True).stdout)
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program lorraine, built as a release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--path", default="/")
    parser.add_argument("-n", "--requests", type=int, default=200_000)
    parser.add_argument("-c", "--connections", type=int, default=400)
    parser.add_argument("-m", "--streams", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2, help="compared with one")
    args = parser.parse_args()

    counts = (1, args.workers)
    rounds = {workers: [] for workers in counts}
    for _ in range(args.rounds):
        for workers in counts:
            rounds[workers].append(measure(args, workers))
    print(f"{args.connections} x {args.streams}, {args.requests} requests, median of {args.rounds}")
    print("| workers | CPU us a request | of it the busiest | requests a CPU-bound second |")
    print("|--:|--:|--:|--:|")
    served = {}
    for workers in counts:
        cpu, busiest = (
            statistics.median(done[key] for done in rounds[workers])
            for key in ("cpu_us_per_request", "busiest_thread_us_per_request")
        )
        served[workers] = 1e6 / busiest
        print(f"| {workers} | {cpu:.2f} | {busiest:.2f} | {served[workers]:.0f} |")
    print(f"\n{args.workers} workers serve {served[args.workers] / served[1]:.2f} times what one does")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures what a download at full speed does to small requests of another client of the same worker.

    cargo build --release --package lorraine-cli
    bench/fairness.py target/release/lorraine

One worker. One connection makes small requests one at a time, first alone and then beside downloads; the 99th percentile
of their times must stay within --limit. The downloading client, the server and the client that is measured do not fit onto
two cores, and a machine with other work adds times of its own: so there are three attempts, and --realtime puts the
server and the measured client ahead of other work (needs root).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys

READY = re.compile(r"https://\S+:(\d+) \(HTTP/3")


def bench(args: argparse.Namespace, port: str, path: str, requests: int, *, ahead: bool) -> subprocess.Popen[str]:
    """A client with one connection and one request at a time."""
    command = ["chrt", "--fifo", "1"] if ahead and args.realtime else []
    command += [args.program, "bench", f"https://127.0.0.1:{port}{path}", "--json"]
    return subprocess.Popen(
        [*command, "-c", "1", "-m", "1", "-n", str(requests)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def small(args: argparse.Namespace, port: str) -> dict[str, float]:
    """Times of small requests."""
    with bench(args, port, "/", args.requests, ahead=True) as client:
        return json.loads(client.communicate()[0])


def attempt(args: argparse.Namespace) -> bool:
    """One comparison on a fresh server; whether the limit is kept."""
    command = ["chrt", "--fifo", "1"] if args.realtime else []
    command += [args.program, "demo", "--listen", "127.0.0.1:0", "--workers", "1", "--stop-timeout", "0"]
    if args.event_loop:
        command += ["--event-loop", args.event_loop]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as server:
        try:
            ready = next(filter(None, map(READY.search, server.stdout)), None)
            if ready is None:
                sys.exit(f"{args.program} does not start")
            alone = small(args, ready[1])
            with bench(args, ready[1], f"/download/{10**12}", 1, ahead=False) as load:
                beside = small(args, ready[1])
                if load.poll() is not None:
                    sys.exit("the download ended before the requests did")
                load.terminate()
        finally:
            server.terminate()
    print(f"alone:  p50 {alone['p50_us']:6} us, p99 {alone['p99_us']:6} us")
    print(f"beside: p50 {beside['p50_us']:6} us, p99 {beside['p99_us']:6} us", flush=True)
    return beside["p99_us"] <= args.limit * 1000


def main() -> None:
    """Attempts until one keeps the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program lorraine, built as a release")
    parser.add_argument("-n", "--requests", type=int, default=5000)
    parser.add_argument("--limit", type=float, default=5, help="milliseconds")
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--event-loop")
    parser.add_argument("--realtime", action="store_true", help="ahead of all other work; needs root")
    args = parser.parse_args()
    if not any(attempt(args) for _ in range(args.attempts)):
        sys.exit(f"the 99th percentile exceeds {args.limit} ms in {args.attempts} attempts")


if __name__ == "__main__":
    main()

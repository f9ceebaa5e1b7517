#!/usr/bin/env python3
"""Runs clients of other HTTP/3 stacks against Lorraine: `interop/run.py [SUITE ...] --bin target/release/lorraine`.

Each suite starts its own server on a free port. One line a case; the last line counts them, and a failed case makes
the exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from clients import (
    aio,
    bodies,
    browser,
    browser_webtransport,
    curl,
    demo,
    ffi,
    files,
    h3spec,
    native,
    quic,
    webtransport,
)
from clients.report import Report
from clients.server import Certificate, Server

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "examples" / "site"

Suite = Callable[[Report, Server], Awaitable[None]]


async def with_curl(report: Report, server: Server) -> None:
    client = curl.CurlClient(server.port)
    await demo.run(report, client, server.folder)
    await client.close()


async def with_aioquic(report: Report, server: Server) -> None:
    client = aio.AioquicClient(server.port)
    await demo.run(report, client, server.folder)
    await client.close()


async def with_h3spec(report: Report, server: Server) -> None:
    await h3spec.run(report, server.port)


async def with_quic(report: Report, server: Server) -> None:
    await quic.run(report, server)


async def with_chromium(report: Report, server: Server) -> None:
    await browser.run(report, server)


async def with_chromium_webtransport(report: Report, server: Server) -> None:
    await browser_webtransport.run(report, server, browser_webtransport.CHROMIUM)


async def with_firefox_webtransport(report: Report, server: Server) -> None:
    await browser_webtransport.run(report, server, browser_webtransport.FIREFOX)


async def with_aioquic_webtransport(report: Report, server: Server) -> None:
    await webtransport.run(report, server)


async def with_wtransport(report: Report, server: Server) -> None:
    await native.run(report, server, "wtransport")


async def with_web_transport_quinn(report: Report, server: Server) -> None:
    await native.run(report, server, "web-transport-quinn")


async def with_webtransport_load(report: Report, server: Server) -> None:
    await native.load(report, server)


async def with_bodies(report: Report, server: Server) -> None:
    await bodies.run(report, server)


async def with_files(report: Report, server: Server) -> None:
    client = aio.AioquicClient(server.port)
    await files.run(report, client, server.folder)
    await client.close()


def site(_: Path) -> Path:
    return SITE


def site_with_large_file(scratch: Path) -> Path:
    return browser.make_folder(scratch, SITE)


# No long wait at the end for a client that has left without a word, as Chromium does, or whose last packet was lost.
SHORT_STOP = ["--stop-timeout", "3"]
# For the suites of browsers: a page to visit, and a log of sessions that ended.
WITH_PAGE = ["--page", "127.0.0.1:0", "-vv"]

# Each suite with the command of `lorraine` that it runs against, and what makes the folder that is served.
SUITES: dict[str, tuple[str, Callable[[Path], Path], Suite]] = {
    "curl": ("demo", site, with_curl),
    "aioquic": ("demo", site, with_aioquic),
    "h3spec": ("demo", site, with_h3spec),
    "quic": ("demo", site, with_quic),
    "bodies": ("demo", site, with_bodies),
    "files": ("serve", files.make_folder, with_files),
    "chromium": ("demo", site_with_large_file, with_chromium),
    "chromium-webtransport": ("demo", site, with_chromium_webtransport),
    "firefox-webtransport": ("demo", site, with_firefox_webtransport),
    "aioquic-webtransport": ("demo", site, with_aioquic_webtransport),
    "wtransport": ("demo", site, with_wtransport),
    "web-transport-quinn": ("demo", site, with_web_transport_quinn),
    "webtransport-load": ("demo", site, with_webtransport_load),
}
# Suites with programs of their own, which need only ours as a client.
OWN: dict[str, Callable[[Report, Path], Awaitable[None]]] = {"ffi": ffi.run}
NAMES = [*SUITES, *OWN]
# More arguments of some.
MORE = {
    "aioquic-webtransport": ["-vv"],
    "chromium-webtransport": WITH_PAGE,
    "firefox-webtransport": WITH_PAGE,
}


async def run_suite(name: str, arguments: argparse.Namespace) -> Report:
    report = Report(name)
    if name in OWN:
        await OWN[name](report, arguments.bin.resolve())
        return report
    command, make_folder, suite = SUITES[name]
    with tempfile.TemporaryDirectory(prefix="lorraine-interop-") as scratch:
        folder = make_folder(Path(scratch))
        certificate = Certificate(Path(scratch))
        if arguments.aioquic:
            server = Server.aioquic(folder, certificate)
        else:
            more = [*SHORT_STOP, *MORE.get(name, []), *arguments.arg]
            server = Server.lorraine(arguments.bin.resolve(), command, folder, certificate, *more)
        with server:
            await suite(report, server)
            await report.case("server_is_still_running", lambda: still_runs(server))
        await report.case("server_stops_when_asked", lambda: stopped(server))
    if report.failed:
        print(f"---- what the server said\n{server.log()}----", flush=True)
    return report


async def still_runs(server: Server) -> None:
    if not server.is_running():
        raise AssertionError(f"the program ended with {server.exit_code()}")


async def stopped(server: Server) -> None:
    if server.exit_code() != 0:
        raise AssertionError(f"after SIGINT the program ended with {server.exit_code()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="*", metavar="SUITE", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release" / "lorraine", help="the program")
    parser.add_argument("--arg", action="append", default=[], help="one more argument for the program")
    help_aioquic = "try the WebTransport suites on aioquic's server instead: is it the suite or Lorraine?"
    parser.add_argument("--aioquic", action="store_true", help=help_aioquic)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.suite if name not in NAMES]
    if unknown:
        parser.error(f"unknown suite {unknown[0]}; there are {', '.join(NAMES)}")
    if not arguments.aioquic and not arguments.bin.exists():
        parser.error(f"{arguments.bin} does not exist; build it with `cargo build --release -p lorraine-cli`")
    total = Report("all")
    for name in arguments.suite or NAMES:
        report = asyncio.run(run_suite(name, arguments))
        print(f"{name}: {report.summary()}", flush=True)
        total.add(report)
    print(total.summary())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())

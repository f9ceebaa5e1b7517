"""WebTransport in Chromium and Firefox: runs the suites of `interop/browser` and counts what they tell."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .report import Report, Skip, check
from .server import Server

FOLDER = Path(__file__).resolve().parent.parent / "browser"
SUITE_SECONDS = 300
LOG_SECONDS = 5


@dataclass(frozen=True)
class Browser:
    """A browser, its suite, and where it is found: an environment variable or the first of these programs."""

    suite: str
    variable: str
    programs: tuple[str, ...]
    setup: str

    def command(self, server: Server) -> list[str]:
        program = os.environ.get(self.variable) or next(filter(None, map(shutil.which, self.programs)), None)
        if not program or not shutil.which("node"):
            raise Skip(f"{self.programs[0]} or Node.js is not installed: scripts/setup {self.setup}")
        if not (FOLDER / "node_modules").exists():
            raise Skip(f"the browser driver is not installed: scripts/setup {self.setup}")
        base = f"https://127.0.0.1:{server.port}"
        return ["node", str(FOLDER / self.suite), "--browser", program, "--base", base, "--hash", server.certificate.sha256]


CHROMIUM = Browser("chromium-webtransport.mjs", "CHROMIUM", ("chromium", "chromium-browser", "google-chrome"), "browser")
FIREFOX = Browser("firefox-webtransport.mjs", "FIREFOX", ("firefox-esr", "firefox"), "firefox")


async def run(report: Report, server: Server, browser: Browser) -> None:
    """Reports each case of the browser's suite as it is done."""
    try:
        command = browser.command(server)
    except Skip as reason:
        report.record("skip", "every_case", str(reason))
        return
    await report.case("suite_ran_to_its_end", lambda: run_node(report, command), SUITE_SECONDS)
    await report.case("server_saw_the_close", lambda: saw_close(server))


async def run_node(report: Report, command: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    complaints = asyncio.create_task(process.stderr.read())
    try:
        async for line in process.stdout:
            told = json.loads(line)
            report.record(told["verdict"], told["name"], told.get("detail") or f"{told['seconds']:.2f} s")
        await process.wait()
    finally:
        if process.returncode is None:
            # The driver closes its browser on this.
            process.terminate()
            await process.wait()
    said = (await complaints).decode(errors="replace").strip()[:2_000]
    check(process.returncode == 0, f"the browser's driver ended with {process.returncode}: {said}")


async def saw_close(server: Server) -> None:
    """The case `close_by_the_client` ends a session in a way that the server's log must show."""
    deadline = asyncio.get_running_loop().time() + LOG_SECONDS
    while not any("7777" in line and "enough of it" in line for line in server.log().splitlines()):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("no line of the log has the code and the reason with which the browser closed a session")
        await asyncio.sleep(0.05)

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
# Pictures of the demo's page; SCREENSHOT names another file.
SCREENSHOTS = FOLDER.parent.parent / "target" / "interop"
SUITE_SECONDS = 600
LOG_SECONDS = 20


@dataclass(frozen=True)
class Browser:
    """A browser, its suite, and where it is found: an environment variable or the first of these programs."""

    suite: str
    variable: str
    programs: tuple[str, ...]
    setup: str

    def command(self, *more: str) -> list[str]:
        program = os.environ.get(self.variable) or next(filter(None, map(shutil.which, self.programs)), None)
        if not program or not shutil.which("node"):
            raise Skip(f"{self.programs[0]} or Node.js is not installed: scripts/setup {self.setup}")
        if not (FOLDER / "node_modules").exists():
            raise Skip(f"the browser driver is not installed: scripts/setup {self.setup}")
        return ["node", str(FOLDER / self.suite), "--browser", program, *more]


CHROMIUM = Browser(
    "chromium-webtransport.mjs", "CHROMIUM", ("chromium", "chromium-browser", "google-chrome"), "browser"
)
FIREFOX = Browser("firefox-webtransport.mjs", "FIREFOX", ("firefox-esr", "firefox"), "firefox")


async def run(report: Report, server: Server, browser: Browser) -> None:
    """Reports each case of the browser's suite as it is done, and the demo's page as one more."""
    base = f"https://127.0.0.1:{server.port}"
    if await run_node(report, browser, "--base", base, "--hash", server.certificate.sha256):
        await report.case("server_saw_the_close", lambda: saw_close(server))
    if server.page:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        screenshot = os.environ.get("SCREENSHOT") or SCREENSHOTS / f"page-{Path(browser.suite).stem}.png"
        await run_node(report, browser, "--page", server.page, "--screenshot", str(screenshot))
    else:
        report.record("skip", "page", "this server has no page")


async def run_node(report: Report, browser: Browser, *more: str) -> bool:
    """Whether there is such a browser; how it went is in the report."""
    try:
        command = browser.command(*more)
    except Skip as reason:
        report.record("skip", "every_case", str(reason))
        return False
    await report.case("driver_ended_well", lambda: tell(report, command), SUITE_SECONDS)
    return True


async def tell(report: Report, command: list[str]) -> None:
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
            raise AssertionError("the log does not show the code and reason with which the browser closed a session")
        await asyncio.sleep(0.05)

"""Chromium, driven by `interop/browser/load.mjs`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

from .report import Report, Skip, check, equal
from .server import Server

SCRIPT = Path(__file__).resolve().parent.parent / "browser" / "load.mjs"
NAMES = ["chromium", "chromium-browser", "google-chrome"]
SECONDS = 90


async def run(report: Report, server: Server) -> None:
    """Loads a page of the served folder and looks at what the browser says about it."""
    page: dict = {}

    async def page_loads() -> None:
        page.update(await load(server, "/files/index.html"))
        equal(page["status"], 200, "status")
        equal(page["title"], "Lorraine", "title")

    async def every_file_came_over_http3() -> None:
        check(bool(page), "the page did not load")
        protocols = {entry["name"].rsplit("/", 1)[-1]: entry["protocol"] for entry in page["entries"]}
        equal(protocols, dict.fromkeys(["index.html", "logo.svg", "protocol.js", "style.css"], "h3"), "protocols")

    async def picture_style_and_script_took_effect() -> None:
        check(bool(page), "the page did not load")
        equal(page["pictureWidth"], 160, "width of the picture")
        check(page["mainWidth"] > 0 and page["display"] == "grid", "the style sheet took no effect")
        equal(page["protocol"], "HTTP/3", "what the page says about itself")
        equal(page["errors"], [], "errors of the page")

    async def page_fetches_echo_and_download() -> None:
        check(bool(page), "the page did not load")
        equal(page["echo"], "sent by a browser", "echo")
        equal(page["downloaded"], 3_000_000, "bytes downloaded")

    await report.case("page_loads", page_loads, SECONDS)
    for case in [every_file_came_over_http3, picture_style_and_script_took_effect, page_fetches_echo_and_download]:
        await report.case(case.__name__, case)


async def load(server: Server, path: str) -> dict:
    """What the page reports once everything on it has loaded."""
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not chromium or not shutil.which("node"):
        raise Skip("Chromium or Node.js is not installed")
    if not (SCRIPT.parent / "node_modules").exists():
        raise Skip("the browser driver is not installed: scripts/setup browser")
    arguments = [chromium, str(server.port), server.certificate.spki_sha256, path]
    process = await asyncio.create_subprocess_exec(
        "node", str(SCRIPT), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    check(process.returncode == 0, f"the browser failed: {err.decode(errors='replace').strip()[:2_000]}")
    return json.loads(out)

"""Chromium, driven by `interop/browser/load.mjs`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from pathlib import Path

from .curl import CurlClient
from .demo import LARGE, pattern
from .http import Request
from .report import Report, Skip, check, equal
from .server import Server

SCRIPT = Path(__file__).resolve().parent.parent / "browser" / "load.mjs"
NAMES = ["chromium", "chromium-browser", "google-chrome"]
SECONDS = 240
LARGE_FILE = "large.bin"


def make_folder(scratch: Path, site: Path) -> Path:
    """The example site, and a large file."""
    folder = scratch / "site"
    shutil.copytree(site, folder)
    (folder / LARGE_FILE).write_bytes(pattern(LARGE))
    return folder


class Page:
    """What Chromium says of one visit. A name that begins with no underscore is a case."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: dict | None = None

    async def page_loads(self) -> None:
        self._seen = await load(self._server, "/files/index.html")
        equal(self._found["status"], 200, "status")
        equal(self._found["title"], "Lorraine", "title")
        equal(self._found["errors"], [], "errors of the page")

    async def every_file_came_over_http3(self) -> None:
        protocols = {entry["name"].rsplit("/", 1)[-1]: entry["protocol"] for entry in self._found["entries"]}
        equal(protocols, dict.fromkeys(["index.html", "logo.svg", "protocol.js", "style.css"], "h3"), "protocols")

    async def picture_style_and_script_took_effect(self) -> None:
        equal(self._found["pictureWidth"], 160, "width of the picture")
        check(self._found["mainWidth"] > 0 and self._found["display"] == "grid", "the style sheet took no effect")
        equal(self._found["protocol"], "HTTP/3", "what the page says about itself")

    async def echo_returns_what_it_gets(self) -> None:
        equal(self._found["exchange"]["echo"], "sent by a browser", "echo")

    async def file_of_100_mib_has_its_hash(self) -> None:
        expected = {"bytes": LARGE, "sha256": hashlib.sha256(pattern(LARGE)).hexdigest()}
        equal(self._found["exchange"]["file"], expected, "file")

    async def download_of_100_mib_has_its_hash(self) -> None:
        # A page cannot see trailers, so libcurl says what the hash is.
        client = CurlClient(self._server.port)
        other = await client.fetch(Request(f"/download/{LARGE}"))
        await client.close()
        expected = {"bytes": LARGE, "sha256": other.trailer("x-sha256")}
        equal(self._found["exchange"]["download"], expected, "download")

    async def upload_of_100_mib_has_its_hash(self) -> None:
        exchange = self._found["exchange"]
        equal(exchange["receipt"], exchange["uploaded"], "receipt")
        equal(exchange["receipt"]["bytes"], LARGE, "bytes")

    @property
    def _found(self) -> dict:
        check(self._seen is not None, "the page did not load")
        return self._seen


async def run(report: Report, server: Server) -> None:
    """Loads a page of the served folder and looks at what the browser says about it."""
    page = Page(server)
    for name in (name for name in vars(Page) if not name.startswith("_")):
        await report.case(name, getattr(page, name), SECONDS)


async def load(server: Server, path: str) -> dict:
    """What the page reports once everything on it has loaded."""
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not chromium or not shutil.which("node"):
        raise Skip("Chromium or Node.js is not installed")
    if not (SCRIPT.parent / "node_modules").exists():
        raise Skip("the browser driver is not installed: scripts/setup browser")
    arguments = [chromium, str(server.port), server.certificate.spki_sha256, path, f"/files/{LARGE_FILE}", str(LARGE)]
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

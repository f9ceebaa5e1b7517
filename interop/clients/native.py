"""WebTransport by the client stacks in `interop/native`, and load: runs its programs and counts what they tell."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

from .report import Report, check
from .server import Server

ROOT = Path(__file__).resolve().parent.parent / "native"
SUITE_SECONDS = 300
# Each load has a deadline of its own.
LOAD_SECONDS = 4_000


def program(name: str) -> Path:
    """A program of `interop/native`, which `cargo build --manifest-path interop/native/Cargo.toml` makes."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug" / name


async def run(report: Report, server: Server, stack: str) -> None:
    """Reports each case of the stack as it is done."""
    await run_program(report, server, "wt-client", ["--stack", stack], SUITE_SECONDS)


async def load(report: Report, server: Server) -> None:
    """Reports each load as it is done; LORRAINE_FULL=1 asks for all of it."""
    await run_program(report, server, "wt-load", ["--pid", str(server.pid)], LOAD_SECONDS)


async def run_program(report: Report, server: Server, name: str, more: list[str], seconds: float) -> None:
    if not program(name).exists():
        report.record("skip", "every_case", "not built: cargo build --manifest-path interop/native/Cargo.toml")
        return
    fingerprint = base64.b64decode(server.certificate.sha256).hex()
    where = ["--url", f"https://127.0.0.1:{server.port}", "--cert-hash", fingerprint]
    command = [str(program(name)), *where, *more]
    await report.case("suite_ran_to_its_end", lambda: record_lines(report, command), seconds)


async def record_lines(report: Report, command: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    complaints = asyncio.create_task(process.stderr.read())
    failed = False
    try:
        async for line in process.stdout:
            verdict, name, detail = line.decode(errors="replace").rstrip("\n").split(" ", 2)
            failed |= verdict == "fail"
            report.record(verdict, name, detail)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = (await complaints).decode(errors="replace").strip()[:2_000]
    # Its exit code tells no more than the lines.
    check(process.returncode == int(failed), f"{command[0]} ended with {process.returncode}: {said}")

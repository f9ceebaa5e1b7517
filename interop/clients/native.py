"""WebTransport by the client stacks in `interop/native`: runs its program and counts what it tells."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

from .report import Report, check
from .server import Server

ROOT = Path(__file__).resolve().parent.parent / "native"
SUITE_SECONDS = 300


def program(name: str) -> Path:
    """A program of `interop/native`, which `cargo build --manifest-path interop/native/Cargo.toml` makes."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug" / name


async def run(report: Report, server: Server, stack: str) -> None:
    """Reports each case of the stack as it is done."""
    if not program("wt-client").exists():
        report.record("skip", "every_case", "not built: cargo build --manifest-path interop/native/Cargo.toml")
        return
    await report.case("suite_ran_to_its_end", lambda: run_cases(report, server, stack), SUITE_SECONDS)


async def run_cases(report: Report, server: Server, stack: str) -> None:
    fingerprint = base64.b64decode(server.certificate.sha256).hex()
    process = await asyncio.create_subprocess_exec(
        *(str(program("wt-client")), "--stack", stack, "--url", f"https://127.0.0.1:{server.port}"),
        *("--cert-hash", fingerprint),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
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
    check(process.returncode == int(failed), f"wt-client ended with {process.returncode}: {said}")

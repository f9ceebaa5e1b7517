"""One line a case, and a last line that counts them."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


class Skip(Exception):
    """Raised by a case that this client cannot make; the text says why."""


@dataclass
class Report:
    suite: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    async def case(self, name: str, run: Callable[[], Awaitable[None]], seconds: float = 30) -> None:
        """Runs one case with a deadline, and prints what became of it."""
        began = time.monotonic()
        try:
            await asyncio.wait_for(run(), seconds)
        except Skip as reason:
            self.record("skip", name, str(reason))
        except TimeoutError:
            self.record("fail", name, f"not done after {seconds:.0f} s")
        except Exception as error:  # noqa: BLE001 - a case may fail in any way, and the others still run
            self.record("fail", name, describe(error))
        else:
            self.record("ok", name, f"{time.monotonic() - began:.2f} s")

    def record(self, verdict: str, name: str, detail: str) -> None:
        """Counts and prints a case that is done: "ok", "fail" or "skip"."""
        self.passed += verdict == "ok"
        self.failed += verdict == "fail"
        self.skipped += verdict == "skip"
        shown = "FAIL" if verdict == "fail" else verdict
        print(f"{shown:4} {self.suite}: {name} ({detail})", flush=True)

    def add(self, other: Report) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def summary(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def describe(error: Exception) -> str:
    """The error and the line of the case that it comes from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/clients/" in frame.filename]
    place = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
    text = str(error) or (frames[-1].line if frames else "")
    return f"{type(error).__name__}: {text}{place}"


def equal(actual: object, expected: object, what: str) -> None:
    """Fails with both values, shortened."""
    if actual != expected:
        raise AssertionError(f"{what} is {shorten(actual)}, not {shorten(expected)}")


def check(holds: bool, sentence: str) -> None:
    """Fails with the sentence unless the condition holds."""
    if not holds:
        raise AssertionError(sentence)


def shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"

"""The routes of `lorraine demo DIR`, as cases that any client can make."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from .http import Client, Request, RequestFailed, Response
from .report import Report, check, equal

MIB = 1 << 20
LARGE = 100 * MIB
LARGE_SECONDS = 300
CONCURRENT = 60


@dataclass
class Setting:
    """What a case works with."""

    client: Client
    folder: Path

    async def get(self, path: str, **more: object) -> Response:
        return await self.client.fetch(Request(path, **more))

    async def post(self, path: str, body: bytes, **more: object) -> Response:
        return await self.client.fetch(Request(path, method="POST", body=body, **more))


Case = Callable[[Setting], Awaitable[None]]


async def run(report: Report, client: Client, folder: Path) -> None:
    """Makes every case with this client, by the same names for each."""
    setting = Setting(client, folder)
    for case in CASES:
        seconds = LARGE_SECONDS if case in LARGE_CASES else 30
        await report.case(case.__name__, lambda case=case: make(case, setting), seconds)


async def make(case: Case, setting: Setting) -> None:
    await setting.client.revive()
    await case(setting)


# --- Small answers --------------------------------------------------------------------------------------------------


async def root_says_hello(setting: Setting) -> None:
    response = await setting.get("/")
    equal(response.status, 200, "status")
    equal(response.body, b"Hello, HTTP/3!\n", "body")
    equal(response.header("content-length"), "15", "content-length")
    check((response.header("content-type") or "").startswith("text/plain"), "content-type is not text/plain")


async def head_has_the_length_and_no_body(setting: Setting) -> None:
    response = await setting.get("/", method="HEAD")
    equal(response.status, 200, "status")
    equal(response.header("content-length"), "15", "content-length")
    equal(response.body, b"", "body")


async def parameter_comes_back_as_json(setting: Setting) -> None:
    response = await setting.get("/api/users/42")
    equal(response.status, 200, "status")
    equal(json.loads(response.body), {"id": "42"}, "body")
    check((response.header("content-type") or "").startswith("application/json"), "content-type is not JSON")


async def parameter_is_percent_decoded(setting: Setting) -> None:
    response = await setting.get("/api/users/a%20%22b%22%2F%C3%A9")
    equal(response.status, 200, "status")
    equal(json.loads(response.body), {"id": 'a "b"/é'}, "body")


async def request_fields_are_shown(setting: Setting) -> None:
    response = await setting.get("/headers", headers={"x-interop": "present"})
    equal(response.status, 200, "status")
    shown = json.loads(response.body)
    pairs = list(shown.items()) if isinstance(shown, dict) else [tuple(pair) for pair in shown]
    check(any(name == "x-interop" and "present" in value for name, value in pairs), f"no x-interop in {shown}")


async def unknown_path_is_404(setting: Setting) -> None:
    equal((await setting.get("/there/is/no/such/route")).status, 404, "status")


async def wrong_method_is_405_with_allow(setting: Setting) -> None:
    response = await setting.get("/echo")
    equal(response.status, 405, "status")
    check("POST" in (response.header("allow") or ""), f"allow is {response.header('allow')}")


async def early_hints_come_before_the_answer(setting: Setting) -> None:
    response = await setting.get("/early-hints")
    equal([status for status, _ in response.interim], [103], "interim responses")
    check(any(name == "link" for name, _ in response.interim[0][1]), "the 103 has no link field")
    equal(response.status, 200, "status")


async def slow_answer_takes_its_time_and_holds_up_no_other(setting: Setting) -> None:
    began = time.monotonic()
    slow = asyncio.ensure_future(setting.get("/slow/2000"))
    equal((await setting.get("/")).status, 200, "status of the quick one")
    check(not slow.done(), "the quick answer waited for the slow one")
    equal((await slow).status, 200, "status of the slow one")
    check(time.monotonic() - began >= 2, "the slow answer came early")


async def panic_fails_its_own_request_only(setting: Setting) -> None:
    try:
        equal((await setting.get("/panic")).status, 500, "status")
    except RequestFailed:
        pass  # A reset is as good an answer.
    equal((await setting.get("/")).status, 200, "status of the next request")


# --- Files ----------------------------------------------------------------------------------------------------------


async def files_are_served_with_their_type(setting: Setting) -> None:
    types = {"index.html": "text/html", "style.css": "text/css", "logo.svg": "image/svg+xml"}
    for name, media_type in types.items():
        response = await setting.get(f"/files/{name}")
        equal(response.status, 200, f"status of {name}")
        equal(response.body, (setting.folder / name).read_bytes(), f"content of {name}")
        content_type = response.header("content-type") or ""
        check(content_type.startswith(media_type), f"content-type of {name} is {content_type}")


async def missing_file_is_404(setting: Setting) -> None:
    equal((await setting.get("/files/there-is-no-such-file.txt")).status, 404, "status")


async def no_path_leaves_the_folder(setting: Setting) -> None:
    for path in ["/files/../Cargo.toml", "/files/%2e%2e/%2e%2e/Cargo.toml", "/files/..%2f..%2fCargo.toml"]:
        response = await setting.get(path)
        check(400 <= response.status < 500, f"{path} was answered with {response.status}")


# --- Bodies ---------------------------------------------------------------------------------------------------------


async def echo_returns_what_it_gets(setting: Setting) -> None:
    for body in [b"", b"x", bytes(range(256)) * 16, pattern(3 * MIB)]:
        response = await setting.post("/echo", body)
        equal(response.status, 200, f"status for {len(body)} bytes")
        check(response.body == body, f"{len(body)} bytes came back as {len(response.body)} others")


async def upload_is_counted_and_hashed(setting: Setting) -> None:
    for body in [b"", b"abc", pattern(MIB + 1)]:
        await upload(setting, body)


async def upload_of_100_mib_is_counted_and_hashed(setting: Setting) -> None:
    await upload(setting, pattern(LARGE))


async def upload(setting: Setting, body: bytes) -> None:
    response = await setting.post("/upload", body)
    equal(response.status, 200, "status")
    expected = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    equal(json.loads(response.body), expected, "receipt")


async def download_has_its_length_and_hash(setting: Setting) -> None:
    for size in [0, 1, 1_000, MIB + 1]:
        await download(setting, size)


async def download_of_100_mib_has_its_length_and_hash(setting: Setting) -> None:
    await download(setting, LARGE)


async def download_is_the_same_each_time(setting: Setting) -> None:
    short, long = await setting.get("/download/1000"), await setting.get("/download/5000")
    check(long.body.startswith(short.body), "two downloads begin with different bytes")
    check(len(set(short.body)) > 100, "the bytes do not look random")


async def download(setting: Setting, size: int) -> None:
    response = await setting.get(f"/download/{size}")
    equal(response.status, 200, "status")
    equal(len(response.body), size, "length")
    equal(response.trailer("x-sha256"), hashlib.sha256(response.body).hexdigest(), "trailer x-sha256")


def pattern(size: int) -> bytes:
    """Bytes of which no two stretches look alike."""
    block = hashlib.shake_256(b"lorraine").digest(min(size, MIB - 7))
    return (block * (size // max(len(block), 1) + 1))[:size]


# --- Many at once ---------------------------------------------------------------------------------------------------


async def many_requests_share_the_connection(setting: Setting) -> None:
    async def one(number: int) -> None:
        if number % 3 == 0:
            equal(json.loads((await setting.get(f"/api/users/{number}")).body), {"id": str(number)}, "body")
        elif number % 3 == 1:
            await download(setting, 10_000 + number)
        else:
            body = pattern(20_000 + number)
            check((await setting.post("/echo", body)).body == body, f"echo {number} came back changed")

    await asyncio.gather(*(one(number) for number in range(CONCURRENT)))


LARGE_CASES = [upload_of_100_mib_is_counted_and_hashed, download_of_100_mib_has_its_length_and_hash]
CASES: list[Case] = [
    root_says_hello,
    head_has_the_length_and_no_body,
    parameter_comes_back_as_json,
    parameter_is_percent_decoded,
    request_fields_are_shown,
    unknown_path_is_404,
    wrong_method_is_405_with_allow,
    early_hints_come_before_the_answer,
    slow_answer_takes_its_time_and_holds_up_no_other,
    panic_fails_its_own_request_only,
    files_are_served_with_their_type,
    missing_file_is_404,
    no_path_leaves_the_folder,
    echo_returns_what_it_gets,
    upload_is_counted_and_hashed,
    download_has_its_length_and_hash,
    download_is_the_same_each_time,
    many_requests_share_the_connection,
    *LARGE_CASES,
]

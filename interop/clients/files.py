"""What `lorraine serve DIR` promises about files, made with aioquic."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import urljoin

from .http import Client, Request, Response
from .report import Report, check, equal

TEXT = b"The quick brown fox jumps over the lazy dog.\n" * 200


def make_folder(scratch: Path) -> Path:
    """A folder to serve, and a file beside it that must stay out of reach."""
    (scratch / "secret.txt").write_text("out of reach\n")
    folder = scratch / "public"
    (folder / "sub").mkdir(parents=True)
    (folder / "bare").mkdir()
    (folder / "index.html").write_text("<!DOCTYPE html><title>top</title>\n")
    (folder / "sub" / "index.html").write_text("<!DOCTYPE html><title>sub</title>\n")
    (folder / "bare" / "note.txt").write_text("a file in a folder without index\n")
    (folder / "text.txt").write_bytes(TEXT)
    (folder / "text.txt.gz").write_bytes(gzip.compress(TEXT))
    (folder / "a b é.txt").write_text("a name that needs escapes\n")
    (folder / "empty.bin").write_bytes(b"")
    (folder / "out.txt").symlink_to(scratch / "secret.txt")
    return folder


class Files:
    """The cases. A name that begins with no underscore is one."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self._folder = client, folder

    async def folder_answers_with_its_index(self) -> None:
        for path, title in [("/", b"top"), ("/sub/", b"sub")]:
            response = await self._get(path)
            equal(response.status, 200, f"status of {path}")
            check(title in response.body, f"{path} is not the index of its folder")
            check((response.header("content-type") or "").startswith("text/html"), f"{path} is not HTML")

    async def folder_without_slash_leads_to_its_index(self) -> None:
        response = await self._get("/sub")
        if response.status in (301, 307, 308):
            equal(urljoin("/sub", response.header("location") or ""), "/sub/", "where the location leads")
        else:
            check(response.status == 200 and b"sub" in response.body, f"/sub is answered with {response.status}")

    async def folder_without_index_is_not_listed(self) -> None:
        response = await self._get("/bare/")
        check(response.status in (403, 404), f"status is {response.status}")
        check(b"note.txt" not in response.body, "the folder was listed unasked")

    async def escaped_name_is_found(self) -> None:
        equal((await self._get("/a%20b%20%C3%A9.txt")).status, 200, "status")

    async def empty_file_is_served(self) -> None:
        response = await self._get("/empty.bin")
        equal((response.status, response.body), (200, b""), "status and body")

    async def head_has_the_length_of_the_file(self) -> None:
        response = await self._get("/text.txt", method="HEAD")
        equal(response.status, 200, "status")
        equal(response.header("content-length"), str(len(TEXT)), "content-length")
        equal(response.body, b"", "body")

    async def other_methods_are_405(self) -> None:
        response = await self.client.fetch(Request("/text.txt", method="POST", body=b"x"))
        equal(response.status, 405, "status")
        check("GET" in (response.header("allow") or ""), f"allow is {response.header('allow')}")

    async def known_entity_tag_is_304(self) -> None:
        tag = (await self._get("/text.txt")).header("etag")
        check(bool(tag), "the file has no etag")
        again = await self._get("/text.txt", headers={"if-none-match": tag})
        equal((again.status, again.body), (304, b""), "status and body")
        equal((await self._get("/text.txt", headers={"if-none-match": '"other"'})).status, 200, "status for another tag")

    async def unchanged_file_is_304(self) -> None:
        date = (await self._get("/text.txt")).header("last-modified")
        check(bool(date), "the file has no last-modified")
        equal((await self._get("/text.txt", headers={"if-modified-since": date})).status, 304, "status")

    async def range_is_206(self) -> None:
        response = await self._get("/text.txt", headers={"range": "bytes=10-19"})
        equal((response.status, response.body), (206, TEXT[10:20]), "status and body")
        equal(response.header("content-range"), f"bytes 10-19/{len(TEXT)}", "content-range")
        last = await self._get("/text.txt", headers={"range": "bytes=-5"})
        equal((last.status, last.body), (206, TEXT[-5:]), "status and body of the last five")

    async def range_past_the_end_is_416(self) -> None:
        response = await self._get("/text.txt", headers={"range": f"bytes={len(TEXT)}-"})
        equal(response.status, 416, "status")
        equal(response.header("content-range"), f"bytes */{len(TEXT)}", "content-range")

    async def precompressed_file_is_used_when_accepted(self) -> None:
        response = await self._get("/text.txt", headers={"accept-encoding": "gzip"})
        equal(response.header("content-encoding"), "gzip", "content-encoding")
        equal(gzip.decompress(response.body), TEXT, "content")
        plain = await self._get("/text.txt")
        equal((plain.header("content-encoding"), plain.body), (None, TEXT), "the file without accept-encoding")

    async def no_path_leaves_the_folder(self) -> None:
        escapes = ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/sub/../../secret.txt", "//secret.txt"]
        escapes += ["/..%5csecret.txt", "/%00", "/text.txt%00.html", f"/{self._folder.parent}/secret.txt"]
        for path in escapes:
            response = await self._get(path)
            check(400 <= response.status < 500, f"{path} is answered with {response.status}")
            check(b"out of reach" not in response.body, f"{path} leaves the folder")

    async def no_link_leaves_the_folder(self) -> None:
        response = await self._get("/out.txt")
        check(b"out of reach" not in response.body, f"the link is followed, status {response.status}")

    async def _get(self, path: str, **more: object) -> Response:
        return await self.client.fetch(Request(path, **more))


async def run(report: Report, client: Client, folder: Path) -> None:
    cases = Files(client, folder)
    for name in (name for name in vars(Files) if not name.startswith("_")):
        await report.case(name, lambda name=name: make(cases, name))


async def make(cases: Files, name: str) -> None:
    await cases.client.revive()
    await getattr(cases, name)()

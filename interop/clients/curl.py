"""curl_cffi: libcurl on ngtcp2 and nghttp3, HTTP/3 only."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable

from curl_cffi import AsyncCurl, Curl, CurlError, CurlHttpVersion, CurlInfo, CurlOpt

from .http import Fields, Request, RequestFailed, Response


class CurlClient:
    """libcurl shares one connection between the requests of one handle of many."""

    def __init__(self, port: int) -> None:
        self._origin = f"https://127.0.0.1:{port}"
        self._multi = AsyncCurl()

    async def fetch(self, request: Request) -> Response:
        curl, lines, body = Curl(), [], Sink(request.sink)
        try:
            self._prepare(curl, request, lines, body)
            await self._multi.add_handle(curl)
            version = curl.getinfo(CurlInfo.HTTP_VERSION)
        except asyncio.CancelledError:
            self._multi.remove_handle(curl)
            raise
        except CurlError as error:
            raise RequestFailed(str(error)) from error
        finally:
            curl.close()
        if version != CURL_HTTP_VERSION_3:
            raise RequestFailed(f"the answer came over HTTP version {version}, not over HTTP/3")
        response = parse(lines)
        response.body = body.getvalue() if request.sink is None else b""
        return response

    async def revive(self) -> None:
        """libcurl makes a new connection by itself."""

    async def close(self) -> None:
        await self._multi.close()

    def _prepare(self, curl: Curl, request: Request, lines: list[bytes], body: Sink) -> None:
        def on_line(line: bytes) -> int:
            lines.append(line)
            return len(line)

        curl.setopt(CurlOpt.URL, self._origin + request.path)
        curl.setopt(CurlOpt.HTTP_VERSION, CurlHttpVersion.V3ONLY)
        curl.setopt(CurlOpt.SSL_VERIFYPEER, 0)
        curl.setopt(CurlOpt.SSL_VERIFYHOST, 0)
        # Wait for the connection that is being made rather than make another.
        curl.setopt(CurlOpt.PIPEWAIT, 1)
        curl.setopt(CurlOpt.PATH_AS_IS, 1)
        curl.setopt(CurlOpt.HEADERFUNCTION, on_line)
        curl.setopt(CurlOpt.WRITEDATA, body)
        if request.method == "HEAD":
            curl.setopt(CurlOpt.NOBODY, 1)
        if request.body is not None:
            curl.setopt(CurlOpt.UPLOAD, 1)
            source = request.source()
            curl.setopt(CurlOpt.READDATA, source)
            curl.setopt(CurlOpt.INFILESIZE_LARGE, len(source))
        curl.setopt(CurlOpt.CUSTOMREQUEST, request.method)
        # Without this libcurl asks for a 100 before a large upload and waits a second for it.
        headers = {"expect": "", **request.headers}
        curl.setopt(CurlOpt.HTTPHEADER, [f"{name}: {value}".encode() for name, value in headers.items()])


class Sink(io.BytesIO):
    """Keeps a body, or hands it on."""

    def __init__(self, hand_on: Callable[[bytes], object] | None) -> None:
        super().__init__()
        self._hand_on = hand_on or super().write

    def write(self, data: bytes) -> int:
        self._hand_on(data)
        return len(data)


def parse(lines: list[bytes]) -> Response:
    """Header lines as libcurl reports them: blocks that begin with a status line, and trailers after the last."""
    response, section = Response(), None
    for line in (raw.decode("latin-1").rstrip("\r\n") for raw in lines):
        if line.startswith("HTTP/"):
            status, section = int(line.split(" ")[1]), []
            if status < 200:
                response.interim.append((status, section))
            else:
                response.status, response.headers = status, section
        elif line == "":
            # What follows the final response is the trailer section.
            section = response.trailers if response.status else None
        elif section is not None:
            append(section, line)
    return response


def append(section: Fields, line: str) -> None:
    name, _, value = line.partition(":")
    section.append((name.lower(), value.strip()))


CURL_HTTP_VERSION_3 = 30

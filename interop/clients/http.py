"""What every client speaks in: a request, a response, and a client that turns one into the other."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

Fields = list[tuple[str, str]]


class Source(Protocol):
    """A body of known length that is made as it is sent."""

    def __len__(self) -> int: ...

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end."""


@dataclass
class Request:
    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Source | None = None
    sink: Callable[[bytes], object] | None = None
    """Takes the body of the response as it comes; without it the body is kept."""

    def source(self) -> Source:
        return Bytes(self.body) if isinstance(self.body, bytes) else self.body


class Bytes(io.BytesIO):
    """Bytes at hand, as a source."""

    def __len__(self) -> int:
        return self.getbuffer().nbytes


@dataclass
class Response:
    """A whole response. Field names are lower case, as on the wire."""

    status: int = 0
    headers: Fields = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    interim: list[tuple[int, Fields]] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        return find(self.headers, name)

    def trailer(self, name: str) -> str | None:
        return find(self.trailers, name)


def find(fields: Fields, name: str) -> str | None:
    """The value of the first field of this name."""
    return next((value for found, value in fields if found == name), None)


class RequestFailed(Exception):
    """The stream or the connection ended before the response was whole."""


class Client(Protocol):
    """One HTTP/3 connection. Requests may be made at the same time."""

    async def fetch(self, request: Request) -> Response: ...

    async def revive(self) -> None:
        """Makes a new connection where the last one was closed, so that a failed case fails alone."""

    async def close(self) -> None: ...

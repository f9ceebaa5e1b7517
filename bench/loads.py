"""What is asked of the servers, and what Lorraine is to reach."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20
IDLE_CONNECTIONS = 2_000


@dataclass
class Goal:
    """At most this share of what another server takes, or at most so much."""

    of: dict[str, float] = field(default_factory=dict)
    at_most: float | None = None

    def __str__(self) -> str:
        shares = [f"below {name}" if share == 1 else f"{share:g} of {name}" for name, share in self.of.items()]
        return ", ".join(shares) if self.at_most is None else f"{self.at_most:g}"

    def reached(self, own: float, others: dict[str, float]) -> bool | None:
        """None when nothing is there to compare with."""
        if self.at_most is not None:
            return own <= self.at_most
        if not self.of or any(name not in others for name in self.of):
            return None
        return all(own < others[name] if share == 1 else own <= share * others[name] for name, share in self.of.items())


@dataclass
class Load:
    """Something to ask of a server.

    `kind` is `requests`, `handshakes` (a connection for each request) or `idle` (connections that do nothing). `bytes`
    is what the content of one request is, and of an answer; where there is any, costs are told for each gigabyte.
    """

    name: str
    path: str
    connections: int
    streams: int
    count: int
    kind: str = "requests"
    bytes: int = 0
    is_upload: bool = False
    goal: Goal = field(default_factory=Goal)

    @property
    def unit(self) -> str:
        if self.kind == "idle":
            return "KiB"
        return "s/GB" if self.bytes else "us"

    def arguments(self, share: float) -> list[str]:
        """For the load generator."""
        if self.kind == "idle":
            return ["--idle", "-c", str(self.scaled(share))]
        arguments = ["-c", str(self.connections), "-m", str(self.streams), "-n", str(self.scaled(share))]
        if self.kind == "handshakes":
            arguments.append("--handshakes")
        if self.is_upload:
            arguments += ["--upload", str(self.bytes)]
        return arguments

    def scaled(self, share: float) -> int:
        # What one connection takes depends on how many there are.
        return self.count if self.kind == "idle" else max(int(self.count * share), 1)

    def cost(self, cpu_seconds: float, count: int) -> float:
        """Microseconds for each, or seconds for a gigabyte where bytes are what counts."""
        return cpu_seconds * 1e9 / (self.bytes * count) if self.bytes else cpu_seconds * 1e6 / count


SMALL_GOAL = Goal({"tokio-quiche": 0.3, "quinn-h3": 0.4})
BYTES_GOAL = Goal({"tokio-quiche": 0.5})
LOADS = [
    Load("small, 1 x 1", "/", 1, 1, 20_000),
    Load("small, 10 x 10", "/", 10, 10, 200_000, goal=SMALL_GOAL),
    Load("small, 100 x 10", "/", 100, 10, 200_000, goal=SMALL_GOAL),
    Load("download 100 MiB, 1 x 1", f"/download/{100 * MIB}", 1, 1, 5, bytes=100 * MIB, goal=BYTES_GOAL),
    Load("download 1 MiB, 10 x 4", f"/download/{MIB}", 10, 4, 500, bytes=MIB, goal=BYTES_GOAL),
    Load(
        "upload 100 MiB, 1 x 1",
        "/upload",
        1,
        1,
        5,
        bytes=100 * MIB,
        is_upload=True,
        goal=Goal({"tokio-quiche": 1, "quinn-h3": 1}),
    ),
    Load("upload 1 MiB, 10 x 4", "/upload", 10, 4, 500, bytes=MIB, is_upload=True),
    Load("full handshake, 8 at once", "/", 8, 1, 2_000, kind="handshakes", goal=Goal({"tokio-quiche": 0.7})),
    Load(
        f"memory of an idle connection, {IDLE_CONNECTIONS:,}",
        "/",
        IDLE_CONNECTIONS,
        1,
        IDLE_CONNECTIONS,
        kind="idle",
        goal=Goal(at_most=28),
    ),
]


def chosen(words: str) -> list[Load]:
    """The loads in whose names one of these words is, separated by commas; all of them for none."""
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    return [load for load in LOADS if not wanted or any(word in load.name for word in wanted)]


def of_target(path: str) -> list[Load]:
    """What can be asked of any server: one path of it."""
    return [
        Load("1 x 1", path, 1, 1, 5_000),
        Load("10 x 10", path, 10, 10, 50_000),
        Load("100 x 10", path, 100, 10, 50_000),
        Load("handshakes, 8 at once", path, 8, 1, 2_000, kind="handshakes"),
    ]

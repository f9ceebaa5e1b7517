"""The C programs of `examples/c`, plainly and under Valgrind: clients of ours and of aioquic ask them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from . import webtransport
from .aio import AioquicClient
from .demo import pattern
from .http import Request
from .quic import echo_without_http
from .report import Report, Skip, check, equal
from .server import Certificate, Server

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "ffi"
# Whatever Valgrind finds makes the exit code this one.
FAULT = 99
VALGRIND = [
    "valgrind",
    "--quiet",
    f"--error-exitcode={FAULT}",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
]
# Of one case.
SECONDS = 60
# Under Valgrind all is some thirty times slower.
VALGRIND_SECONDS = 300
VALGRIND_START_SECONDS = VALGRIND_STOP_SECONDS = 120
# How long our client listens after its last word.
LINGER_SECONDS, VALGRIND_LINGER_SECONDS = 5, 15
UPLOAD_BYTES = 1 << 20

# The cases of the WebTransport suite that need no more than an echo.
ECHO_CASES = [
    webtransport.ready,
    webtransport.datagrams_200_of_200_arrive,
    webtransport.datagrams_of_every_size_arrive,
    webtransport.bidi_echo_of_1_mib_has_its_hash,
    webtransport.uni_comes_back_on_a_new_uni,
    webtransport.empty_streams_come_back,
    webtransport.sixteen_streams_at_once_each_way,
    webtransport.reset_by_the_client,
    webtransport.stop_by_the_client,
    webtransport.close_by_the_client,
    webtransport.two_sessions_keep_theirs_apart,
]


class Program(Server):
    """One of the programs, from its start until the `with` block ends."""

    def __init__(self, name: str, certificate: Certificate, under: list[str], scratch: Path) -> None:
        super().__init__([], scratch, certificate)
        self._arguments = [*under, str(FOLDER / name), "0", str(certificate.cert), str(certificate.key)]
        self.case_seconds, self.linger_seconds = SECONDS, LINGER_SECONDS
        if under:
            self.start_seconds, self.stop_seconds = VALGRIND_START_SECONDS, VALGRIND_STOP_SECONDS
            self.case_seconds, self.linger_seconds = VALGRIND_SECONDS, VALGRIND_LINGER_SECONDS


async def run(report: Report, binary: Path) -> None:
    await report.case("program_that_leaks_is_found", valgrind_finds_a_leak, VALGRIND_SECONDS)
    for name, cases in PROGRAMS.items():
        for label, under in [(name, []), (f"{name}_under_valgrind", VALGRIND)]:
            if under and not shutil.which("valgrind"):
                report.record("skip", label, "Valgrind is not installed")
            else:
                await run_program(report, binary, name, label, under, cases)


async def run_program(
    report: Report, binary: Path, name: str, label: str, under: list[str], cases: list[Case]
) -> None:
    with tempfile.TemporaryDirectory(prefix="lorraine-interop-") as scratch:
        program = Program(name, Certificate(Path(scratch)), under, Path(scratch))
        failed = report.failed
        with program:
            for case in cases:
                name_of_case = f"{label}: {case.__name__}"
                await report.case(name_of_case, lambda case=case: case(program, binary), program.case_seconds)
        await report.case(f"{label}: stops_when_asked", lambda: stopped(program))
        if report.failed != failed:
            print(f"---- what {name} said\n{program.log()}----", flush=True)


async def stopped(program: Program) -> None:
    code = program.exit_code()
    check(code != FAULT, "Valgrind found a fault or a leak")
    equal(code, 0, "exit code after SIGINT")


async def valgrind_finds_a_leak() -> None:
    """Whether a leak would be noticed at all: options may also hide everything."""
    if not shutil.which("valgrind"):
        raise Skip("Valgrind is not installed")
    with tempfile.TemporaryDirectory(prefix="lorraine-interop-") as scratch:
        source, program = Path(scratch) / "leak.c", Path(scratch) / "leak"
        source.write_text("#include <stdlib.h>\nint main(void) { void *volatile p = malloc(9); p = NULL; return p != NULL; }\n")
        await output([os.environ.get("CC", "cc"), "-O0", "-o", str(program), str(source)])
        _, code = await output([*VALGRIND, str(program)], expected=None)
        equal(code, FAULT, "exit code of a program that leaks")


async def output(command: list[str], said: bytes = b"", expected: int | None = 0) -> tuple[bytes, int]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, complaints = await process.communicate(said)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    check(expected in (None, process.returncode), f"{command[0]} ended with {process.returncode}: {complaints.decode()}")
    return out, process.returncode


async def get(program: Program, binary: Path, path: str, *more: str) -> bytes:
    return (await output(get_command(program, binary, path, *more)))[0]


def get_command(program: Program, binary: Path, path: str, *more: str) -> list[str]:
    return [str(binary), "get", "--insecure", *more, f"https://localhost:{program.port}{path}"]


async def is_not_found(program: Program, binary: Path, path: str) -> None:
    answer, _ = await output(get_command(program, binary, path, "-i"), expected=None)
    check(answer.startswith(b"HTTP/3 404"), f"{path} is no 404")


# --- hello ---------------------------------------------------------------------------------------------------------


async def fixed_route_and_parameter(program: Program, binary: Path) -> None:
    equal(await get(program, binary, "/"), b"Hello, HTTP/3!\n", "fixed answer")
    equal(await get(program, binary, "/hello/world"), b"hello, world\n", "answer of the program")
    await is_not_found(program, binary, "/nowhere")


async def hundred_at_once(program: Program, binary: Path) -> None:
    equal(await get(program, binary, "/hello/you", "-n", "100"), b"hello, you\n" * 100, "answers")


# --- routes --------------------------------------------------------------------------------------------------------


async def parameter_and_field(program: Program, binary: Path) -> None:
    answer = await get(program, binary, "/hello/world")
    check(answer.startswith(b"hello, world, by lorraine/"), f"the answer is {answer!r}")
    await is_not_found(program, binary, "/nowhere")


async def lines_and_their_trailer(program: Program, binary: Path) -> None:
    # More than the window, so that the program has to wait for the client.
    count = 30_000
    answer = await get(program, binary, f"/count/{count}", "-i")
    head, _, rest = answer.partition(b"\n\n")
    check(head.startswith(b"HTTP/3 200"), "the status is not 200")
    equal(rest.count(b"line "), count, "lines")
    check(rest.strip().endswith(b"x-lines: %d" % count), "there is no trailer at the end")


async def upload_is_counted(program: Program, binary: Path) -> None:
    file = program.folder / "upload"
    file.write_bytes(pattern(UPLOAD_BYTES))
    equal(await get(program, binary, "/upload", "-d", f"@{file}"), b"%d bytes\n" % UPLOAD_BYTES, "answer")
    equal(await get(program, binary, "/upload", "-d", ""), b"0 bytes\n", "answer to an empty upload")


async def body_comes_back(program: Program, _: Path) -> None:
    client = AioquicClient(program.port)
    await client.revive()
    for body in [pattern(UPLOAD_BYTES), b"x", b""]:
        response = await client.fetch(Request("/echo", "POST", body=body))
        check(response.body == body, f"a body of {len(body)} bytes came back changed")
    await client.close()


async def client_that_leaves_in_the_middle(program: Program, binary: Path) -> None:
    command = get_command(program, binary, "/count/999999999")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    equal(await process.stdout.readline(), b"line 1\n", "first line")
    process.kill()
    await process.wait()
    await parameter_and_field(program, binary)


# --- webtransport_echo ---------------------------------------------------------------------------------------------


async def talk(program: Program, binary: Path, path: str, said: str) -> str:
    url = f"https://localhost:{program.port}{path}"
    command = [str(binary), "wt", "--insecure", "--linger", str(program.linger_seconds), url]
    out, _ = await output(command, said.encode(), expected=None)
    return out.decode()


async def our_client_hears_its_echo(program: Program, binary: Path) -> None:
    heard = await talk(program, binary, "/wt/echo", "a datagram\n/bi both ways\n/uni one way\n")
    for words in ["datagram: a datagram", "both ways", "one way"]:
        check(words in heard, f"{words!r} is not in {heard!r}")


async def server_closes_with_a_code(program: Program, binary: Path) -> None:
    heard = await talk(program, binary, "/wt/close/4294967295", "")
    check("code 4294967295, as you asked" in heard, f"the close is not in {heard!r}")


async def connection_without_http_is_echoed(program: Program, _: Path) -> None:
    await echo_without_http(program)


async def program_saw_the_close(program: Program, _: Path) -> None:
    while not re.search(r"closed with 7777 \(enough of it\)", program.log()):
        await asyncio.sleep(0.05)


def of_aioquic(case: webtransport.Case) -> Case:
    async def run_case(program: Program, _: Path) -> None:
        await case(program)

    run_case.__name__ = case.__name__
    return run_case


Case = Callable[[Program, Path], Awaitable[None]]
PROGRAMS: dict[str, list[Case]] = {
    "hello": [fixed_route_and_parameter, hundred_at_once],
    "routes": [
        parameter_and_field,
        lines_and_their_trailer,
        upload_is_counted,
        body_comes_back,
        client_that_leaves_in_the_middle,
    ],
    "webtransport_echo": [
        our_client_hears_its_echo,
        server_closes_with_a_code,
        connection_without_http_is_echoed,
        *(of_aioquic(case) for case in ECHO_CASES),
        program_saw_the_close,
    ],
}

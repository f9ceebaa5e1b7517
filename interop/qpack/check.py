#!/usr/bin/env python3
"""Checks our QPACK against ls-qpack, through pylsqpack, in both directions.

    check.py PATH_TO_QPACK_PEER [--sections N] [--seed N]

PATH_TO_QPACK_PEER is the built example `qpack_peer` of crates/proto. Needs `pip install pylsqpack==1.0.0`.

Each round is a connection with settings of its own. Its three streams (sections, encoder stream, decoder stream) are
delivered out of order and in pieces, some sections are cancelled, and every other one must come out as it went in.
Prints `N passed, N failed`; exits with 1 if a check failed.
"""

import argparse
import random
import subprocess
import sys
from collections import Counter

import pylsqpack

SECTIONS_A_ROUND = 60
STATIC = [
    (b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":status", b"200"), (b":status", b"404"),
    (b"accept", b"*/*"), (b"accept-encoding", b"gzip, deflate, br"), (b"cache-control", b"no-cache"),
    (b"content-type", b"text/html; charset=utf-8"), (b"vary", b"accept-encoding"), (b"x-frame-options", b"deny"),
]
NAMES = [
    b":authority", b":path", b"accept-language", b"content-length", b"cookie", b"date", b"etag", b"server",
    b"user-agent", b"priority", b"sec-ch-ua", b"sec-fetch-mode", b"x-request-id", b"content-security-policy",
    b"x-a-name-that-no-table-holds",
]


class Peer:
    """Our side, as a process."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise Fault("our side has ended")
        if answer[0] == "error":
            raise Fault("our side: " + " ".join(answer[1:]))
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Fault(Exception):
    """One of the sides found the other's bytes faulty, or a section came out wrong."""


def to_hex(data):
    return data.hex() or "-"


def from_hex(text):
    return b"" if text == "-" else bytes.fromhex(text)


def random_lines(rng, epoch):
    lines = []
    # At least one: their decoder refuses empty sections, which RFC 9204 section 4.5 allows.
    for _ in range(rng.randrange(1, 14)):
        kind = rng.randrange(10)
        if kind < 3:
            lines.append(rng.choice(STATIC))
        elif kind < 7:
            # Comes back within the epoch.
            name = rng.choice(NAMES)
            lines.append((name, b"%s, seen in epoch %d" % (name * rng.randrange(3), epoch)))
        elif kind < 8:
            value = bytes(rng.randrange(256) for _ in range(rng.randrange(30)))
            lines.append((rng.choice(NAMES), value))
        elif kind < 9:
            lines.append((rng.choice(NAMES), b"%d" % rng.randrange(10 ** rng.randrange(1, 12))))
        else:
            lines.append((rng.choice(NAMES), b"v" * rng.randrange(200)))
    return lines


class Round:
    """What both directions share: sections on their way, in order on each stream, and a piecewise encoder stream."""

    def __init__(self, rng, peer):
        self.rng = rng
        self.peer = peer
        self.capacity = rng.choice([0, 100, 220, 500, 1000, 4096, 65536])
        self.blocked_limit = rng.choice([0, 1, 4, 16])
        self.sections = []
        self.blocked = {}
        self.encoder_stream = b""
        self.passed = 0
        self.cancelled = 0
        self.waited = 0
        self.insertions = 0
        self.duplicates = 0

    def run(self):
        for index in range(SECTIONS_A_ROUND):
            stream = 4 * index
            lines = random_lines(self.rng, index // 20)
            self.sections.append((stream, self.encode(stream, lines), lines))
            self.shuffle()
        while self.sections or self.blocked:
            self.deliver_section()
            self.deliver_encoder_stream(len(self.encoder_stream))
            self.deliver_decoder_stream()

    def shuffle(self):
        for _ in range(self.rng.randrange(4)):
            action = self.rng.randrange(10)
            if action < 4:
                self.deliver_section()
            elif action < 7:
                self.deliver_encoder_stream(self.rng.randrange(len(self.encoder_stream) + 1))
            elif action < 9:
                self.deliver_decoder_stream()
            elif self.rng.randrange(3) == 0:
                self.cancel()

    def deliver_section(self):
        if not self.sections:
            return
        stream, section, lines = self.sections.pop(self.rng.randrange(len(self.sections)))
        decoded = self.decode(stream, section)
        if decoded is None:
            self.waited += 1
            self.blocked[stream] = (section, lines)
        else:
            self.compare(stream, lines, decoded)

    def deliver_encoder_stream(self, length):
        data, self.encoder_stream = self.encoder_stream[:length], self.encoder_stream[length:]
        for stream, decoded in self.insert(data):
            _, lines = self.blocked.pop(stream)
            self.compare(stream, lines, decoded)

    def cancel(self):
        """The stream of a section is reset, before the section arrived or while it is blocked."""
        if self.blocked and self.rng.randrange(2):
            stream = self.rng.choice(list(self.blocked))
            del self.blocked[stream]
        elif self.sections:
            stream, _, _ = self.sections.pop(self.rng.randrange(len(self.sections)))
        else:
            return
        self.cancelled += 1
        self.abandon(stream)

    def compare(self, stream, lines, decoded):
        if decoded != lines:
            raise Fault(f"stream {stream}: sent {lines}, received {decoded}")
        self.passed += 1


class OurEncoder(Round):
    """Our encoder, their decoder."""

    EXERCISED = ["passed", "waited", "cancelled", "insertions", "duplicates"]

    def __init__(self, rng, peer):
        super().__init__(rng, peer)
        own_blocked = rng.choice([0, 16])
        self.may_block = own_blocked > 0 and self.blocked_limit > 0
        peer.ask("encoder", self.capacity, self.blocked_limit, own_blocked, rng.choice([0, 1, 1, 1]))
        self.decoder = pylsqpack.Decoder(self.capacity, self.blocked_limit)
        self.decoder_stream = b""
        self.acknowledged = 0

    def encode(self, stream, lines):
        words = [f"{to_hex(name)}={to_hex(value)}{'!' if self.rng.randrange(20) == 0 else ''}" for name, value in lines]
        _, section, encoder_stream, insertions, duplicates = self.peer.ask("encode", stream, *words)
        self.encoder_stream += from_hex(encoder_stream)
        self.insertions = int(insertions)
        self.duplicates = int(duplicates)
        return from_hex(section)

    def decode(self, stream, section):
        try:
            control, lines = self.decoder.feed_header(stream, section)
        except pylsqpack.StreamBlocked:
            return None
        self.decoder_stream += control
        return lines

    def insert(self, data):
        decoded = []
        for stream in self.decoder.feed_encoder(data):
            control, lines = self.decoder.resume_header(stream)
            self.decoder_stream += control
            decoded.append((stream, lines))
        # pylsqpack says no Insert Count Increment. Where sections refer to acknowledged entries only, their
        # acknowledgments tell nothing new, so that the increment is known here.
        increment = self.insertions - self.acknowledged
        if not self.may_block and not self.encoder_stream and 0 < increment < 63:
            self.acknowledged = self.insertions
            self.decoder_stream += bytes([increment])
        return decoded

    def deliver_decoder_stream(self):
        length = self.rng.randrange(len(self.decoder_stream) + 1)
        data, self.decoder_stream = self.decoder_stream[:length], self.decoder_stream[length:]
        self.peer.ask("decoder-stream", to_hex(data))

    def abandon(self, stream):
        self.decoder_stream += self.decoder.cancel_stream(stream)


class TheirEncoder(Round):
    """Their encoder, our decoder."""

    EXERCISED = ["passed", "waited", "cancelled", "insertions"]

    def __init__(self, rng, peer):
        super().__init__(rng, peer)
        peer.ask("decoder", self.capacity, self.blocked_limit)
        self.encoder = pylsqpack.Encoder()
        self.encoder_stream += self.encoder.apply_settings(self.capacity, self.blocked_limit)

    def encode(self, stream, lines):
        encoder_stream, section = self.encoder.encode(stream, lines)
        self.encoder_stream += encoder_stream
        return section

    def decode(self, stream, section):
        answer = self.peer.ask("decode", stream, to_hex(section))
        if answer[0] == "blocked":
            return None
        return [tuple(from_hex(part) for part in line.split("=")) for line in answer[1:]]

    def insert(self, data):
        self.insertions = int(self.peer.ask("encoder-stream", to_hex(data))[1])
        decoded = []
        for stream, (section, _) in list(self.blocked.items()):
            lines = self.decode(stream, section)
            if lines is not None:
                decoded.append((stream, lines))
        return decoded

    def deliver_decoder_stream(self):
        self.encoder.feed_decoder(from_hex(self.peer.ask("output")[1]))

    def abandon(self, stream):
        self.peer.ask("cancel", stream)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("peer", help="the built example qpack_peer")
    parser.add_argument("--sections", type=int, default=12000, help="field sections to try, both directions together")
    parser.add_argument("--seed", type=int, default=1, help="the first round's seed")
    arguments = parser.parse_args()

    peer = Peer(arguments.peer)
    passed = failed = 0
    totals = {kind: Counter() for kind in (OurEncoder, TheirEncoder)}
    for number in range(max(2, arguments.sections // SECTIONS_A_ROUND)):
        seed = arguments.seed + number
        kind = (OurEncoder, TheirEncoder)[number % 2]
        this = None
        try:
            this = kind(random.Random(seed), peer)
            this.run()
        except (Fault, pylsqpack.DecompressionFailed, pylsqpack.EncoderStreamError,
                pylsqpack.DecoderStreamError) as fault:
            failed += 1
            print(f"{kind.__doc__} Seed {seed}: {type(fault).__name__}: {fault}", file=sys.stderr)
        if this is not None:
            passed += this.passed
            totals[kind].update({what: getattr(this, what) for what in kind.EXERCISED})
    peer.close()
    for kind, total in totals.items():
        print(kind.__doc__, ", ".join(f"{total[what]} {what}" for what in kind.EXERCISED))
        # A check that exercises nothing has not passed.
        failed += sum(total[what] == 0 for what in kind.EXERCISED)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

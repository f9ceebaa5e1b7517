"""A running server, with a certificate that the clients know: Lorraine, or another one to compare it with."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

START_SECONDS = 30
STOP_SECONDS = 30
AIOQUIC_SERVER = Path(__file__).resolve().parent.parent / "webtransport" / "aioquic_server.py"
PAGE = re.compile(r"http://localhost:\d+")
ADDRESS = re.compile(r"https://[^ ]+:(\d+)")


class Certificate:
    """ECDSA P-256 for localhost, 13 days: what browsers accept by its hash."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._self_signed(key)
        self.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.sha256 = base64.b64encode(certificate.fingerprint(hashes.SHA256())).decode()
        self.spki_sha256 = base64.b64encode(hashlib.sha256(public).digest()).decode()

    @staticmethod
    def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        hosts = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=13) - datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .sign(key, hashes.SHA256())
        )


class Server:
    """A program, from its start until the `with` block ends. It must print its address, and stop at SIGINT."""

    start_seconds: float = START_SECONDS
    stop_seconds: float = STOP_SECONDS

    def __init__(self, arguments: list[str], folder: Path, certificate: Certificate) -> None:
        self.certificate = certificate
        self.folder = folder
        self.port = 0
        self.page = ""
        self._arguments = [*arguments, "--cert", str(certificate.cert), "--key", str(certificate.key)]
        self._log: list[str] = []
        self._listening = threading.Event()

    @classmethod
    def lorraine(cls, binary: Path, command: str, folder: Path, certificate: Certificate, *more: str) -> Server:
        """The server that is tested."""
        arguments = [str(binary), command, str(folder), "--listen", "127.0.0.1:0", "--no-qlog", *more]
        if command == "demo" and "--page" not in more:
            arguments.append("--no-page")
        return cls(arguments, folder, certificate)

    @classmethod
    def aioquic(cls, folder: Path, certificate: Certificate) -> Server:
        """An independent server with the WebTransport routes of Lorraine's demo."""
        return cls([sys.executable, str(AIOQUIC_SERVER), "--port", "0"], folder, certificate)

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + self.start_seconds
        while not self._listening.wait(0.05):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._reader.join()
                raise RuntimeError(f"{' '.join(self._arguments)} does not listen:\n{self.log()}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def program(self) -> str:
        return self._arguments[0]

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def exit_code(self) -> int | None:
        """How the program ended; to be asked after the `with` block."""
        return self._process.poll()

    def log(self) -> str:
        """What the program has said so far."""
        return "".join(self._log)

    def _read(self) -> None:
        for line in self._process.stdout:
            self._log.append(line)
            if page := PAGE.search(line):
                self.page = page.group(0)
            address = ADDRESS.search(line)
            if address and not self._listening.is_set():
                self.port = int(address.group(1))
                self._listening.set()

"""nginx, HAProxy and Caddy with our example files, before web processes of a test."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.deployment.examples import open_folder, rendered, running
from tests.programs import program
from tests.servers import Process, free_port

NAMES = ("nginx", "haproxy", "caddy")
HOST = "127.0.0.1"
# Of an impatient one, in place of 60.
TIMEOUT_SECONDS = 2
WAITS = {
    "nginx": ("proxy_read_timeout",),
    "haproxy": ("timeout client", "timeout server"),
    "caddy": (),  # waits for ever
}


@dataclass(frozen=True)
class Proxy:
    """A running proxy, asked over TLS."""

    name: str
    authority: str
    plain_url: str
    tls: ssl.SSLContext
    process: Process

    @property
    def url(self) -> str:
        return f"https://{self.authority}"

    @property
    def knows_all(self) -> bool:
        """Whether it leaves none out: HAProxy may, for a second after it has come back."""
        said = self.process.output
        return self.name != "haproxy" or said.count(" is DOWN") == said.count(" is UP")

    @property
    def compresses(self) -> str | None:
        """How it compresses what is no stream, if it does."""
        return None if self.name == "haproxy" else "gzip"

    @property
    def stream_url(self) -> str:
        return f"{self.url}/api/v1/executions/stream"

    def client(self, *, http2: bool = False, address: str | None = None) -> httpx.Client:
        """Return a client, which comes from that address of the loopback network."""
        transport = httpx.HTTPTransport(verify=self.tls, http2=http2, local_address=address)
        return httpx.Client(transport=transport, timeout=15, base_url=self.url)


@contextmanager
def proxy_before(name: str, first: int, second: int, *, impatient: bool = False) -> Iterator[Proxy]:
    """Run the proxy before the web processes on these two ports.

    An impatient one waits only TIMEOUT_SECONDS for a web process to say something.
    """
    folder, port, plain_port = open_folder(name), free_port(), free_port()
    _make_certificate(folder)
    tls = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
    replaced = {"web1:8000": f"{HOST}:{first}", "web2:8000": f"{HOST}:{second}"}
    if impatient:
        replaced |= {f"{what} 60s": f"{what} {TIMEOUT_SECONDS}s" for what in WAITS[name]}
    start = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}[name]
    command = start(folder, port, plain_port, replaced)
    env = {**os.environ, "HOME": str(folder)}  # where Caddy keeps things
    with running(command, folder / "output", port=port, env=env) as process:
        yield Proxy(name, f"{HOST}:{port}", f"http://{HOST}:{plain_port}", tls, process)


def _nginx(folder: Path, port: int, plain_port: int, replaced: dict[str, str]) -> list[str]:
    temporary = "".join(
        f"{kind}_temp_path {folder / kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    replaced |= {
        "http {": f"http {{ {temporary}",
        "listen 80;": f"listen {HOST}:{plain_port};",
        "listen 443 ": f"listen {HOST}:{port} ",
        "/etc/nginx/tls": str(folder),
        "/run/nginx.pid": str(folder / "pid"),
        "/var/log/nginx": str(folder),
    }
    file = folder / "nginx.conf"
    file.write_text(rendered("nginx.conf", replaced), encoding="utf-8")
    errors = str(folder / "error.log")
    return [program("nginx"), "-c", str(file), "-e", errors, "-g", "daemon off;"]


def _haproxy(folder: Path, port: int, plain_port: int, replaced: dict[str, str]) -> list[str]:
    replaced |= {
        "bind :80": f"bind {HOST}:{plain_port}",
        "bind :443": f"bind {HOST}:{port}",
        "/etc/haproxy/attune.pem": str(folder / "both.pem"),
        "Host attune.example.com": f"Host {HOST}",
        "maxconn 30000": "maxconn 500",  # which needs no right to more open files
    }
    if os.geteuid() != 0:  # who is not root has nobody else to be
        replaced |= {"user ": "# user ", "group ": "# group ", "chroot ": "# chroot "}
    file = folder / "haproxy.cfg"
    file.write_text(rendered("haproxy.cfg", replaced), encoding="utf-8")
    return [program("haproxy"), "-db", "-f", str(file)]


def _caddy(folder: Path, port: int, plain_port: int, replaced: dict[str, str]) -> list[str]:
    options = f"{{\n\tadmin off\n\tauto_https disable_certs\n\thttp_port {plain_port}\n}}\n"
    files = f"{folder / 'fullchain.pem'} {folder / 'privkey.pem'}"
    replaced |= {
        "(streams) {": f"{options}(streams) {{",
        "attune.example.com {": f"https://{HOST}:{port} {{\n\tbind {HOST}\n\ttls {files}",
    }
    file = folder / "Caddyfile"
    file.write_text(rendered("Caddyfile", replaced), encoding="utf-8")
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


def _make_certificate(folder: Path) -> None:
    """Write a certificate for the address, and its key, apart and in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for file, content in (("fullchain", chain), ("privkey", private), ("both", chain + private)):
        (folder / f"{file}.pem").write_bytes(content)

"""An nginx for one test: the configuration of `deploy/nginx`, a certificate of its own authority, free ports."""

import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.own_service import OwnService, end_process, find_program, free_port

DEPLOY = Path(__file__).parents[1] / "deploy" / "nginx"

#: The name in the certificate, and in the requests.
NAME = "localhost"

#: The unprivileged user of nginx when the tests run as root.
_USER = "nobody"

_FRAME = """
pid {directory}/nginx.pid;
error_log {directory}/error.log;
daemon off;
worker_processes 2;
events {{ worker_connections 2048; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/temporary/body;
    proxy_temp_path {directory}/temporary/proxy;
    fastcgi_temp_path {directory}/temporary/fastcgi;
    uwsgi_temp_path {directory}/temporary/uwsgi;
    scgi_temp_path {directory}/temporary/scgi;
    include {directory}/conf.d/*.conf;
}}
"""


def require_nginx() -> str:
    """Return the path of nginx; skip the test if it is missing, which in CI is a failure."""
    return find_program("nginx")


class OwnNginx(OwnService):
    """An nginx in front of servers on these ports of loopback, started on entering and ended on leaving."""

    def __init__(self, servers: Sequence[int]) -> None:
        self._program = require_nginx()
        self._user = _USER if os.geteuid() == 0 else None
        self._servers = servers
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = Path()
        self.port = self.plain_port = 0

    @property
    def url(self) -> str:
        """Its TLS address."""
        return f"https://{NAME}:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate of the authority that signed its own."""
        return self.directory / "tls" / "ca.pem"

    @property
    def trust(self) -> ssl.SSLContext:
        """The TLS context of a client that trusts it."""
        return ssl.create_default_context(cafile=str(self.authority))

    def _begin(self) -> None:
        # Not a directory of pytest's, which another user cannot read.
        self.directory = Path(tempfile.mkdtemp(prefix="nginx-"))
        subprocess.run(["sh", DEPLOY / "certificate.sh", NAME, self.directory / "tls"], check=True)
        self._start()

    def _start(self) -> None:
        # A free port may be taken before nginx listens on it.
        for _ in range(5):
            self.port, self.plain_port = free_port(), free_port()
            self._configure()
            command = [self._program, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]
            who = {} if self._user is None else {"user": self._user, "group": _group(self._user), "extra_groups": []}
            with (self.directory / "output").open("ab") as output:
                self._process = subprocess.Popen([*command, "-e", "stderr"], stdout=output, stderr=output, **who)
            if self._answers():
                return
        raise AssertionError(self.log_text())

    def _configure(self) -> None:
        (self.directory / "conf.d").mkdir(exist_ok=True)
        (self.directory / "temporary").mkdir(exist_ok=True)
        (self.directory / "nginx.conf").write_text(_FRAME.format(directory=self.directory))
        for name, changes in self._changes().items():
            text = (DEPLOY / name).read_text()
            for old, new in changes.items():
                assert old in text, f"{name} has no {old!r} any more"
                text = text.replace(old, new)
            (self.directory / "conf.d" / name).write_text(text)
        if self._user is not None:
            for path in (self.directory, *self.directory.rglob("*")):
                shutil.chown(path, self._user, _group(self._user))

    def _changes(self) -> Mapping[str, Mapping[str, str]]:
        """Return the replacements of an operator: the servers, the ports, the name, the certificate."""
        known = (8080, 8081)
        line = "    server 127.0.0.1:{} max_fails=1 fail_timeout={}s;\n"
        # nginx retries a restarted server sooner.
        servers = "".join(line.format(port, 1) for port in self._servers)
        return {
            "diffusion-pipe-api-servers.conf": {"".join(line.format(port, 5) for port in known): servers},
            "diffusion-pipe-api.conf": {
                "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
                "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
                "https://$server_name$": f"https://$server_name:{self.port}$",
                "gpu.example.org": NAME,
                "/etc/nginx/diffusion-pipe-api/": f"{self.directory}/tls/",
            },
        }

    def _answers(self) -> bool:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
                    self.trust.wrap_socket(plain, server_hostname=NAME).close()
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False

    def log_text(self) -> str:
        """Return its own logs."""
        return "".join((self.directory / name).read_text() for name in ("output", "error.log") if self._has(name))

    def _has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def temporary_bytes(self) -> int:
        """Return the bytes of proxied content that it buffers on the disk."""
        return sum(path.stat().st_blocks * 512 for path in (self.directory / "temporary").rglob("*") if path.is_file())

    def _end(self) -> None:
        end_process(self._process)
        if self.directory.name:  # else it has no directory yet, and this would be the current one
            shutil.rmtree(self.directory, ignore_errors=True)


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid

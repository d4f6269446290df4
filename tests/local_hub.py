"""A model hub on this machine with the API and files of Hugging Face, and the faults that a test requests."""

import hashlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from tests.hub_writes import HubWrites

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class LocalHub:
    """Files by repository and path. `fault` may answer a request for a file itself, and then returns True."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    token: str | None = None  #: required for everything if set
    gated: set[str] = field(default_factory=set)
    lies: dict[str, str] = field(default_factory=dict)  #: false names, by file name
    wrong_hashes: set[str] = field(default_factory=set)
    fault: Callable[["BaseHTTPRequestHandler", bytes], bool] | None = None
    redirect: str | None = None  #: the address that files redirect to
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)  #: path, range, authorization
    address: str = ""
    stored: dict[str, bytes] = field(
        default_factory=dict
    )  #: large files by their hash, including those of no repository yet
    commits: list[tuple[str, str, list[str]]] = field(default_factory=list)  #: repository, message, paths
    part_size: int | None = None  #: large files are sent in parts of this size
    upload_address: str | None = None  #: where large files are sent, if not here
    write_fault: Callable[["BaseHTTPRequestHandler", str], bool] | None = None  #: of create, lfs, put, commit, …
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, repository: str, path: str, content: bytes) -> bytes:
        self.files.setdefault(repository, {})[path] = content
        return content

    def describe(self, repository: str) -> dict[str, Any]:
        siblings = []
        for path, content in self.files[repository].items():
            named = self.lies.get(path, path)
            sha256 = "0" * 64 if path in self.wrong_hashes else hashlib.sha256(content).hexdigest()
            about: dict[str, Any] = {"rfilename": named, "size": len(content)}
            if path.endswith((".safetensors", ".pth", ".bin")):
                about["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
                about["blobId"] = "f" * 40
            else:
                blob = b"blob %d\0" % len(content) + content
                about["blobId"] = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
            siblings.append(about)
        return {
            "id": repository,
            "modelId": repository,
            "sha": self.revision_of(repository),
            "siblings": siblings,
            "tags": [],
            "downloads": 0,
        }

    def revision_of(self, repository: str) -> str:
        """Return the current commit of a repository."""
        count = sum(name == repository for name, *_ in self.commits)
        return REVISION if not count else f"{count:040x}"


class _Handler(HubWrites, BaseHTTPRequestHandler):
    hub: ClassVar[LocalHub]
    protocol_version = "HTTP/1.1"
    # The body goes out with its headers: else each response waits 40 ms for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_POST(self) -> None:
        self.take_post()

    def do_PUT(self) -> None:
        self.take_put()

    def do_GET(self) -> None:
        hub = self.hub
        given = self.headers.get("Authorization")
        hub.requests.append((self.path, self.headers.get("Range"), given))
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            self._answer_api(path.removeprefix("/api/models/").partition("/revision/")[0], given)
            return
        repository, _, rest = path.removeprefix("/").partition("/resolve/")
        content = hub.files.get(repository, {}).get(rest.partition("/")[2])
        if content is None:
            self.answer(404, b"")
        elif hub.redirect is not None and "/again/" not in self.path:
            self.answer(302, b"", Location=hub.redirect)
        elif hub.fault is None or not hub.fault(self, content):
            self.send_content(content)

    def _answer_api(self, repository: str, given: str | None) -> None:
        hub = self.hub
        if repository in hub.gated and given != f"Bearer {hub.token}":
            self.answer(403, b"{}", **{"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        elif hub.token is not None and given != f"Bearer {hub.token}":
            self.answer(401, b"{}")
        elif repository not in hub.files:
            self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound", "X-Error-Message": "no"})
        else:
            self.answer(200, json.dumps(hub.describe(repository)).encode())

    def send_content(self, content: bytes) -> None:
        """Send the content, or the part that Range requests."""
        begin = self.begin_of_range()
        if begin is None:
            self.answer(200, content)
        elif begin >= len(content):
            self.answer(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
        else:
            place = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[begin:], **{"Content-Range": place})

    def begin_of_range(self) -> int | None:
        wanted = self.headers.get("Range")
        return None if wanted is None else int(wanted.removeprefix("bytes=").partition("-")[0])

    def answer(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: clients that disconnect are part of the tests."""


@contextmanager
def running_hub(hub: LocalHub | None = None) -> Iterator[LocalHub]:
    """Run the hub on its own port until the end of the `with` block."""
    hub = hub or LocalHub()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def cutting(seed: int, share: float = 0.5) -> Callable[[BaseHTTPRequestHandler, bytes], bool]:
    """Return a random fault: cut connections, short bodies, wrong parts, 429, 500, or a complete file for a part."""
    chance = random.Random(seed)

    def fault(handler: Any, content: bytes) -> bool:
        if chance.random() > share:
            return False
        begin = handler.begin_of_range() or 0
        status = 200 if handler.begin_of_range() is None else 206
        place = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if status == 206 else {}
        match chance.randrange(6):
            case 0 | 1:
                rest = content[begin:]
                handler.answer(status, rest[: chance.randrange(len(rest) + 1)], len(rest), **place)
                handler.close_connection = True
            case 2:
                handler.answer(429, b"", **{"Retry-After": "0"})
            case 3:
                handler.answer(500, b"x")
            case 4:
                handler.answer(200, content)
            case _:
                handler.answer(206, content[begin // 2 :], **{"Content-Range": f"bytes {begin // 2}-9/{len(content)}"})
        return True

    return fault

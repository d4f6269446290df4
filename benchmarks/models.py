"""Models: reading the header of a 10 GB file, scanning 200 files, a page of 10,000 versions, transfers versus curl."""

import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import insert

from api.catalog.registry.store import RegistryStore
from api.db.database import Database, sqlite_url
from api.db.registry_tables import registry_versions
from api.files.weights.examination import examine
from api.files.weights.scan import LocalModels
from api.jobs.downloads.fetch import FetchContext, RemoteFile, fetch
from api.jobs.downloads.http import open_client
from api.jobs.pushes.failures import SingleTryClient
from api.jobs.pushes.publish import Publisher
from api.jobs.pushes.request import CardRule, PushedFile, PushRequest
from api.util.http.addresses import ReachableHosts
from api.util.http.pagination import PageRequest
from benchmarks.effort import Effort
from benchmarks.rows import MILLISECONDS, SMALL_MEGABYTES, TIMES, Row, at_least, below, cannot_run
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in

HEADER_LIMIT_MS, HEADER_LIMIT_MB = 20.0, 10.0
SCAN_LIMIT_MS, AGAIN_LIMIT_MS = 1000.0, 10.0
SPEED_LIMIT = 0.8
PAGE_LIMIT_MS = 20.0

_FILES, _VERSIONS = 200, 10_000
_DOWNLOAD_BYTES, _PUSH_BYTES = 400_000_000, 200_000_000
_ROOT = Path(__file__).parents[1]

#: As many tensors as a large model has, 10 GB of them.
_BLOCKS = {f"double_blocks.{n}.{part}.weight": [4096, 1024] for n in range(50) for part in (f"m{k}" for k in range(25))}


def measure(effort: Effort) -> Iterator[Row]:
    """Measure in this process, since HTTP would add the same to each."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        yield from _measure_header(root / "header")
        yield from _measure_scan(root / "scan")
        yield from _measure_versions(root / "versions")
        yield _measure_download(root / "download")
        yield _measure_push(root / "push")


def _measure_header(root: Path) -> Iterator[Row]:
    path = write_stand_in(root / "w.safetensors", _BLOCKS | STAND_INS["flux-dev"])
    what = f"header of a file of {path.stat().st_size / 1e9:.0f} GB judged"
    yield below(what, _median_ms(lambda: examine(path)), HEADER_LIMIT_MS, MILLISECONDS)
    tracemalloc.start()
    examine(path)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    yield below("memory that it takes", peak, HEADER_LIMIT_MB, SMALL_MEGABYTES)


def _measure_scan(root: Path) -> Iterator[Row]:
    components = list(STAND_INS.values())
    for number in range(_FILES):
        shapes = dict(list(_BLOCKS.items())[:1000]) | components[number % len(components)]
        write_stand_in(root / f"{number % 20}" / f"{number}.safetensors", shapes)
    models = LocalModels([root])
    began = time.perf_counter()
    models.scan()
    yield below(f"scan of {_FILES} models", (time.perf_counter() - began) * 1000, SCAN_LIMIT_MS, MILLISECONDS)
    yield below("the same again, nothing changed", _median_ms(models.scan), AGAIN_LIMIT_MS, MILLISECONDS)


def _measure_versions(root: Path) -> Iterator[Row]:
    root.mkdir()
    database = Database(sqlite_url(root / "database.sqlite"), root)
    database.migrate()
    store = RegistryStore(database)
    model = store.ensure("many", None, datetime.now(UTC))
    row = {"model": model.serial, "size_bytes": 1, "created_at": 1.0, "actor": "a", "file_name": "f", "notes": None}
    row |= {"tags": [], "origin": {"request": {"x": ["y"] * 50}}, "format": {"rank": 1}}
    with database.write(is_audited=False) as connection:
        numbers = range(1, _VERSIONS + 1)
        connection.execute(insert(registry_versions), [{**row, "ordinal": n, "sha256": f"{n:064x}"} for n in numbers])
    for what, cursor in (("first page", None), ("deep cursor", 100)):
        taken = _median_ms(lambda cursor=cursor: store.versions("many", PageRequest(50, cursor=cursor and str(cursor))))
        yield below(f"{what} of {_VERSIONS:,} versions", taken, PAGE_LIMIT_MS, MILLISECONDS)
    database.close()


def _measure_download(root: Path) -> Row:
    what = "download, of curl's speed with sha256sum behind it"
    if shutil.which("curl") is None or shutil.which("sha256sum") is None:
        return cannot_run(what, "curl and sha256sum are not installed")
    (root / "served").mkdir(parents=True)
    source = root / "served" / "w.bin.json"
    size = _fill(source, _DOWNLOAD_BYTES)
    sha256 = subprocess.run(["sha256sum", source], capture_output=True, text=True, check=True).stdout.split()[0]
    with _serving(root / "served") as port:
        url = f"http://127.0.0.1:{port}/{source.name}"
        theirs = min(_seconds(lambda: _by_curl(url, root)) for _ in range(3))
        ours = min(_seconds(lambda n=n: _by_us(url, root, f"{n}.json", size, sha256)) for n in range(3))
    return at_least(what, theirs / ours, SPEED_LIMIT, TIMES, f"{size / theirs / 1e6:,.0f} MB/s")


def _fill(path: Path, size: int) -> int:
    """Write a file of about this size; return its exact size."""
    with path.open("wb") as file:
        part = os.urandom(1024 * 1024)
        for _ in range(size // len(part)):
            file.write(part)
    return path.stat().st_size


def _measure_push(root: Path) -> Row:
    what = "push to a hub, of curl -T's speed with sha256sum before it"
    if shutil.which("curl") is None or shutil.which("sha256sum") is None:
        return cannot_run(what, "curl and sha256sum are not installed")
    root.mkdir()
    source = root / "weights.safetensors"
    size = _fill(source, _PUSH_BYTES)
    theirs, ours = [], []
    for _ in range(3):
        # A new hub each time: it stores received files, which would not be sent again.
        with _hub() as address:
            theirs.append(_seconds(lambda at=address: _sent_by_curl(at, source)))
        with _hub() as address:
            ours.append(_seconds(lambda at=address: _pushed(at, root, size)))
    return at_least(what, min(theirs) / min(ours), SPEED_LIMIT, TIMES, f"{size / min(theirs) / 1e6:,.0f} MB/s")


def _sent_by_curl(address: str, source: Path) -> None:
    sha256 = subprocess.run(["sha256sum", source], capture_output=True, text=True, check=True).stdout.split()[0]
    subprocess.run(["curl", "-sf", "-T", source, f"{address}/lfs/{sha256}"], check=True)


def _pushed(address: str, root: Path, size: int) -> None:
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    hosts = ReachableHosts.of([address.removeprefix("http://")])
    files = (PushedFile("weights.safetensors", "weights.safetensors", size),)
    Publisher(
        request=PushRequest(address, "ann/cats", "main", True, True, "cats", CardRule.NEVER, files, ()),
        token="hf_none",
        open_client=lambda: open_client(hosts, SingleTryClient),
        work=root,
        report=lambda *_: None,
        warn=lambda text: None,
        is_stopping=lambda: False,
    ).run()


@contextmanager
def _hub() -> Iterator[str]:
    """Run a hub in a separate process, so that it does not slow the sender."""
    program = (
        "from tests.local_hub import running_hub\nwith running_hub() as hub: print(hub.address, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("\n")


def _by_curl(url: str, root: Path) -> None:
    subprocess.run(["curl", "-sf", "-o", root / "theirs", url], check=True)
    subprocess.run(["sha256sum", root / "theirs"], capture_output=True, check=True)


def _by_us(url: str, root: Path, name: str, size: int, sha256: str) -> None:
    with open_client(ReachableHosts.of(["127.0.0.1"])) as client:
        around = FetchContext(root, client, False, lambda *_: None, lambda _: None, lambda: False)
        fetch(RemoteFile(url, "ours", name, size, sha256), around)


@contextmanager
def _serving(directory: Path) -> Iterator[int]:
    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(directory))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def copyfile(self, source: object, outputfile: object) -> None:
            """Send with the kernel's sendfile, so that this server is not the bottleneck."""
            self.wfile.flush()
            at = 0
            while sent := os.sendfile(self.connection.fileno(), source.fileno(), at, 1024 * 1024):  # type: ignore[attr-defined]
                at += sent

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _median_ms(action: Callable[[], object]) -> float:
    return statistics.median(_seconds(action) for _ in range(15)) * 1000


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began

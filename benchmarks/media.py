"""Media of datasets: a check of 10,000 images compared with decoding by Pillow, a repeated check, first thumbnails."""

import io
import json
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from api.composition.datasets import DatasetParts
from api.config import Config
from api.db.database import Database, sqlite_url
from api.domain.datasets.dataset import ManifestItem
from api.util.clock import SystemClock
from benchmarks.effort import Effort
from benchmarks.rows import MEGABYTES, MILLISECONDS, SECONDS, TIMES, Row, below, without_limit
from benchmarks.servers import CannotRunError, Client, Running, service, simulated

DATASETS = "/api/v1/datasets"
CHECK_LIMIT = 1.5
AGAIN_LIMIT = 0.05
THUMBNAILS_LIMIT_SECONDS = 1.0
STATUS_LIMIT_MS = 50.0

_SIDE = 768
_DIFFERENT = 40  #: pictures; the others are copies with a note of their own
_SEEN_AT_FIRST = 24  #: thumbnails that a page shows at first, by a browser's six connections
_CONNECTIONS = 6
_KINDS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP")
_WISH = {"model_type": "flux", "resolutions": [768], "enable_ar_bucket": True, "ar_buckets": [0.75, 1.0, 1.33]}


def measure(effort: Effort) -> Iterator[Row]:
    """Measure over HTTP with images that the service has not read before."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = _write_images(root / "images", effort.images)
        storage = root / "storage"
        with service(**simulated("1x NVIDIA H100 80GB HBM3", STORAGE_ROOT=str(storage))) as server:
            client = Client(server, timeout=600)
            _ask(client, DATASETS, {"name": "bench"})
            ids = _fill(storage, files)
            first = _first_thumbnails(server, ids)
            what = f"first {_SEEN_AT_FIRST} thumbnails of a fresh dataset"
            yield below(what, first, THUMBNAILS_LIMIT_SECONDS, SECONDS)
            yield from _measure_checks(effort, client, server, _decode_with_pillow(files))


def _measure_checks(effort: Effort, client: Client, server: Running, decoded: float) -> Iterator[Row]:
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(_watch_status, server, is_over)
        taken = _check_whole(client)
        is_over.set()
        worst = watching.result()
    memory = _children_mb(server)
    again = min(_check_whole(client) for _ in range(3))
    beside = f"{SECONDS.show(decoded)} Pillow alone, in {psutil.cpu_count()} processes"
    yield below(
        f"check of {effort.images:,} images, of the time to decode", taken / decoded, CHECK_LIMIT, TIMES, beside
    )
    yield below("the same check again", again / decoded, AGAIN_LIMIT, TIMES, SECONDS.show(again))
    yield below("/gpu/status during a check: p99", worst, STATUS_LIMIT_MS, MILLISECONDS)
    yield without_limit("memory of the processes that decode", memory, MEGABYTES)


def _write_images(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    pictures = [(kind, _encode(seed, kind)) for seed in range(_DIFFERENT) for kind in [_KINDS[seed % len(_KINDS)]]]
    files = []
    for number in range(count):
        kind, content = pictures[number % _DIFFERENT]
        path = folder / f"{number:06d}.{kind.lower()}"
        path.write_bytes(_with_note(kind, content, b"%08d" % number))
        files.append(path)
    return files


def _encode(seed: int, kind: str) -> bytes:
    numbers = np.random.default_rng(seed)
    coarse = Image.fromarray(numbers.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = (soft + numbers.integers(-14, 15, soft.shape)).clip(0, 255).astype(np.uint8)
    target = io.BytesIO()
    Image.fromarray(noisy).save(target, kind, quality=90)
    return target.getvalue()


def _with_note(kind: str, content: bytes, note: bytes) -> bytes:
    """Write a copy of the picture as a different file."""
    if kind == "JPEG":
        return content[:2] + b"\xff\xfe" + struct.pack(">H", len(note) + 2) + note + content[2:]
    if kind == "PNG":
        chunk = b"tEXtn\0" + note
        return (
            content[:33]
            + struct.pack(">I", len(chunk) - 4)
            + chunk
            + struct.pack(">I", zlib.crc32(chunk))
            + content[33:]
        )
    longer = content + b"XMP " + struct.pack("<I", len(note)) + note
    return longer[:4] + struct.pack("<I", len(longer) - 8) + longer[8:]


def _fill(storage: Path, files: Sequence[Path]) -> list[str]:
    """Create a version of these files in the running server's storage; return the ids of its items."""
    database = Database(sqlite_url(storage / "database.sqlite"))
    try:
        parts = DatasetParts(Config(storage_root=storage), database, SystemClock())
        items = []
        for path in files:
            with parts.blobs.begin() as writer:
                writer.write(path.read_bytes())
                blob = writer.commit()
            items.append(ManifestItem(path.name, blob.sha256, blob.size_bytes, f"picture {path.stem}"))
        parts.service.add_version(parts.store.get("bench"), items, "bench", "made", expected_latest=None)
    finally:
        database.close()
    return [item.item_id for item in items]


def _first_thumbnails(server: Running, ids: Sequence[str]) -> float:
    def show(some: Sequence[str]) -> None:
        client = Client(server, timeout=60)
        for item_id in some:
            _ask(client, f"{DATASETS}/bench/items/{item_id}/thumbnail")
        client.close()

    wanted = ids[:_SEEN_AT_FIRST]
    began = time.perf_counter()
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        list(threads.map(show, [wanted[start::_CONNECTIONS] for start in range(_CONNECTIONS)]))
    return time.perf_counter() - began


def _decode_with_pillow(files: Sequence[Path]) -> float:
    with get_context("spawn").Pool(psutil.cpu_count() or 1) as pool:
        pool.map(_decode, files[:20])
        began = time.perf_counter()
        pool.map(_decode, files, chunksize=20)
        return time.perf_counter() - began


def _decode(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _check_whole(client: Client) -> float:
    began = time.perf_counter()
    while _ask(client, f"{DATASETS}/bench/check", _WISH)["unexamined"]:
        pass
    return time.perf_counter() - began


def _watch_status(server: Running, is_over: threading.Event) -> float:
    client, taken = Client(server), []
    while not is_over.wait(0.02):
        began = time.perf_counter()
        client.ask("/api/v1/gpu/status")
        taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) * 99 // 100] * 1000


def _children_mb(server: Running) -> float:
    children = server.process.children()
    return sum(child.memory_info().rss for child in children if "api.files.media.child" in child.cmdline()) / 2**20


def _ask(client: Client, path: str, body: Any = None) -> Any:
    """Return the server's response; a `body` is posted. Raise CannotRunError."""
    method, content = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
    answer = client.ask(path, {"Content-Type": "application/json"}, method, content)
    if answer.status >= 400:
        raise CannotRunError(f"{method} {path} fails: {answer.body[:200]!r}")
    return answer.json()["data"] if answer.headers["content-type"] == "application/json" else None

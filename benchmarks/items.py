"""A page of 100,000 dataset items, and a change of one caption."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import insert

from api.datasets.records.dataset_store import DatasetStore, NewVersion
from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.item_store import DatasetItemStore
from api.db.database import Database
from api.db.dataset_tables import media_facts
from api.domain.datasets.dataset import Dataset, ManifestItem, write_manifest
from api.files.blobs import BlobStore
from benchmarks.databases import KINDS, Bare, bare, fresh, migrated, why_not
from benchmarks.effort import Effort
from benchmarks.rows import MILLISECONDS, SECONDS, Row, below, cannot_run, without_limit
from benchmarks.servers import EIGHT_GPUS, CannotRunError, Client, service, simulated

DATASET = "/api/v1/datasets/many"
PAGE = 100
PAGE_LIMIT_MS = 50.0
SEARCH_LIMIT_MS = 250.0  #: it looks at every caption

#: One item in this many has no caption, and one in this many contains the searched word.
UNCAPTIONED, RARE = 200, 1000

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def measure(effort: Effort) -> Iterator[Row]:
    """Measure pages over a persistent HTTP connection, compared with the same rows by the bare driver."""
    for kind in KINDS:
        reason = why_not(kind)
        if reason is not None:
            yield cannot_run(f"/datasets/NAME/items, {kind}", reason)
            continue
        with tempfile.TemporaryDirectory() as folder, fresh(kind, Path(folder)) as url:
            yield from _measure(effort, kind, url, Path(folder) / "datasets")


def _measure(effort: Effort, kind: str, url: str, root: Path) -> Iterator[Row]:
    with migrated(url) as database:
        item_id = fill(database, BlobStore(root), effort.items)
    with _server(url, root) as client, bare(url) as driver:
        if not driver.is_sqlite:
            # PostgreSQL's autovacuum would do this within a minute.
            driver.run("VACUUM ANALYZE")
        queries = {
            "first page": "",
            "deep cursor": f"cursor={effort.items - 2 * PAGE}",
            "problem=missing_caption": "problem=missing_caption",
            "problem=any": "problem=any",
            "search": "search=zebra",
        }
        floor = _floor_ms(effort, driver)
        for name, query in queries.items():
            taken = _median_ms(effort, client, f"{DATASET}/items?limit={PAGE}&{query}")
            what = f"items of {effort.items:,}, {name}, {kind}: p50"
            limit = SEARCH_LIMIT_MS if name == "search" else PAGE_LIMIT_MS
            yield below(what, taken, limit, MILLISECONDS, f"{MILLISECONDS.show(floor)} bare SELECT of a page")
        taken = _median_ms(effort, client, f"{DATASET}/items/{item_id}")
        yield below(f"one item of {effort.items:,}, {kind}: p50", taken, PAGE_LIMIT_MS, MILLISECONDS)
        seconds = _edit(client, item_id)
        yield without_limit(f"one caption of {effort.items:,} changed, {kind}", seconds, SECONDS)


@contextmanager
def _server(url: str, root: Path) -> Iterator[Client]:
    still = {"GPU_MONITOR_INTERVAL": "3600", "GPU_STATUS_CHECK_TIMEOUT": "86400"}
    with service(**simulated(EIGHT_GPUS, DATABASE_URL=url, DATASETS_ROOT=str(root), **still)) as server:
        client = Client(server)
        yield client
        client.close()


def fill(database: Database, blobs: BlobStore, count: int) -> str:
    """Create a dataset of items without files; return the id of one."""
    items = [_item(number) for number in range(count)]
    with blobs.begin() as writer:
        for line in write_manifest(items):
            writer.write(line)
        manifest = writer.commit()
    store, holds = DatasetStore(database), DatasetHolds(database)
    made = store.create(Dataset(0, "many", None, None, (), None, _NOW, _NOW, None))
    held = {item.sha256: 1 for item in items} | {manifest.sha256: manifest.size_bytes}
    claim = holds.hold(made.serial, held, datetime.now(UTC))
    DatasetItemStore(database).ensure(manifest.sha256, lambda: items, datetime.now(UTC))
    new = NewVersion(manifest.sha256, "bench", "", count, count, claim=claim, claimed_blobs=len(held))
    store.add_version(made.serial, new, None, _NOW)
    for start in range(0, count, 5000):
        with database.write() as connection:
            connection.execute(insert(media_facts), [_facts(item) for item in items[start : start + 5000]])
    return items[count // 2].item_id


def _item(number: int) -> ManifestItem:
    caption = f"a photo of {'a zebra' if number % RARE == 1 else 'a cat'}, number {number}, in the afternoon, sharp"
    digest = sha256(str(number).encode()).hexdigest()
    return ManifestItem(f"{number:06}.png", digest, 1, None if number % UNCAPTIONED == 0 else caption)


def _facts(item: ManifestItem) -> dict[str, object]:
    shape = {"kind": "image", "format": "png", "width": 1024, "height": 768, "frame_count": 1}
    return {"sha256": item.sha256, "prober": "bench", "probed_at": 0.0, **shape}


def _median_ms(effort: Effort, client: Client, path: str) -> float:
    taken = []
    for _ in range(effort.requests // 2 + 3):
        began = time.perf_counter()
        answer = client.ask(path)
        taken.append(1000 * (time.perf_counter() - began))
        data = answer.json()["data"]
        if answer.status != 200 or not data or not data.get("items", True):
            raise CannotRunError(f"GET {path}: HTTP {answer.status}, or nothing found")
    return statistics.median(taken[3:])


def _floor_ms(effort: Effort, driver: Bare) -> float:
    taken = []
    for _ in range(effort.requests):
        began = time.perf_counter()
        driver.run(
            "SELECT i.*, f.* FROM dataset_items i LEFT JOIN media_facts f ON f.sha256 = i.sha256 "
            f"WHERE i.manifest = 1 ORDER BY i.position LIMIT {PAGE + 1}"
        )
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def _edit(client: Client, item_id: str) -> float:
    began = time.perf_counter()
    body = json.dumps({"changes": [{"item_id": item_id, "caption": "a dog"}]}).encode()
    answer = client.ask(f"{DATASET}/captions", {"Content-Type": "application/json"}, "PATCH", body)
    if answer.status != 200:
        raise CannotRunError(f"PATCH {DATASET}/captions: HTTP {answer.status}")
    return time.perf_counter() - began

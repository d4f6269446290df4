import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.datasets.dataset_cache import CacheState, PlannedCache
from api.domain.tasks.progress import Stage
from api.domain.tasks.training import TrainingPlan
from api.trainers.protocol.caching import CacheReader, find_gap, has_ended_caching
from api.trainers.protocol_trainer import RunProtocol


def create(counts_items: bool = True) -> CacheReader:
    cache = PlannedCache(CacheState.BUILDING, "k", "c", is_made=True, counts_items=counts_items)
    made = RunProtocol().create_reader(TrainingPlan("t", "flux", 1, cache=cache))
    assert isinstance(made, CacheReader)
    return made


def bar(done: int, total: int = 9) -> str:
    return f"{100 * done // total:3d}%|███       | {done}/{total} [00:00<00:00, 110.20it/s]"


def feed(reader: CacheReader, *lines: str) -> None:
    for count, line in enumerate(lines):
        reader.read(line, float(count))


LINES = [
    bar(5),  # of the files that it looks for
    "caching latents: /data/media",
    "caching latents: (1.0, 512, 512, 1)",
    bar(0),
    bar(4),
    bar(9),
    "caching latents: (0.5, 512, 1024, 1)",
    bar(2),
    bar(3),
    "caching text embeddings: /data/media",
    bar(9),
]


def test_media_of_all_sizes_are_counted_but_not_captions():
    reader = create()
    feed(reader, *LINES)
    assert (reader.progress.items_cached, reader.progress.stage) == (12, Stage.CACHING)


def test_counting_continues_after_a_restart():
    whole, first = create(), create()
    feed(whole, *LINES)
    feed(first, *LINES[:5])
    second = create()
    second.restore(json.loads(json.dumps(first.save())))
    for count, line in enumerate(LINES[5:], start=5):
        second.read(line, float(count))
    assert second.progress == whole.progress


def test_batches_are_not_counted_as_items():
    reader = create(counts_items=False)
    feed(reader, *LINES)
    assert reader.progress.items_cached is None
    reader = create()
    feed(reader, *LINES[:2])
    assert reader.progress.items_cached is None


def test_caching_run_ignores_step_lines():
    reader = create()
    assert reader.read("steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 1.0", 1.0) is None
    assert (reader.progress.step, reader.progress.overall_progress, reader.progress.only_caches) == (None, None, True)


@given(st.text(alphabet="0123456789%|/[] █", max_size=300))
def test_malformed_bars_are_ignored(line: str):
    reader = create()
    feed(reader, "caching latents: x", line, line[::-1])


@pytest.fixture
def media(tmp_path: Path) -> Path:
    cache = tmp_path / "cats" / "media" / "cache" / "flux"
    for name in ("metadata/grouping_keys.json", "cache_1x512x512x1/latents/metadata.db", "cache_1/latents/shard_0.bin"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(b"x")
    return tmp_path / "cats" / "media"


def test_complete_cache_has_no_gap(media: Path):
    assert find_gap([media]) is None
    assert find_gap([media, media.parent / "none"]) == "the cache has no list of sizes for cats"


@pytest.mark.parametrize("name", ["metadata", "latents/metadata.db", "latents/shard_0.bin"])
def test_missing_part_of_a_cache_is_reported(media: Path, name: str):
    for path in [path for path in media.rglob("*") if path.is_file() and name in str(path)]:
        path.unlink()
    assert find_gap([media]) is not None


def test_cache_behind_a_link_is_ignored(media: Path, tmp_path: Path):
    (media / "cache").rename(tmp_path / "elsewhere")
    (media / "cache").symlink_to(tmp_path / "elsewhere")
    assert find_gap([media]) is not None


BEFORE = ["Loading grouped metadata with grouping key (1.0, 1)", "caching latents: (1.0, 64, 64, 1)"]
FAILURE = [
    "[CACHE] Initializing",
    "Process Process-2:",
    "Traceback (most recent call last):",
    '  File "FOLDER/tree/utils/cache.py", line 42, in init',
    "    self.con = sqlite3.connect(self.metadata_db, autocommit=False)",
    "TypeError: 'autocommit' is an invalid keyword argument for Connection()",
]
FAILURE_OF_A_RANK = [
    "Map:   0%|          | 0/6 [00:00<?, ? examples/s]",
    "[rank0]: Traceback (most recent call last):",
    '[rank0]:   File "FOLDER/tree/utils/dataset.py", line 1200, in cache',
    "[rank0]:     self._handle_task(task)",
    "[rank0]: IndexError: index out of range in self",
]


@pytest.mark.parametrize("failure", [FAILURE, FAILURE_OF_A_RANK])
def test_exception_after_all_progress_has_ended_the_caching(failure: list[str]):
    assert has_ended_caching(BEFORE + failure)
    assert has_ended_caching([*BEFORE, *failure, "some library says goodbye"])
    assert not has_ended_caching(BEFORE + failure[:-1])


def test_caching_process_may_print_progress_after_its_rank_has_failed():
    later = ["[CACHE] Creating new shard: shard_0", " 17%|█▋        | 1/6 [00:01<00:08,  1.75s/it]"]
    assert has_ended_caching([*BEFORE, *FAILURE_OF_A_RANK, *later])


@pytest.mark.parametrize(
    "later", ["caching text embeddings: (1.0, 1)", "[CACHE] Existing cache length: 6", " 17%|█▋ | 2/12 [00:00<00:00]"]
)
def test_caching_that_continues_after_an_exception_has_not_ended(later: str):
    assert not has_ended_caching([*BEFORE, *FAILURE, later])

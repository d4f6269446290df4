from collections.abc import Iterator

import pytest
from sqlalchemy import func, insert, select

from api.datasets.records.item_store import DatasetItemStore
from api.db.database import Database
from api.db.dataset_tables import dataset_items, media_facts
from api.domain.datasets.dataset import ItemFilter, ManifestItem
from api.errors import ItemNotFound
from tests.unit.db.builders import NOW, later

MANIFEST, OTHER = "a" * 64, "b" * 64


def item(path: str, caption: str | None = "a cat", sha: str = "0") -> ManifestItem:
    return ManifestItem(path, sha * 64, 3, caption)


ITEMS = [item("a.png", None), item("b.png", " \n"), item("c.png", "100% Tabby", "1"), item("d.mp4", sha="2")]


@pytest.fixture
def store(database: Database) -> DatasetItemStore:
    return DatasetItemStore(database)


@pytest.fixture
def manifest(store: DatasetItemStore) -> int:
    return store.ensure(MANIFEST, lambda: ITEMS, NOW)


def know(database: Database, sha: str, **facts: object) -> None:
    row = {"sha256": sha * 64, "kind": "image", "prober": "test", "probed_at": 0, **facts}
    with database.write() as connection:
        connection.execute(insert(media_facts).values(row))


def paths(store: DatasetItemStore, manifest: int, **wanted: str) -> list[str]:
    return [found.item.path for found in store.page(manifest, ItemFilter(**wanted), 10, None, None)[0]]


def count_rows(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(dataset_items)) or 0


def test_items_are_read_as_they_were_stored(store: DatasetItemStore, manifest: int):
    assert [found.item for found in store.page(manifest, ItemFilter(), 10, None, None)[0]] == ITEMS
    assert store.get(manifest, ITEMS[2].item_id).item == ITEMS[2]


def test_rows_are_created_once(store: DatasetItemStore, manifest: int):
    def never() -> Iterator[ManifestItem]:
        raise AssertionError

    assert store.ensure(MANIFEST, never, NOW) == manifest


def test_incomplete_rows_are_completed(store: DatasetItemStore, monkeypatch: pytest.MonkeyPatch):
    def interrupted() -> Iterator[ManifestItem]:
        yield ITEMS[0]
        yield ITEMS[1]
        raise KeyboardInterrupt

    monkeypatch.setattr("api.datasets.records.item_store._BATCH", 1)
    with pytest.raises(KeyboardInterrupt):
        store.ensure(MANIFEST, interrupted, NOW)
    assert paths(store, store.ensure(MANIFEST, lambda: ITEMS, NOW)) == ["a.png", "b.png", "c.png", "d.mp4"]


def test_page_continues_after_its_cursor_or_offset(store: DatasetItemStore, manifest: int):
    rows, total = store.page(manifest, ItemFilter(), 2, None, 1)
    assert [found.item.path for found in rows] == ["c.png", "d.mp4"]
    assert total is None
    for wanted in (ItemFilter(), ItemFilter(search=".")):
        assert [found.item.path for found in store.page(manifest, wanted, 1, 2, None)[0]] == ["c.png"]


def test_text_is_found_in_path_and_caption_case_insensitively(store: DatasetItemStore, manifest: int):
    assert paths(store, manifest, search="TABBY") == ["c.png"]
    assert paths(store, manifest, search="0% t") == ["c.png"]
    assert paths(store, manifest, search=".MP4") == ["d.mp4"]
    assert store.page(manifest, ItemFilter(search="png"), 1, None, None)[1] == 3


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("missing_caption", ["a.png"]),
        ("empty_caption", ["b.png"]),
        ("truncated", ["c.png"]),
        ("variable_frame_rate", ["d.mp4"]),
        ("not_media", []),
        ("any", ["a.png", "b.png", "c.png", "d.mp4"]),
        ("no_such_problem", []),
    ],
)
def test_items_are_filtered_by_problem(
    database: Database, store: DatasetItemStore, manifest: int, problem: str, expected: list[str]
):
    know(database, "1", problem="truncated")
    know(database, "2", kind="video", is_variable_rate=True)
    rows, total = store.page(manifest, ItemFilter(problem=problem), 10, None, None)
    assert [found.item.path for found in rows] == expected
    assert total == len(expected)
    assert all(problem in ("any", *found.problems) for found in rows)


def test_media_facts_are_joined_to_items(database: Database, store: DatasetItemStore, manifest: int):
    know(database, "2", kind="other", width=7, frame_count=9)
    found = store.get(manifest, ITEMS[3].item_id)
    assert found.facts is not None
    assert (found.facts.width, found.facts.frame_count, found.facts.fps, found.problems) == (7, 9, None, ("not_media",))


def test_unknown_item_is_reported(store: DatasetItemStore, manifest: int):
    with pytest.raises(ItemNotFound):
        store.get(manifest, "0" * 16)


def move(database: Database, store: DatasetItemStore, new: str = OTHER) -> bool:
    with database.write() as connection:
        return store.move(connection, MANIFEST, new, {1: item("b.png", None)}, NOW)


def test_rows_are_reused_by_a_version_with_other_captions(database: Database, store: DatasetItemStore, manifest: int):
    assert move(database, store)
    assert count_rows(database) == len(ITEMS)
    moved = store.ensure(OTHER, lambda: pytest.fail("they are there already"), NOW)
    found = store.page(moved, ItemFilter(), 10, None, None)[0]
    assert [each.item for each in found] == [ITEMS[0], item("b.png", None), *ITEMS[2:]]
    assert "b.png" in paths(store, moved, problem="missing_caption")
    assert (store.is_of(moved, OTHER), store.is_of(moved, MANIFEST)) == (True, False)
    assert (store.is_indexed(MANIFEST), store.is_indexed(OTHER)) == (False, True)


def test_reused_rows_are_recreated_when_requested(database: Database, store: DatasetItemStore, manifest: int):
    move(database, store)
    again = store.ensure(MANIFEST, lambda: ITEMS, NOW)
    assert [each.item for each in store.page(again, ItemFilter(), 10, None, None)[0]] == list(ITEMS)
    assert count_rows(database) == 2 * len(ITEMS)


def test_rows_are_not_reused_if_they_exist_or_are_incomplete(database: Database, store: DatasetItemStore):
    assert not move(database, store)
    store.ensure(MANIFEST, lambda: ITEMS, NOW)
    store.ensure(OTHER, lambda: ITEMS[:1], NOW)
    assert not move(database, store)
    assert paths(store, store.ensure(OTHER, lambda: pytest.fail("it is there"), NOW)) == [ITEMS[0].path]


def test_unused_rows_are_deleted_and_recreated(database: Database, store: DatasetItemStore, manifest: int):
    assert store.prune(NOW) == 0
    assert store.prune(later(1)) == 1
    assert count_rows(database) == 0
    assert paths(store, store.ensure(MANIFEST, lambda: ITEMS, NOW)) == ["a.png", "b.png", "c.png", "d.mp4"]


def test_rows_left_by_a_killed_pass_are_deleted_by_the_next(
    database: Database, store: DatasetItemStore, manifest: int, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(DatasetItemStore, "_remove_orphans", lambda self: None)
        store.prune(later(1))
    assert count_rows(database) == 4
    store.prune(later(1))
    assert count_rows(database) == 0

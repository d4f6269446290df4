import io
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest

from api.datasets.items.joining import Joined, Joining
from api.datasets.items.tree import FileTree
from api.datasets.records.dataset_store import DatasetFilter
from api.datasets.uploads import intake as module
from api.domain.datasets.upload import IntakeProgress, UploadStatus
from api.errors import DatabaseUnavailable
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.upload_parts import IMAGE, Dock


@pytest.fixture
def dock(shelf: Shelf) -> Dock:
    return Dock(shelf)


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return buffer.getvalue()


def test_items_of_one_dataset_are_processed_together(dock: Dock):
    ids = [dock.upload(b"PNG%d" % n, filename=f"{n}.png").upload_id for n in range(3)]
    dock.intake.process_items()
    found = [dock.store.get(each) for each in ids]
    assert {each.status for each in found} == {UploadStatus.COMPLETED}
    assert [each.result and (each.result.version, each.result.added, each.result.item) for each in found] == [
        (1, 1, "0.png"), (1, 1, "1.png"), (1, 1, "2.png"),
    ]  # fmt: skip
    assert found[0].result is not None
    assert found[0].result.facts == IMAGE
    assert list(dock.files.ids()) == []


def test_file_without_a_name_is_named_after_its_upload(dock: Dock):
    upload_id = dock.upload(b"PNG").upload_id
    dock.intake.process_items()
    assert dock.items() == {upload_id: None}


def test_skipped_file_is_reported_in_its_own_upload(dock: Dock):
    good, other = dock.upload(b"PNG", filename="x.png"), dock.upload(b"words", filename="x.md")
    dock.intake.process_items()
    results = [dock.store.get(each.upload_id).result for each in (good, other)]
    assert [each and (each.added, each.left_out, each.left_out_examples) for each in results] == [
        (1, 0, ()), (0, 1, ("x.md",)),
    ]  # fmt: skip


def test_archive_is_processed_alone_and_reports_its_progress(dock: Dock):
    upload_id = dock.upload(packed({"a/x.png": b"PNG", "a/x.txt": b"tom"})).upload_id
    reported: list[IntakeProgress] = []
    real = Joining._adopt

    def watch(joining: Joining, file: object) -> str:
        reported.append(dock.intake.progress[upload_id])
        return real(joining, file)  # type: ignore[arg-type]

    with patch.object(Joining, "_adopt", watch):
        dock.intake.process_archives()
    assert dock.items() == {"x.png": "tom"}
    assert [(each.step, each.percent) for each in reported] == [("adding", 0.0)]
    assert dock.intake.progress == {}


def test_cached_latents_in_an_archive_are_skipped_and_listed(dock: Dock):
    latents = packed({"latents.npy": b"numbers"})
    upload_id = dock.upload(packed({"x.png": b"PNG", "x.txt": b"tom", "x_0512.npz": latents})).upload_id
    dock.intake.process_archives()
    found = dock.store.get(upload_id)
    assert dock.items() == {"x.png": "tom"}
    assert found.result is not None
    assert (found.result.left_out, found.result.left_out_examples) == (1, ("x_0512.npz",))


@pytest.mark.parametrize(
    ("files", "reported"),
    [
        ({}, "The archive is empty."),
        ({"x.txt": b"tom"}, "The archive contains no image, no video and no caption of an existing item"),
    ],
)
def test_problem_of_a_whole_archive_is_a_sentence(dock: Dock, files: dict[str, bytes], reported: str):
    upload_id = dock.upload(packed(files)).upload_id
    dock.intake.process_archives()
    problem = dock.store.get(upload_id).problem
    assert problem is not None
    assert problem.message.startswith(reported)


def test_progress_without_a_total_is_none():
    assert (IntakeProgress("unpacking", 5).percent, IntakeProgress("adding", 1, 3).percent) == (0.0, 33.3)


def test_pauses_grow_while_the_storage_fails(dock: Dock):
    upload_id = dock.upload(b"PNG", filename="x.png").upload_id
    with patch.object(Joining, "join", side_effect=OSError(5, "I/O error")) as join:
        for seconds, calls in ((0, 1), (4, 1), (2, 2), (9, 2), (2, 3)):
            dock.shelf.clock.advance(seconds)
            dock.intake.process_items()
            assert join.call_count == calls
    assert dock.store.get(upload_id).status is UploadStatus.RECEIVED


def test_unexpected_error_postpones_one_upload_and_not_the_others(dock: Dock):
    real = Joining.join

    def join(joining: Joining, tree: FileTree, *more: Any) -> Joined:
        if any(each.path == "bad.png" for each in tree.pictures):
            raise TypeError("str is not valid UTF-8")
        return real(joining, tree, *more)

    bad = dock.upload(b"PNG1", filename="bad.png").upload_id
    good = dock.upload(b"PNG2", filename="good.png").upload_id
    with patch.object(Joining, "join", join):
        dock.intake.process_items()
    assert dock.store.get(bad).status is UploadStatus.RECEIVED
    assert dock.store.get(good).status is UploadStatus.COMPLETED


def test_unavailable_database_does_not_end_the_loop(dock: Dock):
    with patch.object(dock.store, "oldest", side_effect=DatabaseUnavailable):
        dock.intake._items._body()


def test_loops_start_and_stop(dock: Dock):
    dock.intake.start()
    dock.intake.wake()
    dock.intake.stop()


# -- batches -----------------------------------------------------------------------------------------------------------


def send(dock: Dock, name: str, content: bytes = b"PNG", size: int = 3, batch: str = "drop") -> str:
    return dock.upload(content, filename=name, batch=batch, batch_size=str(size)).upload_id


def versions(dock: Dock) -> int | None:
    found = dock.shelf.store.page(DatasetFilter(), PageRequest(1)).rows
    return found[0].latest if found else None


def test_batch_becomes_one_version_however_slow_it_is(dock: Dock):
    for name, content in (("a.txt", b"a cat"), ("a.png", b"PNG"), ("b.png", b"PNG2")):
        assert versions(dock) is None
        send(dock, name, content)
        dock.shelf.clock.advance(45)
        dock.intake.process_items()
    assert (versions(dock), dock.items()) == (1, {"a.png": "a cat", "b.png": None})


def test_batch_waits_for_the_request_that_has_just_completed_its_last_file(dock: Dock):
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        last = send(dock, name, b"PNG%d" % number)
    with ThreadPoolExecutor() as pool, dock.files.open(last):
        processed = pool.submit(dock.intake.process_items)
        time.sleep(0.1)
    processed.result()
    assert (versions(dock), len(dock.items())) == (1, 3)


def test_batch_larger_than_a_group_of_single_files_becomes_one_version(dock: Dock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_GROUP_SIZE", 2)
    for number in range(7):
        send(dock, f"{number}.png", b"PNG%d" % number, size=7)
    dock.intake.process_items()
    assert (versions(dock), len(dock.items())) == (1, 7)


@pytest.mark.parametrize("seconds", [61, -3600])
def test_incomplete_batch_is_processed_after_a_while(dock: Dock, seconds: int):
    send(dock, "a.png")
    dock.intake.process_items()
    assert versions(dock) is None
    dock.shelf.clock.advance(seconds)
    dock.intake.process_items()
    assert versions(dock) == 1


def test_batch_does_not_delay_single_files_or_other_batches(dock: Dock):
    send(dock, "a.png")
    dock.upload(b"PNG1", filename="single.png")
    send(dock, "other.png", b"PNG2", size=1, batch="other")
    dock.intake.process_items()
    assert dock.items() == {"other.png": None, "single.png": None}


def test_unreadable_caption_fails_alone(dock: Dock):
    bad = send(dock, "a.txt", b"x" * 200_000)
    for name in ("a.png", "b.png"):
        send(dock, name, name.encode() + b"PNG")
    dock.intake.process_items()
    problem = dock.store.get(bad).problem
    assert problem is not None
    assert "more than" in problem.message
    assert (versions(dock), set(dock.items())) == (1, {"a.png", "b.png"})


def test_unreadable_list_splits_a_batch_into_few_versions(dock: Dock):
    bad = send(dock, "captions.json", b"no json", size=9)
    for number in range(8):
        send(dock, f"{number}.png", b"PNG%d" % number, size=9)
    dock.intake.process_items()
    assert dock.store.get(bad).status is UploadStatus.FAILED
    assert len(dock.items()) == 8
    assert versions(dock) in (2, 3, 4)

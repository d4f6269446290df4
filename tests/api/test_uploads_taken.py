"""Processing of uploads: items, captions, archives, and rejected files."""

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from api.datasets.service import DatasetService
from api.errors import DatabaseUnavailable, DatasetChanged, InsufficientStorage
from api.util.clock import FakeClock
from tests.api.conftest import MakeWorld, World
from tests.api.uploads import Uploads, archive, picture

pytestmark = pytest.mark.usefixtures("shared_decoder")


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


def leftovers(world: World) -> list[str]:
    return sorted(os.listdir(world.storage / "datasets/uploads"))


def stored(world: World) -> int:
    return sum(1 for path in Path(world.storage / "datasets/sha256").rglob("*") if path.is_file())


def test_files_that_arrive_together_become_one_version(uploads: Uploads):
    urls = [uploads.upload(picture(color=n), filename=f"{n}.png") for n in range(3)]
    urls.append(uploads.upload(b"two", filename="2.txt"))
    uploads.take()
    assert [uploads.get(url)["result"]["version"] for url in urls] == [1, 1, 1, 1]
    assert uploads.items() == {"0.png": None, "1.png": None, "2.png": "two"}


def test_invalid_upload_does_not_fail_the_others(uploads: Uploads):
    good = uploads.upload(picture(), filename="a.png")
    bad = uploads.upload(b"[", filename="captions.json")
    uploads.take()
    assert uploads.get(good)["status"] == "completed"
    found = uploads.get(bad)
    assert (found["status"], found["problem"]["code"], found["problem"]["entry"]) == (
        "failed", "upload_refused", "captions.json",
    )  # fmt: skip


def test_later_caption_makes_a_new_version(uploads: Uploads):
    uploads.taken(picture(), filename="a/x.png")
    result = uploads.taken(b"a cat", filename="a/x.txt")["result"]
    assert (result["version"], result["changed"], result["paths"]) == (2, 1, ["a/x.png"])
    assert uploads.items() == {"a/x.png": "a cat"}


def test_archive_becomes_items_with_captions_masks_and_repeats(uploads: Uploads):
    content = archive(
        **{
            "mine/10_cat/x.png": picture(),
            "mine/10_cat/x.txt": b"tom",
            "mine/y.png": picture(color=3),
            "mine/captions.json": json.dumps({"y.png": ["felix", "more"]}).encode(),
            "mine/masks/10_cat/x.png": picture(color=5),
            "mine/control/y.jpg": picture(color=7),
            "mine/README.md": b"words",
            "__MACOSX/._x": b"?",
        }
    )
    result = uploads.taken(content, filename="mine.zip")["result"]
    assert (result["added"], result["left_out_examples"]) == (2, ["README.md"])
    assert (result["num_repeats"], result["further_captions"]) == ({"10_cat": 10}, 1)
    assert uploads.items() == {"10_cat/x.png": "tom", "y.png": "felix"}
    found = uploads.world.client.data("/api/v1/datasets/cats/items")["items"]
    assert [(each["has_mask"], each["has_control"]) for each in found] == [(True, False), (False, True)]
    version = uploads.world.client.data("/api/v1/datasets/cats/versions/latest")
    assert version["origin"]["num_repeats"] == {"10_cat": 10}


@pytest.mark.parametrize(
    ("files", "entry", "word"),
    [
        ({"a.png": picture(), "../x.png": b"x"}, "../x.png", ".. in its path"),
        ({"a.png": picture(), "A.png": picture()}, "A.png", "only in case"),
        ({"a.png": picture(), "inner.zip": archive(b=b"x")}, "inner.zip", "archive itself"),
        ({"a.png": picture(), "metadata.jsonl": b"{}"}, "metadata.jsonl", "file_name"),
        ({"README.md": b"words"}, None, "no image"),
    ],
)
def test_rejected_archive_has_a_reason_and_leaves_nothing(
    uploads: Uploads, files: dict[str, bytes], entry: str | None, word: str
):
    found = uploads.taken(archive(**files), filename="x.zip")
    problem = found["problem"]
    assert (found["status"], problem["code"], problem["entry"]) == ("failed", "archive_refused", entry)
    assert word in problem["message"]
    assert leftovers(uploads.world) == []
    assert stored(uploads.world) == 0
    assert uploads.world.client.get("/api/v1/datasets/cats").status_code == 404


def test_file_that_is_not_media_is_rejected_by_content(uploads: Uploads):
    assert uploads.taken(b"no picture", filename="x.bin")["status"] == "failed"
    assert uploads.taken(picture(), filename="x.bin")["status"] == "completed"


def test_damaged_picture_is_an_item_with_its_problem(uploads: Uploads):
    found = uploads.taken(picture()[:40], filename="x.png")
    assert (found["status"], found["result"]["facts"]["problem"]) == ("completed", "unreadable")


def test_upload_is_retried_when_others_change_the_dataset(uploads: Uploads):
    real, calls = DatasetService.add_version, []

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) < 3:
            raise DatasetChanged
        return real(*args, **kwargs)

    with patch.object(DatasetService, "add_version", sometimes):
        assert uploads.taken(picture(), filename="x.png")["status"] == "completed"


@pytest.mark.parametrize("error", [DatabaseUnavailable(), InsufficientStorage(), OSError(5, "I/O error")])
def test_temporary_failure_is_retried_later(make_world: MakeWorld, clock: FakeClock, error: Exception):
    uploads = Uploads(make_world(clock=clock))
    url = uploads.upload(archive(**{"x.png": picture()}), filename="x.zip")
    with patch.object(DatasetService, "add_version", side_effect=error):
        uploads.take()
    assert uploads.get(url)["status"] == "received"
    uploads.take()
    assert uploads.get(url)["status"] == "received"
    clock.advance(6)
    uploads.take()
    assert uploads.get(url)["status"] == "completed"


def test_upload_that_never_succeeds_fails_after_a_day(make_world: MakeWorld, clock: FakeClock):
    uploads = Uploads(make_world(clock=clock))
    url = uploads.upload(picture(), filename="x.png")
    with patch.object(DatasetService, "add_version", side_effect=OSError(5, "I/O error")):
        uploads.take()
        clock.advance(25 * 3600)
        uploads.take()
    assert uploads.get(url)["problem"]["code"] == "unavailable"


def test_upload_processed_by_another_server_is_skipped(uploads: Uploads):
    url = uploads.upload(picture(), filename="x.png")
    with uploads.world.runtime.library.uploads.intake._files.open(url.rpartition("/")[2]):
        uploads.take()
        assert uploads.get(url)["status"] == "received"
        assert uploads.world.client.ask("DELETE", url, headers={"Tus-Resumable": "1.0.0"}).status_code == 409
    uploads.take()
    assert uploads.get(url)["status"] == "completed"


def test_unpacked_files_of_a_killed_server_are_removed(uploads: Uploads):
    url = uploads.upload(archive(**{"x.png": picture()}), filename="x.zip")
    left = uploads.world.storage / "datasets/uploads" / f"{url.rpartition('/')[2]}.unpacked.0123"
    left.mkdir()
    (left / "1").write_bytes(b"x")
    uploads.take()
    assert uploads.get(url)["status"] == "completed"
    assert leftovers(uploads.world) == []


def test_items_added_before_a_kill_are_added_once(uploads: Uploads):
    url = uploads.upload(archive(**{"x.png": picture()}), filename="x.zip")
    with (
        patch.object(type(uploads.world.runtime.library.uploads.intake), "_complete", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        uploads.take()
    assert uploads.get(url)["status"] == "received"
    uploads.take()
    result = uploads.get(url)["result"]
    assert (result["version"], result["added"]) == (1, 0)
    assert uploads.items() == {"x.png": None}

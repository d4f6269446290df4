from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from api.datasets.follow_up import MOST_PATHS, UploadFollowUp
from api.datasets.joining import Joined
from api.datasets.preprocess_wish import PreprocessWish
from api.domain.access import LOCAL, Permission
from api.domain.media_settings import MediaSettings
from api.domain.upload import Upload, UploadStatus
from api.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAID = {"fps": "24.0", "resolution": "512x384", "model_type": "wan"}
UPLOAD = Upload(
    1, "u1", None, None, "x.mp4", "cats", SAID, 9, UploadStatus.RECEIVED, NOW, NOW, NOW, task_id="preprocess_1"
)
JOINED = Joined("cats", 3, ("x.mp4",), (), (), {}, 0, {})


def started(upload: Upload, joined: Joined = JOINED) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    UploadFollowUp(lambda *given: calls.append(given)).go_on(upload, joined)
    return calls


def test_what_was_asked_for_is_done_to_the_items_of_the_upload_alone():
    [(wish, asks, key, task_id)] = started(UPLOAD)
    assert wish == PreprocessWish(
        "cats@3",
        paths=("x.mp4",),
        media=MediaSettings(fps=24.0, width=512, height=384),
        model_type="wan",
        description="preprocessed upload of x.mp4",
    )
    assert (asks, key, task_id) == (LOCAL, "upload u1", "preprocess_1")


def test_where_the_upload_is_all_of_the_dataset_no_item_is_singled_out():
    [(wish, *_)] = started(UPLOAD, replace(JOINED, is_all=True))
    assert wish.paths == ()


def test_the_task_belongs_to_whoever_uploaded():
    [(_, asks, _, _)] = started(replace(UPLOAD, owner="ann"))
    assert (asks.owner, asks.may(Permission.TASKS_WRITE_ANY)) == ("ann", True)


@pytest.mark.parametrize("said", [{}, {"prompt": "a cat", "dataset": "cats"}])
def test_without_a_wish_there_is_no_task(said: dict[str, str]):
    assert started(replace(UPLOAD, metadata=said)) == []


def test_what_came_by_tus_or_brought_nothing_has_no_task():
    assert started(replace(UPLOAD, task_id=None)) == []
    assert started(UPLOAD, replace(JOINED, added=())) == []


def test_too_many_items_are_not_singled_out():
    many = replace(JOINED, added=tuple(f"{n}.png" for n in range(MOST_PATHS + 1)))
    with pytest.raises(Invalid):
        started(UPLOAD, many)
    assert len(started(UPLOAD, replace(many, is_all=True))) == 1

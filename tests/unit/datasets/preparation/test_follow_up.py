from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from api.datasets.items.joining import Joined
from api.datasets.preparation.follow_up import MOST_PATHS, UploadFollowUp
from api.datasets.preparation.request import PreprocessRequest
from api.domain.access.principal import LOCAL, Permission
from api.domain.datasets.media_settings import MediaSettings
from api.domain.datasets.upload import Upload, UploadStatus
from api.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAID = {"fps": "24.0", "resolution": "512x384", "model_type": "wan"}
UPLOAD = Upload(
    1, "u1", None, None, "x.mp4", "cats", SAID, 9, UploadStatus.RECEIVED, NOW, NOW, NOW, task_id="preprocess_1"
)
JOINED = Joined("cats", 3, ("x.mp4",), (), (), {}, 0, {})


def started(upload: Upload, joined: Joined = JOINED) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    UploadFollowUp(lambda *given: calls.append(given)).start(upload, joined)
    return calls


def test_only_items_of_the_upload_are_preprocessed():
    [(request, principal, key, task_id)] = started(UPLOAD)
    assert request == PreprocessRequest(
        "cats@3",
        paths=("x.mp4",),
        media=MediaSettings(fps=24.0, width=512, height=384),
        model_type="wan",
        description="preprocessed upload of x.mp4",
    )
    assert (principal, key, task_id) == (LOCAL, "upload u1", "preprocess_1")


def test_no_items_are_selected_if_the_upload_is_the_whole_dataset():
    [(request, *_)] = started(UPLOAD, replace(JOINED, is_all=True))
    assert request.paths == ()


def test_task_belongs_to_the_uploader():
    [(_, principal, _, _)] = started(replace(UPLOAD, owner="ann"))
    assert (principal.owner, principal.may(Permission.TASKS_WRITE_ANY)) == ("ann", True)


@pytest.mark.parametrize("options", [{}, {"prompt": "a cat", "dataset": "cats"}])
def test_upload_without_options_starts_no_task(options: dict[str, str]):
    assert started(replace(UPLOAD, metadata=options)) == []


def test_tus_upload_or_upload_without_items_starts_no_task():
    assert started(replace(UPLOAD, task_id=None)) == []
    assert started(UPLOAD, replace(JOINED, added=())) == []


def test_too_many_items_cannot_be_selected():
    many = replace(JOINED, added=tuple(f"{n}.png" for n in range(MOST_PATHS + 1)))
    with pytest.raises(Invalid):
        started(UPLOAD, many)
    assert len(started(UPLOAD, replace(many, is_all=True))) == 1

"""The JSON of items and records."""

import json

import pytest

from api.domain.datasets.media_settings import Cut, CutBy, FirstFrame, MediaSettings, Rectangle
from api.jobs.preprocessing.work import Made, Record, key_of, read_record

EVERYTHING = MediaSettings(
    fps=16.0,
    width=64,
    height=48,
    crop=Rectangle(1, 2, 3, 4),
    cut=Cut(CutBy.SCENE, 5.0),
    first_frame=FirstFrame.ADD,
    image_format="png",
)


def test_settings_survive_json():
    assert MediaSettings.from_json(json.loads(json.dumps(EVERYTHING.as_json()))) == EVERYTHING
    assert MediaSettings.from_json({}) == MediaSettings()


def test_settings_that_change_no_file_are_empty():
    assert MediaSettings().is_empty
    assert MediaSettings(keep_audio=True).is_empty
    assert not EVERYTHING.is_empty


def test_key_depends_on_files_and_settings():
    plain = key_of(("a", None, None), MediaSettings())
    assert plain == key_of(("a", None, None), MediaSettings())
    others = [key_of(("b", None, None), MediaSettings()), key_of(("a", "m", None), MediaSettings())]
    others.append(key_of(("a", None, None), EVERYTHING))
    assert len({plain, *others}) == 4


def test_record_survives_json():
    record = Record("k", (Made("_000", ".mp4", "k_000.mp4", width=64),), "too short", 2)
    assert read_record(record.as_json()) == record


@pytest.mark.parametrize(
    "made",
    [
        {"suffix": "", "extension": None, "name": "../x"},
        {"suffix": "", "extension": None, "name": ".x"},
        {"suffix": "", "extension": None, "mask": "a/b"},
        {"suffix": "/..", "extension": None},
        {"suffix": "", "extension": "/x"},
        {"suffix": "x" * 30, "extension": None},
        {"suffix": 5, "extension": None},
        {"suffix": "", "extension": None, "unknown": 1},
    ],
)
def test_record_with_foreign_file_names_is_rejected(made: dict[str, object]):
    content = json.dumps({"key": "k", "made": [made], "problem": None, "dropped": 0}).encode()
    with pytest.raises(ValueError, match=r"file|record"):
        read_record(content)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"5", b'{"key": 1, "made": 5, "problem": 1, "dropped": "x"}'])
def test_invalid_record_is_rejected(content: bytes):
    with pytest.raises(ValueError, match=r"record|JSON|unexpected|invalid|[Ii]nput"):
        read_record(content)

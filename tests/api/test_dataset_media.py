"""The media of datasets by HTTP: thumbnails, files, the trainer's view and checks."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from api.domain.datasets.dataset import ManifestItem, item_id_of
from tests.api.client import Client
from tests.api.conftest import World
from tests.api.datasets import DATASETS, refusal_of
from tests.unit.files.media.samples import picture, write_clip

CATS = f"{DATASETS}/cats"
SQUARE = {"model_type": "wan", "resolutions": [64], "frame_buckets": [1, 9]}


def keep(world: World, content: bytes) -> tuple[str, int]:
    with world.runtime.datasets.blobs.begin() as writer:
        writer.write(content)
        blob = writer.commit()
    return blob.sha256, blob.size_bytes


def png(size: tuple[int, int] = (64, 64), seed: int = 0, form: str = "PNG") -> bytes:
    target = io.BytesIO()
    picture(size, seed).save(target, form)
    return target.getvalue()


@pytest.fixture
def cats(world: World, tmp_path: Path) -> Client:
    """A dataset with different kinds of files."""
    files = {
        "a.png": (png((90, 60)), "a cat"),
        "b.png": (png((90, 60)), "the same cat"),
        "broken.png": (b"no image", "x"),
        "clip.mp4": (write_clip(tmp_path / "clip.mp4", 40, 25, (64, 64)).read_bytes(), "it moves"),
        "plain.png": (png(seed=3), None),
        "short.png": (png((300, 200), seed=4)[:9000], "cut off"),
    }
    world.client.post(DATASETS, json={"name": "cats"})
    parts = world.runtime.datasets
    items = [ManifestItem(path, *keep(world, content), caption) for path, (content, caption) in files.items()]
    parts.service.add_version(parts.store.get("cats"), items, "test", "made", expected_latest=None)
    return world.client


def at(path: str, what: str) -> str:
    return f"{CATS}/items/{item_id_of(path)}/{what}"


def check(client: Client, **body: Any) -> Any:
    answer = client.post(f"{CATS}/check", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_thumbnail_is_a_small_jpeg_with_an_etag(cats: Client):
    first = cats.get(at("a.png", "thumbnail"))
    assert (first.status_code, first.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(first.content)).size == (90, 60)
    again = cats.get(at("a.png", "thumbnail"), headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert Image.open(io.BytesIO(cats.get(at("clip.mp4", "thumbnail?size=20")).content)).size == (64, 64)


def test_undecodable_file_has_no_thumbnail(cats: Client):
    assert refusal_of(cats.get(at("broken.png", "thumbnail"))) == (404, "no_picture")
    assert refusal_of(cats.get(at("nothing.png", "thumbnail"))) == (404, "item_not_found")


def test_file_of_an_item_is_sent_completely_or_in_part(cats: Client):
    complete = cats.get(at("a.png", "media"))
    assert complete.content == png((90, 60))
    part = cats.get(at("a.png", "media"), headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")


def test_item_is_shown_with_the_trained_pixels(cats: Client):
    shown = cats.get(at("a.png", "as_trained?model_type=flux&resolution=64"))
    made = Image.open(io.BytesIO(shown.content))
    assert made.tobytes() == ImageOps.fit(picture((90, 60)), (64, 64)).tobytes()
    recipe = cats.data(at("a.png", "as_trained?model_type=flux&resolution=64&form=recipe"))
    assert (recipe["box"], recipe["frames"], recipe["is_video"]) == ([15.0, 0.0, 75.0, 60.0], [0], False)


def test_ratios_determine_the_crop(cats: Client):
    ranged = "min_ar=0.5&max_ar=2&num_ar_buckets=3"
    recipes = [
        cats.data(at("a.png", f"as_trained?model_type=flux&resolution=64&form=recipe&{ratios}"))
        for ratios in ("ar_buckets=0.5,1.0,2.0", ranged, "ar_buckets=1.5")
    ]
    assert recipes[0] == recipes[1]
    assert (recipes[2]["width"], recipes[2]["height"]) == (80, 48)
    rejected = cats.get(at("a.png", "as_trained?model_type=flux&min_ar=0.5"))
    assert refusal_of(rejected) == (422, "validation_failed")


def test_video_is_shown_as_a_strip_or_by_frame(cats: Client):
    query = "as_trained?model_type=wan&resolution=64&frame_buckets=1,9"
    recipe = cats.data(at("clip.mp4", f"{query}&form=recipe"))
    assert (len(recipe["frames"]), recipe["fps"], recipe["shown"]) == (9, 16.0, list(range(9)))
    strip = Image.open(io.BytesIO(cats.get(at("clip.mp4", query)).content))
    assert strip.size == (9 * 64, 64)
    frame = Image.open(io.BytesIO(cats.get(at("clip.mp4", f"{query}&frame=3")).content))
    assert frame.tobytes() == strip.crop((3 * 64, 0, 4 * 64, 64)).tobytes()
    assert refusal_of(cats.get(at("clip.mp4", f"{query}&frame=9"))) == (422, "validation_failed")


def test_untrained_item_is_not_shown(cats: Client):
    assert refusal_of(cats.get(at("broken.png", "as_trained?model_type=flux"))) == (404, "not_trained")
    assert refusal_of(cats.get(at("clip.mp4", "as_trained?model_type=flux"))) == (404, "not_trained")
    assert refusal_of(cats.get(at("a.png", "as_trained?model_type=fluxx"))) == (422, "validation_failed")


def test_check_reports_problems_of_files(cats: Client):
    found = check(cats)
    assert (found["items"], found["unexamined"], found["valid"], found["steps_per_epoch"]) == (6, 0, False, None)
    problems = {each["reason"]: each["item_ids"] for each in found["problems"]}
    assert problems == {
        "missing_caption": [item_id_of("plain.png")],
        "truncated": [item_id_of("short.png")],
        "unreadable": [item_id_of("broken.png")],
    }
    assert found["duplicates"]["exact"] == [[item_id_of("a.png"), item_id_of("b.png")]]
    assert [error["message"] for error in found["errors"]] == [
        "1 of 6 files are images whose data is damaged or incomplete; a trainer fails or hangs on them: short.png."
    ]


def test_check_reports_the_use_by_a_trainer(cats: Client):
    found = check(cats, **SQUARE)
    assert "would hang" in found["errors"][0]["message"]
    assert {each["reason"]: each["items"] for each in found["skipped"]} == {"uncaptioned": 1, "broken": 1}
    shapes = {(each["width"], each["height"], each["frames"]): each["items"] for each in found["buckets"]}
    assert shapes == {(64, 64, 1): 2, (64, 64, 9): 1}
    assert [each for each in found["warnings"] if "of their area" in each["message"]]


def test_items_have_facts_after_a_check(cats: Client):
    check(cats)
    listed = {item["name"]: item for item in cats.data(f"{CATS}/items")["items"]}
    assert (listed["clip.mp4"]["kind"], listed["clip.mp4"]["frame_count"], listed["clip.mp4"]["fps"]) == (
        "video",
        40,
        25,
    )
    assert (listed["a.png"]["width"], listed["broken.png"]["problems"]) == (90, ["unreadable"])


def test_errors_of_a_check_have_pointers(cats: Client):
    assert refusal_of(cats.post(f"{CATS}/check", json={"model_type": "none"})) == (422, "validation_failed")
    assert refusal_of(cats.post(f"{CATS}/check", json={"resolution": 5})) == (422, "validation_failed")
    found = check(cats, model_type="wan", resolutions=[512], frame_buckets="long")
    assert "/frame_buckets" in [error["pointer"] for error in found["errors"]]


def test_version_is_exported_in_the_requested_layout(cats: Client):
    answer = cats.get(f"{CATS}/export?form=kohya")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("1_cats/a.txt") == b"a cat"
    assert refusal_of(cats.get(f"{CATS}/export?form=none")) == (422, "validation_failed")
    assert refusal_of(cats.get(f"{CATS}/export?version=9")) == (404, "version_not_found")

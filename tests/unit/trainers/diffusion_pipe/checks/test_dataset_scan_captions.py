import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.trainers.diffusion_pipe.builders import Case, write_image

PATH = "/dataset/directories/0/path"


def write_tar(path: Path, mode: str = "w") -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, mode) as archive:
        image = io.BytesIO()
        Image.new("L", (64, 64)).save(image, "png")
        member = tarfile.TarInfo("a.png")
        member.size = image.tell()
        image.seek(0)
        archive.addfile(member, image)


def test_directory_with_only_captions_counts_as_empty(case: Case, tmp_path: Path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    case.dataset["directories"][0]["path"] = str(tmp_path / "texts")
    assert "no images or videos" in case.only_error().message


def test_missing_captions_are_reported_with_names(case: Case):
    for index in range(7):
        write_image(case.images / f"bare{index}.png", caption=None)
    mistake = case.only_warning()
    assert mistake.pointer == PATH
    assert mistake.message.startswith("7 of 11 files have no caption")
    assert "bare4.png and 2 more" in mistake.message


def test_directory_without_captions_is_an_error(case: Case):
    for caption in case.images.glob("*.txt"):
        caption.unlink()
    assert "has a caption" in case.only_error().message


def test_missing_captions_are_accepted_if_empty_ones_are_permitted(case: Case):
    for caption in case.images.glob("*.txt"):
        caption.unlink()
    case.dataset["skip_empty_caption"] = False
    assert case.warnings() == []


def test_captions_may_be_in_one_json_file(case: Case):
    for caption in case.images.glob("*.txt"):
        caption.unlink()
    names = [f"{index}.png" for index in range(4)]
    (case.images / "captions.json").write_text(json.dumps({name: ["one", "two"] for name in names}))
    plan = case.check().plan
    assert plan is not None
    assert (plan.dataset_items, plan.steps_per_epoch) == (4, 8)


def test_caption_entry_that_is_not_a_list_would_hang_the_trainer(case: Case):
    (case.images / "captions.json").write_text(json.dumps({f"{index}.png": "one" for index in range(4)}))
    assert "not a list" in case.only_error().message


@pytest.mark.parametrize("text", ["[]", "{", "[" * 5000])
def test_broken_captions_file_is_an_error(case: Case, text: str):
    (case.images / "captions.json").write_text(text)
    assert "captions.json" in case.check().errors[0].message


def test_caption_that_is_not_utf8_would_hang_the_trainer(case: Case):
    (case.images / "0.txt").write_bytes(b"caf\xe9")
    assert "0.png" in case.only_error().message


def test_pipes_instead_of_captions_and_masks_do_not_block(case: Case, tmp_path: Path):
    (case.images / "0.txt").unlink()
    os.mkfifo(case.images / "0.txt")
    assert "0.png" in case.only_error().message


def test_empty_caption_is_reported(case: Case):
    (case.images / "0.txt").write_text(" \n")
    assert "empty caption" in case.only_warning().message


def test_images_in_archives_leave_the_totals_unknown(case: Case):
    write_tar(case.images / "more.tar")
    case.dataset["skip_empty_caption"] = False
    plan = case.check().plan
    assert plan is not None
    assert (plan.dataset_items, plan.total_steps) == (None, None)
    assert any(".tar" in note for note in plan.notes)


def test_images_in_an_archive_need_captions_in_the_json_file(case: Case, tmp_path: Path):
    write_tar(tmp_path / "packed" / "a.tar")
    case.dataset["directories"][0]["path"] = str(tmp_path / "packed")
    mistake = case.only_error()
    assert mistake.pointer == PATH
    assert "captions.json" in mistake.remedy
    (tmp_path / "packed" / "captions.json").write_text('{"a.png": ["a thing"]}')
    assert case.errors() == []


def test_compressed_archive_would_hang_the_trainer(case: Case):
    write_tar(case.images / "a.tar", "w:gz")
    assert "would hang" in case.only_error().message


def test_missing_caption_with_a_json_file_must_be_added_to_it(case: Case):
    (case.images / "captions.json").write_text(json.dumps({f"{index}.png": ["a thing"] for index in range(3)}))
    assert "captions.json" in case.only_warning().remedy


def test_empty_list_of_captions_is_reported(case: Case):
    captions = {f"{index}.png": ["a thing"] if index else [] for index in range(4)}
    (case.images / "captions.json").write_text(json.dumps(captions))
    assert "empty list" in case.only_warning().message


def test_broken_json_file_is_one_error(case: Case):
    (case.images / "captions.json").write_text("{,}")
    assert "not a JSON object" in case.only_error().message


@pytest.mark.parametrize("write", [lambda path: write_image(path / "0.png", caption=None)])
def test_image_without_a_caption_is_used_if_configured(tmp_path: Path, write: Callable[[Path], Any]):
    case = Case(tmp_path)
    directory = tmp_path / "bare"
    write(directory)
    case.dataset["directories"][0].update(path=str(directory), skip_empty_caption=False)
    assert case.errors() == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("{}", "write `0.png` instead of `0`"),
        ("{}.PNG", "write `0.png` instead of `0.PNG`"),
        ("{}.jpg", "write `0.png` instead of `0.jpg`"),
        ("images/{}.png", "write `0.png` instead of `images/0.png`"),
        ("C:\\images\\{}.png", "write `0.png` instead of"),
        ("cat {}", "Add a list of captions"),
    ],
)
def test_keys_of_the_json_file_must_be_whole_file_names(case: Case, key: str, words: str):
    (case.images / "captions.json").write_text(json.dumps({key.format(index): ["a thing"] for index in range(4)}))
    assert words in str(case.only_error().remedy)


@pytest.mark.parametrize(("control", "problems"), [("a", []), ("b", ["/dataset/directories/0/control_path"])])
def test_images_in_an_archive_need_control_images(tmp_path: Path, control: str, problems: list[str]):
    case = Case(tmp_path, "flux")
    write_tar(case.images / "more.tar")
    for name in ("0", "1", "2", "3", control):
        write_image(tmp_path / "controls" / f"{name}.png", caption=None)
    case.dataset["skip_empty_caption"] = False
    case.dataset["directories"][0]["control_path"] = str(tmp_path / "controls")
    assert [each for each in case.errors() if each.endswith("control_path")] == problems

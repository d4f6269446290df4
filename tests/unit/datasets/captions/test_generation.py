"""Questions to a vision model, and the keys of their answers."""

import pytest

from api.datasets.captions.generation import caption_key, is_wanted
from api.domain.datasets.captioning import CaptionSettings
from api.domain.datasets.dataset import ManifestItem

ITEM = ManifestItem("a.png", "a" * 64, 1)
SETTINGS = CaptionSettings("http://127.0.0.1/v1", "m", "What is it?")


@pytest.mark.parametrize(("caption", "wanted"), [(None, True), ("", True), (" \n", True), ("a cat", False)])
def test_blank_captions_count_as_missing(caption: str | None, wanted: bool):
    item = ManifestItem("a.png", "a" * 64, 1, caption)
    assert is_wanted(item, only_missing=True) is wanted
    assert is_wanted(item, only_missing=False)


def test_key_depends_on_file_model_and_prompt():
    key = caption_key(ITEM, SETTINGS)
    assert key == caption_key(ITEM, SETTINGS.as_json())
    assert key == caption_key(ManifestItem("other.png", "a" * 64, 1, "x"), SETTINGS)
    others = [
        caption_key(ManifestItem("a.png", "b" * 64, 1), SETTINGS),
        caption_key(ITEM, {**SETTINGS.as_json(), "model": "n"}),
        caption_key(ITEM, {**SETTINGS.as_json(), "prompt": "Who?"}),
    ]
    assert len({key, *others}) == 4


def test_key_does_not_depend_on_speed():
    assert caption_key(ITEM, SETTINGS) == caption_key(ITEM, {**SETTINGS.as_json(), "per_minute": 5, "parallel": 9})


def test_key_of_a_command_depends_on_its_arguments_and_the_prompt():
    settings = CaptionSettings("", "m", "What is it?", command=("/opt/caption", "{file}"))
    key = caption_key(ITEM, settings)
    assert key == caption_key(ITEM, {**settings.as_json(), "command": ["/opt/caption", "{file}"], "frames": 9})
    others = [
        caption_key(ITEM, {**settings.as_json(), "command": ["/opt/caption", "-v", "{file}"]}),
        caption_key(ITEM, {**settings.as_json(), "prompt": "Who?"}),
    ]
    assert len({key, *others}) == 3


def test_keys_from_before_commands_are_still_found():
    of_then = {name: value for name, value in SETTINGS.as_json().items() if name != "command"}
    assert caption_key(ITEM, SETTINGS) == caption_key(ITEM, of_then)

"""Preprocessing requests, and the normalisation of captions."""

import json

import pytest

from api.datasets.preparation.caption_rules import CaptionMode, CaptionRules, Replacement
from api.datasets.preparation.request import PreprocessRequest
from api.domain.datasets.dataset import ManifestItem
from api.domain.datasets.media_settings import Cut, CutBy, MediaSettings
from api.errors import InvalidPattern


def captions(rules: CaptionRules, *given: str | None) -> list[str | None]:
    items = [ManifestItem(f"{number}.png", "0" * 64, 1, caption) for number, caption in enumerate(given)]
    once = rules.apply(items)
    assert rules.apply(once) == once
    return [item.caption for item in once]


def test_request_survives_storage_in_its_task():
    request = PreprocessRequest(
        "cats@3",
        "kittens",
        MediaSettings(fps=16.0, cut=Cut(CutBy.SECONDS, 5.0)),
        CaptionRules(CaptionMode.ALL, "a ", trigger="x", replace=(Replacement("a", "b", is_regex=True),)),
        "wan",
        resolutions=(512, [640, 480]),
        frame_buckets=(1, 33),
        paths=("a/x.png", "y.png"),
    )
    assert PreprocessRequest.from_config(json.loads(json.dumps(request.as_config()))) == request


def test_captions_are_replaced_then_get_trigger_prefix_and_suffix():
    rules = CaptionRules(prefix="photo: ", suffix=".", trigger="ohwx", replace=(Replacement("dog", "cat"),))
    assert captions(rules, "a dog", "ohwx sits", "", None) == [
        "photo: ohwx, a cat.",
        "photo: ohwx sits.",
        "photo: ohwx.",
        None,
    ]


def test_items_without_a_caption_get_one_in_mode_all():
    assert captions(CaptionRules(CaptionMode.ALL, trigger="ohwx"), None, "a") == ["ohwx", "ohwx, a"]


def test_pattern_that_re2_rejects_is_reported():
    with pytest.raises(InvalidPattern):
        CaptionRules(replace=(Replacement("(", is_regex=True),)).apply([])

"""What is wanted of a preprocessing, and how captions are normalised."""

import json

import pytest

from api.datasets.preprocess_wish import CaptionMode, CaptionRules, PreprocessWish, Replacement
from api.domain.dataset import ManifestItem
from api.domain.media_settings import Cut, CutBy, MediaSettings
from api.errors import InvalidPattern


def captions(rules: CaptionRules, *given: str | None) -> list[str | None]:
    items = [ManifestItem(f"{number}.png", "0" * 64, 1, caption) for number, caption in enumerate(given)]
    once = rules.apply(items)
    assert rules.apply(once) == once
    return [item.caption for item in once]


def test_a_wish_comes_back_from_its_task_as_it_was():
    wish = PreprocessWish(
        "cats@3",
        "kittens",
        MediaSettings(fps=16.0, cut=Cut(CutBy.SECONDS, 5.0)),
        CaptionRules(CaptionMode.ALL, "a ", trigger="x", replace=(Replacement("a", "b", is_regex=True),)),
        "wan",
        resolutions=(512, [640, 480]),
        frame_buckets=(1, 33),
        paths=("a/x.png", "y.png"),
    )
    assert PreprocessWish.from_config(json.loads(json.dumps(wish.as_config()))) == wish


def test_captions_are_replaced_then_triggered_then_framed():
    rules = CaptionRules(prefix="photo: ", suffix=".", trigger="ohwx", replace=(Replacement("dog", "cat"),))
    assert captions(rules, "a dog", "ohwx sits", "", None) == [
        "photo: ohwx, a cat.",
        "photo: ohwx sits.",
        "photo: ohwx.",
        None,
    ]


def test_items_without_a_caption_get_one_where_that_is_asked_for():
    assert captions(CaptionRules(CaptionMode.ALL, trigger="ohwx"), None, "a") == ["ohwx", "ohwx, a"]


def test_a_pattern_that_re2_refuses_is_told():
    with pytest.raises(InvalidPattern):
        CaptionRules(replace=(Replacement("(", is_regex=True),)).apply([])

"""The descriptions of model types: each fact is noted, so that none is lost or changed unseen."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS

#: A digest of everything stated of each type. Who changes a fact compares it with its source, then notes the digest.
NOTED = {
    "anima": "6c66020f4757",
    "auraflow": "915f4cf0693a",
    "chroma": "bde06fb74dfc",
    "cosmos": "87f13dd94798",
    "cosmos_predict2": "ecfab778bead",
    "ernie_image": "7f3601c5e67f",
    "flux": "b4fd4d05c4a7",
    "flux2": "015d8db65bb8",
    "hidream": "a6dbdb60e54f",
    "hunyuan_image": "b4d394c743e2",
    "hunyuan-video": "d6092f763f6b",
    "hunyuan_video_15": "dd71798d99ae",
    "ideogram4": "9f5dc6483c17",
    "krea2": "ad291e2bddfb",
    "ltx-video": "89b6833d78bd",
    "ltx2": "18edd9876ff6",
    "lumina_2": "a38501cbb626",
    "minimax_h3": "30a70bd41a82",
    "omnigen2": "69ce664ed85f",
    "qwen_image": "298c75cdc3e4",
    "sd3": "be8214111079",
    "sdxl": "50684f8083aa",
    "wan": "77121edbaec4",
    "z_image": "612c83a110e0",
}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _digest(model_type: str) -> str:
    return hashlib.sha256(json.dumps(_plain(DESCRIPTIONS[model_type])).encode()).hexdigest()[:12]


@pytest.mark.parametrize("model_type", DESCRIPTIONS)
def test_facts_of_a_type_are_those_noted(model_type: str):
    assert NOTED.get(model_type) == _digest(model_type)


def test_types_are_listed_by_the_words_of_their_names():
    assert list(DESCRIPTIONS)[:6] == ["anima", "auraflow", "chroma", "cosmos", "cosmos_predict2", "ernie_image"]

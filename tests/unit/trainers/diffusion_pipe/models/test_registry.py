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
    "anima": "e7049b65da1e",
    "auraflow": "e73171c46d1a",
    "chroma": "95d7fe904ce1",
    "cosmos": "c212431e179a",
    "cosmos_predict2": "4dfc6d918e70",
    "ernie_image": "97663f94693b",
    "flux": "fef6510fbca5",
    "flux2": "e481f7015ca0",
    "hidream": "5bf9024fe0ec",
    "hunyuan_image": "3edc4ede848d",
    "hunyuan-video": "e1fd28e5d911",
    "hunyuan_video_15": "8c88d8b904d0",
    "ideogram4": "fdeaffb20f2f",
    "krea2": "12af19d57b97",
    "ltx-video": "3e0be035dd22",
    "ltx2": "7a5c82ec27ca",
    "lumina_2": "af939340481e",
    "minimax_h3": "514ead4e978a",
    "omnigen2": "8d0639ba218e",
    "qwen_image": "be4c37ed758b",
    "sd3": "4a0e6969f094",
    "sdxl": "4eb4e7b69efa",
    "wan": "f32512184247",
    "z_image": "0ba630a05806",
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

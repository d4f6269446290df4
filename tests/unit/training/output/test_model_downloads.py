import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.domain.tasks.training import TrainingRequest
from api.training.output.model_downloads import base_path_of, find_trigger_word, hash_base

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def task(**request: Any) -> Any:
    return SimpleNamespace(request=TrainingRequest("flux", **request))


@pytest.mark.parametrize(
    ("dataset", "word"),
    [
        ({"caption_prefix": "sks dog, "}, "sks dog"),
        ({"caption_prefix": "sks dog, ", "directories": [{"path": "/a"}, {"path": "/b"}]}, "sks dog"),
        ({"directories": [{"caption_prefix": "sks dog"}, {"caption_prefix": "sks dog"}]}, "sks dog"),
        ({"directories": [{"caption_prefix": "sks dog"}, {"caption_prefix": "a cat"}]}, None),
        ({"directories": [{"caption_prefix": "sks dog"}, {"path": "/b"}]}, None),
        ({}, None),
    ],
)
def test_prefix_of_all_captions_counts_as_trigger_word(dataset: dict[str, Any], word: str | None):
    request = TrainingRequest("flux", dataset=dataset)
    assert find_trigger_word(None, request) == word
    assert find_trigger_word("ohwx", request) == "ohwx"


def test_trigger_word_is_found_in_a_text_of_the_dataset():
    text = 'caption_prefix = "sks dog, "\n[[directory]]\npath = "/a"\n'
    assert find_trigger_word(None, TrainingRequest("flux", dataset_toml=text)) == "sks dog"
    assert find_trigger_word(None, TrainingRequest("flux", dataset_toml="no toml")) is None


def test_base_model_has_the_short_hash_of_other_programs(tmp_path: Path):
    path = tmp_path / "flux1-dev.safetensors"
    path.write_bytes(os.urandom(0x120000))
    os.utime(path, (1, 1))
    assert base_path_of(task(config={"model": {"diffusers_path": "/d", "transformer_path": str(path)}})) == path
    expected = hashlib.sha256(path.read_bytes()[0x100000:0x110000]).hexdigest()[:8]
    assert hash_base(path, STARTED) == expected


def test_base_model_that_is_unknown_or_changed_has_no_hash(tmp_path: Path):
    path, pipe = tmp_path / "base.safetensors", tmp_path / "pipe"
    path.write_bytes(bytes(0x120000))
    os.mkfifo(pipe)
    assert hash_base(path, STARTED) is None  # written after the training began
    for other in (tmp_path, pipe, tmp_path / "missing", Path("models/base.safetensors")):
        assert hash_base(other, datetime(2100, 1, 1, tzinfo=UTC)) is None
    assert base_path_of(task()) is None
    text = '[model]\ntransformer_path = "/models/flux.safetensors"\n'
    assert base_path_of(task(config_toml=text)) == Path("/models/flux.safetensors")

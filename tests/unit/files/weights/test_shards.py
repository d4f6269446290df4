import json
from pathlib import Path

from api.files.weights.shards import find_outside, missing_shards

NAMES = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]


def test_missing_shard_is_named_by_the_numbers_of_the_others(tmp_path: Path):
    assert missing_shards(tmp_path, NAMES) == []
    assert missing_shards(tmp_path, [NAMES[0], NAMES[2]]) == [NAMES[1]]


def test_missing_shards_are_named_by_the_index(tmp_path: Path):
    index = "model.safetensors.index.json"
    (tmp_path / index).write_text(json.dumps({"weight_map": dict(zip("abc", NAMES, strict=True))}))
    assert missing_shards(tmp_path, [index]) == NAMES
    assert missing_shards(tmp_path, [index, "model.safetensors"]) == []


def test_invalid_index_names_nothing(tmp_path: Path):
    index = "a.safetensors.index.json"
    for text in ("[]", "{", '{"weight_map": {"a": "../x", "b": 3}}'):
        (tmp_path / index).write_text(text)
        assert missing_shards(tmp_path, [index]) == []


def test_huge_shard_counts_are_ignored(tmp_path: Path):
    assert missing_shards(tmp_path, ["a-00001-of-99999.safetensors", "a-00007-of-00003.safetensors"]) == []


def test_index_with_a_file_elsewhere_is_found(tmp_path: Path):
    index = "a.safetensors.index.json"
    for named, outside in (
        ("../../tasks/x.safetensors", "../../tasks/x.safetensors"),
        ("/etc/x", "/etc/x"),
        ("x", None),
    ):
        (tmp_path / index).write_text(json.dumps({"weight_map": {"a": "b.safetensors", "c": named}}))
        assert find_outside(tmp_path, ["b.safetensors", index]) == outside
    assert find_outside(tmp_path, ["b.safetensors"]) is None

from typing import Any

import pytest

from api.datasets.requested_datasets import find_datasets, find_paths, rewrite
from api.domain.training import TrainingRequest

TEXT = "resolutions = [512] # px\n[[directory]]\npath = '/a'\n[[directory]]\ndataset = 'cats@3'\nnum_repeats = 2\n"


def structured(*directories: Any, key: str = "directories") -> TrainingRequest:
    return TrainingRequest("toy", dataset={"resolutions": [512], key: list(directories)})


@pytest.mark.parametrize("key", ["directories", "directory"])
def test_datasets_are_found_in_the_structured_form(key: str):
    found, mistakes = find_datasets(structured({"path": "/a"}, {"dataset": "cats"}, key=key))
    assert [(each.index, each.pointer, each.reference) for each in found] == [(1, f"/dataset/{key}/1", "cats")]
    assert mistakes == []


def test_datasets_are_found_in_the_toml_text():
    found, _ = find_datasets(TrainingRequest("toy", dataset_toml=TEXT))
    assert [(each.index, each.pointer) for each in found] == [(1, "/dataset_toml/directory/1")]


@pytest.mark.parametrize("directories", [None, "cats", [], ["cats"], [None], 3])
def test_invalid_list_of_directories_names_no_dataset(directories: Any):
    assert find_datasets(TrainingRequest("toy", dataset={"directories": directories})) == ([], [])


@pytest.mark.parametrize("text", ["dataset = [", "dataset = 1\n" * 2, "x" * 10_000_000])
def test_unreadable_text_names_no_dataset(text: str):
    assert find_datasets(TrainingRequest("toy", dataset_toml=text)) == ([], [])


@pytest.mark.parametrize("directory", [{"dataset": 3}, {"dataset": None}, {"dataset": "cats", "path": "/a"}])
def test_invalid_dataset_name_is_reported(directory: dict[str, Any]):
    found, (mistake,) = find_datasets(structured(directory))
    assert (found, mistake.pointer) == ([], "/dataset/directories/0/dataset")


def test_values_are_replaced_in_a_structured_request():
    changed = rewrite(structured({"dataset": "cats", "num_repeats": 2}), {0: {"dataset": None, "path": "/b"}})
    assert changed is not None
    assert changed.dataset == {"resolutions": [512], "directories": [{"num_repeats": 2, "path": "/b"}]}


def test_values_are_replaced_in_a_text_that_otherwise_stays():
    changed = rewrite(TrainingRequest("toy", dataset_toml=TEXT), {1: {"dataset": None, "path": "/b"}})
    assert changed is not None
    expected = TEXT.replace("dataset = 'cats@3'\n", "").replace("num_repeats = 2\n", 'num_repeats = 2\npath = "/b"\n')
    assert changed.dataset_toml == expected


def test_request_without_datasets_is_unchanged():
    request = structured({"path": "/a"})
    assert rewrite(request, {}) is request


def test_all_paths_of_a_directory_are_found():
    directory = {"path": "/a", "mask_path": "/b", "num_repeats": 2, "control_path": 3}
    found = [("/dataset/directories/1/path", "/a"), ("/dataset/directories/1/mask_path", "/b")]
    assert list(find_paths(structured(None, directory))) == found
    assert list(find_paths(TrainingRequest("toy", dataset_toml=TEXT))) == [("/dataset_toml/directory/0/path", "/a")]

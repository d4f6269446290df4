from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, make_images, remarks, setting

ERRORS = [
    (setting(eval={"datasets": ["a.toml"], "every_n_epochs": 1}), "/config/eval/datasets/0"),
    (setting(eval={"datasets": [{"name": "a"}], "every_n_epochs": 1}), "/config/eval/datasets/0/config"),
]

NOTHING = [
    setting(eval={"before_first_step": False, "micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS, nothing=NOTHING)


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ("sets/eval.toml", "/config/eval_datasets"),
        ({"name": "a", "config": "sets/eval.toml"}, "/config/eval_datasets"),
        (["sets/eval.toml"], "/config/eval_datasets/0"),
    ],
)
def test_evaluation_dataset_in_another_form_gets_an_example(case: Case, given: Any, pointer: str):
    case.config |= {"eval_datasets": given, "eval_every_n_epochs": 1}
    mistake = case.only_error()
    assert mistake.pointer == pointer
    assert "{name = 'eval', config = 'sets/eval.toml'}" in str(mistake.remedy)


def make_eval(case: Case, tmp_path: Path, text: str) -> None:
    file = tmp_path / "eval.toml"
    file.write_text(text)
    case.config["eval"] = {"datasets": [{"name": "held out", "config": str(file)}], "every_n_epochs": 1}


def test_evaluation_dataset_is_checked_like_the_main_one(case: Case, tmp_path: Path):
    make_eval(case, tmp_path, "resolutions = [512]\n[[directory]]\npath = '/nowhere/secret'\n")
    mistake = case.only_error()
    assert mistake.pointer == "/config/eval/datasets/0/config"
    assert "/directory/0/path" in mistake.message
    assert "secret" not in mistake.message


def test_evaluation_dataset_has_its_own_cache(case: Case, tmp_path: Path):
    directory = make_images(tmp_path / "held", 2)
    make_eval(case, tmp_path, f"resolutions = [512]\n[[directory]]\npath = '{directory}'\n")
    plan = case.check().plan
    assert plan is not None
    assert plan.evaluates
    assert plan.caches == (str(directory / "cache" / "sdxl"), str(case.images / "cache" / "sdxl"))


def test_evaluation_dataset_that_is_too_small_is_an_error(case: Case, tmp_path: Path):
    directory = make_images(tmp_path / "held", 2)
    make_eval(case, tmp_path, f"resolutions = [512]\n[[directory]]\npath = '{directory}'\n")
    case.config["eval"]["gradient_accumulation_steps"] = 3
    assert case.only_error().pointer == "/config/eval/datasets/0/config"


def test_syntax_error_in_an_evaluation_dataset_names_line_and_column(case: Case, tmp_path: Path):
    make_eval(case, tmp_path, "resolutions = [512\n[[directory]]")
    assert "line" in case.only_error().message


def test_other_files_are_not_read_as_evaluation_datasets(case: Case, tmp_path: Path):
    file = tmp_path / "eval.conf"
    file.write_text("password = 'x")
    case.config["eval"] = {"datasets": [{"name": "held out", "config": str(file)}], "every_n_epochs": 1}
    assert "not the TOML file" in case.only_error().message


def test_duplicate_name_of_evaluation_datasets_is_a_warning(case: Case, tmp_path: Path):
    directory = make_images(tmp_path / "held", 2)
    make_eval(case, tmp_path, f"resolutions = [512]\n[[directory]]\npath = '{directory}'\n")
    case.config["eval"]["datasets"] *= 2
    assert case.only_warning().pointer == "/config/eval/datasets/1/name"


@pytest.mark.parametrize("name", ["", "a/b", 7, "eval set"])
@pytest.mark.parametrize("file", ["eval.toml", "eval.txt", "eval"])
def test_evaluation_dataset_may_have_any_name(tmp_path: Path, name: Any, file: str):
    case = Case(tmp_path)
    images = make_images(tmp_path / "held out")
    (tmp_path / file).write_text(f"resolutions = [512]\n[[directory]]\npath = '{images}'\n")
    case.config["eval_datasets"] = [{"name": name, "config": str(tmp_path / file)}]
    case.config["eval_every_n_epochs"] = 1
    assert case.errors() == []


def test_content_of_other_files_is_not_shown(tmp_path: Path):
    case = Case(tmp_path)
    (tmp_path / "secret").write_text("password = 'hunter2'\nresolutions = 'x'\n")
    case.config["eval_datasets"] = [{"name": "a", "config": str(tmp_path / "secret")}]
    found = case.check()
    assert [mistake.pointer for mistake in found.errors] == ["/config/eval_datasets/0/config"]
    assert "resolutions" not in str(found)

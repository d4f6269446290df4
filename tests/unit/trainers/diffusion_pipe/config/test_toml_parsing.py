import time
from pathlib import Path

import pytest
import toml

from api.domain.tasks.training import TrainingRequest
from api.trainers import toml_text
from tests.unit.trainers.diffusion_pipe.builders import Case, TextCase

#: CPU time limit in seconds, a few times that of a developer's machine.
SECONDS = 5.0


def test_oversized_text_is_not_searched_for_secrets(tmp_path: Path):
    case = Case(tmp_path)
    dotted = TrainingRequest(model_type="sdxl", config_toml=".".join("a" * 50_000) + " = 1", dataset_toml="")
    began = time.thread_time()
    assert case.trainer.check(dotted, case.output_dir).errors[0].pointer == "/config_toml"
    assert case.trainer.without_secrets(dotted) == dotted
    assert time.thread_time() - began < SECONDS


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ("epochs = ", "/config_toml"),
        ("epochs = 1\nepochs = 2", "/config_toml"),
        ("a = [1, 2.5]", "/config_toml/a"),
        ("a = ['x', 1]", "/config_toml/a"),
        ("a = " + "[" * 30 + "]" * 30, "/config_toml"),
        ("a = " + "[" * 5000 + "]" * 5000, "/config_toml"),
        ("a = " + "9" * 5000, "/config_toml"),
        ("started = 2026-01-01T00:00:00Z", "/config_toml/started"),
        ("x = '" + "y" * 200_000 + "'", "/config_toml"),
    ],
)
def test_toml_that_the_trainer_cannot_read_is_an_error_at_its_pointer(tmp_path: Path, config: str, pointer: str):
    case = TextCase(tmp_path)
    case.config = config + "\n" + case.config
    assert pointer in case.errors()


def test_syntax_error_names_line_and_column(tmp_path: Path):
    case = TextCase(tmp_path)
    case.dataset = "resolutions = [512]\n[[directory]\n"
    (mistake,) = case.check().errors
    assert mistake.pointer == "/dataset_toml"
    assert "line 2" in mistake.message
    assert "column" in mistake.message


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("x = @", "in quotes"),
        ("x = 'a' b", "one key in a line"),
        ("x = 'a", "missing quote"),
        ('x = "a\\d"', "single quotes"),
        ('x = "\\Users"', "single quotes"),
        ("some text", "key = value"),
        ("[x", "[model]"),
        ("[[x]", "[[directory]]"),
        ("x = [1", "]"),
        ("x = {a = 1", "}"),
        ("[model]\n[model]", "in one place"),
        ("epochs.x = 1\nepochs = 2", "Remove one"),
    ],
)
def test_syntax_error_says_how_to_write_it(tmp_path: Path, line: str, remedy: str):
    case = TextCase(tmp_path)
    case.dataset = line + "\n"
    (mistake,) = case.check().errors
    assert "line " in mistake.message or "at end of document" in mistake.message
    assert remedy in str(mistake.remedy)


def test_key_that_is_set_twice_is_named(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = "epochs = 3\n" + case.config
    (mistake,) = case.check().errors
    assert mistake.message.startswith("`epochs` is set twice, the second time in line 5")


def test_unusual_names_survive_writing(tmp_path: Path):
    odd = {"path": "/a\\b\"c'd\n\té\u2028 #[]=", "a.b": 1, "": 2, "é": [True], "t": [{"x": 1}, {"x": 2}], "n": {}}
    text = toml_text.write_exactly({"directory": [odd], "resolutions": [512]})
    assert text is None or toml.loads(text) == {"directory": [odd], "resolutions": [512]}


def test_inline_directories_cause_a_warning(tmp_path: Path):
    case = TextCase(tmp_path)
    case.dataset = f"resolutions = [512]\ndirectory = [{{path = '{case.images}'}}]\n"
    found = case.check()
    assert found.errors == ()
    assert [mistake.pointer for mistake in found.warnings] == ["/dataset_toml/directory/0"]

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.catalog.registry.origin import (
    describe_format,
    find_datasets,
    read_trainer_commit,
    standard_metadata,
    stem_of,
    value_at,
)
from api.domain.models.weights import AdapterFacts, AdapterKind, FileForm, WeightsFacts
from api.trainers.diffusion_pipe.config.checkout import COMMIT_FILE
from api.training.output.artifacts import saved_at
from api.training.views import SeriesPoint, SeriesView, XAxis
from tests.unit.db.builders import NOW


def test_epoch_or_step_is_read_from_the_directory():
    assert saved_at("20260101_00-00-00/epoch12/adapter_model.safetensors") == ("epoch", 12)
    assert saved_at("run/step500/lora.safetensors") == ("step", 500)
    assert saved_at("run/epoch12x/a.safetensors") == (None, None)
    assert (stem_of("a/epoch3/b"), stem_of("a/b")) == ("epoch3", "")


def test_loss_is_that_of_the_epoch():
    points = (SeriesPoint(None, 1, 0.5, NOW), SeriesPoint(None, 2, None, NOW), SeriesPoint(None, 3, 0.25, NOW))
    series = SeriesView("loss", XAxis.EPOCH, points, 3, 0, False, ())
    assert [value_at(series, number) for number in (1, 2, 3, 4)] == [0.5, None, 0.25, None]


def test_format_is_read_from_the_header():
    adapter = AdapterFacts(AdapterKind.LORA, 16, "comfyui", None, ("ComfyUI",))
    facts = WeightsFacts(FileForm.SAFETENSORS, 8, True, adapter=adapter, dtype="BF16", metadata={"a": "b"})
    found = describe_format(facts, "wan")
    assert (found["kind"], found["rank"], found["base_model"], found["metadata"]) == ("lora", 16, "wan", {"a": "b"})
    assert describe_format(WeightsFacts(FileForm.SAFETENSORS, 8, True), None)["kind"] is None


def test_metadata_omits_unknown_facts():
    result = standard_metadata("cats", 3, {"epoch": 12, "step": None}, {"rank": 16, "base_model": None}, "ohwx")
    assert result == {
        "modelspec.title": "cats v3",
        "modelspec.trigger_phrase": "ohwx",
        "ss_output_name": "cats",
        "ss_network_dim": "16",
        "ss_network_alpha": "16",
        "ss_epoch": "12",
    }


def test_datasets_are_found_in_values_and_texts():
    one, two = "a" * 64, "b" * 64
    request = {
        "dataset": {"directories": [{"dataset": f"cats@sha256:{one}"}, {"path": "/srv/x"}]},
        "config_toml": f"# dogs@sha256:{two}",
    }
    assert find_datasets(request) == [
        {"name": "cats", "manifest_sha256": one},
        {"name": "dogs", "manifest_sha256": two},
    ]
    assert find_datasets({"dataset": {"path": "/srv/cats"}}) == []


@pytest.mark.parametrize("hostile", ["", "x" * 500, "8f83dbf", "\u00e9"])
def test_commit_is_that_of_the_attempt_that_made_the_file(tmp_path: Path, hostile: str):
    first, second = "1" * 40, "2" * 40
    attempts = [SimpleNamespace(number=1, run_dir="/o/20260101"), SimpleNamespace(number=2, run_dir="/o/20260102")]
    task: Any = SimpleNamespace(output_dir=str(tmp_path / "output"), attempts=attempts)
    for number, commit in ((1, first), (2, second)):
        place = tmp_path / "attempts" / str(number) / COMMIT_FILE
        place.parent.mkdir(parents=True)
        place.write_text(commit)
    assert read_trainer_commit(task, "20260101/epoch1/a.safetensors") == first
    assert read_trainer_commit(task, "20260103/epoch1/a.safetensors") is None
    (tmp_path / "attempts/2" / COMMIT_FILE).write_text(hostile)
    assert read_trainer_commit(task, "20260102/epoch1/a.safetensors") is None

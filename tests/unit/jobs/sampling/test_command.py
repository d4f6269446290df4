"""The administrator's command as a sampler: its arguments, its picture and its failures."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.jobs.errors import StopRequested
from api.jobs.sampling.command import CommandSampler
from api.jobs.sampling.request import SamplingRequest
from api.jobs.sampling.sampler import SamplerProblem, SamplerUnavailable, Shot

SHOT = Shot("lora", 0.5, "a cat; rm -rf /", "ugly", 7, 64, 32)

Make = Callable[..., CommandSampler]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(body: str, seconds: float = 30.0, stops: bool = False) -> CommandSampler:
        script = tmp_path / "render.py"
        script.write_text(f"import json, pathlib, sys\nrequest, out = map(pathlib.Path, sys.argv[-2:])\n{body}\n")
        request = SamplingRequest((), (), "flux", base="flux1-dev.safetensors", most_seconds=seconds)
        command = [sys.executable, str(script), "--fast"]
        sampler = CommandSampler(command, request, tmp_path, {}, lambda: stops)
        sampler.prepare()
        sampler.add_lora(Path("/models/a.safetensors"), "lora")
        return sampler

    return made


def test_command_gets_the_request_and_its_file_is_the_picture(make: Make, tmp_path: Path):
    rendered = make('(out / "x.PNG").write_bytes(request.read_bytes()); print("keys_missing=3")').render(SHOT)
    assert (rendered.ending, rendered.keys_missing) == (".png", 3)
    assert json.loads(rendered.content) == {
        "model_type": "flux", "base": "flux1-dev.safetensors", "lora": "/models/a.safetensors", "strength": 0.5,
        "prompt": "a cat; rm -rf /", "negative": "ugly", "seed": 7, "width": 64, "height": 32, "frames": None,
        "steps": None,
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["render.py"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('sys.exit("no memory left")', "no memory left"),
        ("pass", "0 pictures"),
        ('[(out / name).write_text("") for name in ("a.png", "b.png")]', "2 pictures"),
        ('print("x" * 2**21)', "prints too much"),
    ],
)
def test_failures_are_problems_of_the_sample(make: Make, body: str, problem: str):
    with pytest.raises(SamplerProblem, match=problem):
        make(body).render(SHOT)


def test_temporary_failure_slowness_and_stop(make: Make):
    with pytest.raises(SamplerUnavailable):
        make("sys.exit(75)").render(SHOT)
    with pytest.raises(SamplerProblem, match="SAMPLE_SECONDS"):
        make("import time; time.sleep(60)", seconds=0.5).render(SHOT)
    with pytest.raises(StopRequested):
        make("import time; time.sleep(60)", stops=True).render(SHOT)


def test_missing_program_is_reported_before_anything_is_rendered(tmp_path: Path):
    with pytest.raises(SamplerProblem, match="cannot be executed"):
        CommandSampler(["/nowhere/render"], SamplingRequest((), (), "flux"), tmp_path, {}).prepare()

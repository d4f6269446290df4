"""The captioning program, run as its supervisor runs it, against an endpoint with faults."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.datasets.captioning import CaptionSettings
from api.jobs.kinds import CAPTIONING_JOB
from api.jobs.preprocessing.work import WorkItem
from tests.media import picture
from tests.vision_endpoint import Endpoint, serve

ROOT = Path(__file__).parents[4]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve() as made:
        yield made


def lay_out(work: Path, endpoint: Endpoint, **files: bytes) -> None:
    (work / "sources").mkdir(parents=True)
    settings = replace(CaptionSettings(endpoint.address, "m", "What is it?"), timeout_seconds=5.0)
    (work / "settings.json").write_text(json.dumps(settings.as_json()))
    items = [WorkItem(f"{name}.png", name, len(content), f"key_{name}") for name, content in files.items()]
    for name, content in files.items():
        (work / "sources" / name).write_bytes(content)
    (work / "items.jsonl").write_bytes(b"".join(item.as_json() for item in items))


def run(work: Path, name: str = "run_1") -> tuple[int, str]:
    argv = (sys.executable, "-P", "-u", "-m", "api.jobs.preprocessing.caption_program")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CAPTION_API_KEY": "planted-secret"}
    done = subprocess.run(
        [*argv, "--work", str(work), "--run", name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_each_item_is_captioned_once(tmp_path: Path, endpoint: Endpoint):
    endpoint.script = ["429", "garbage"]
    lay_out(tmp_path, endpoint, a=picture(), b=picture(seed=1), c=b"no picture")
    code, output = run(tmp_path)
    assert (code, output.splitlines()[-1]) == (0, CAPTIONING_JOB.completed_phrase)
    stored = {path.name: json.loads(path.read_bytes()) for path in (tmp_path / "made").glob("*.caption.json")}
    assert stored["key_a.caption.json"]["caption"].startswith("a picture")
    assert stored["key_c.caption.json"]["problem"] is not None
    assert endpoint.keys[0] == "Bearer planted-secret"
    assert "planted-secret" not in output
    asked = len(endpoint.requests)
    assert run(tmp_path, "run_2")[0] == 0
    assert len(endpoint.requests) == asked


def command_work(work: Path, program: str, *names: str) -> None:
    (work / "sources").mkdir(parents=True)
    argv = (sys.executable, "-I", "-S", "-c", program, "{file}")
    settings = CaptionSettings("", "m", "What is it?", parallel=1, timeout_seconds=20.0, command=argv)
    (work / "settings.json").write_text(json.dumps(settings.as_json()))
    items = [WorkItem(name, f"sha_{name[0]}", 5, f"key_{name[0]}") for name in names]
    for item in items:
        (work / "sources" / item.sha256).write_bytes(item.path.encode())
    (work / "items.jsonl").write_bytes(b"".join(item.as_json() for item in items))


def stored(work: Path) -> dict[str, str | None]:
    return {path.name[4]: json.loads(path.read_bytes())["caption"] for path in (work / "made").glob("*.caption.json")}


def test_command_runs_for_each_file_under_a_name_with_its_extension(tmp_path: Path):
    program = (
        "import os, sys; name = os.path.basename(sys.argv[1]); text = open(sys.argv[1]).read()\n"
        "if text[0] == 'b': sys.exit('cannot read it')\n"
        "print(name, text, os.environ['CAPTION_API_KEY'], os.environ.get('PYTHONPATH'))"
    )
    command_work(tmp_path, program, "a.png", "b.mp4", "c.p;g")
    code, output = run(tmp_path)
    assert (code, output.splitlines()[-1]) == (0, CAPTIONING_JOB.completed_phrase)
    assert stored(tmp_path) == {
        "a": "key_a.png a.png planted-secret None",
        "b": None,
        "c": "key_c c.p;g planted-secret None",
    }
    assert r'"message": "\"b.mp4\": the command ended with code 1: cannot read it"' in output
    assert list((tmp_path / "run_1" / "shown").iterdir()) == []


def test_missing_command_fails_and_the_next_run_continues(tmp_path: Path):
    command_work(tmp_path, "print('a cat')", "a.png", "b.png", "c.png", "d.png")
    settings = json.loads((tmp_path / "settings.json").read_bytes())
    (tmp_path / "settings.json").write_text(json.dumps({**settings, "command": ["/nowhere/caption", "{file}"]}))
    code, output = run(tmp_path)
    assert (code, "The command for captions does not answer" in output) == (1, True)
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert run(tmp_path, "run_2")[0] == 0
    assert {stored(tmp_path)[name] for name in "cd"} == {"a cat"}

"""The toy trainer as a program, read by the code that all trainers share."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from api.domain.tasks.progress import Stage
from api.domain.tasks.training import ResumeOptions, TrainingRequest
from api.trainers.protocol.event_files import EventFileTail
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Launch
from tests.e2e.toy_runs import TOY, WAIT_SECONDS, Run, creating, until

pytestmark = pytest.mark.quick


@pytest.fixture
def create(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with creating(tmp_path) as make:
        yield make


def final_weights(run: Run, name: str = "epoch3") -> bytes:
    return (run.run_dir / name / "adapter_model.safetensors").read_bytes()


def test_output_and_files_are_understood(create):
    run = create(eval_every_n_epochs=1)
    run.start()
    assert run.wait() == 0
    reader, points = run.read()
    tail = EventFileTail(run.run_dir)
    events = tail.read()
    for point in events:
        reader.take_point(point)
    progress = reader.progress
    assert (progress.step, progress.total_steps, progress.epoch, progress.steps_per_epoch) == (30, 30, 3, 10)
    assert (progress.first_step, progress.overall_progress, progress.epoch_progress) == (1, 100.0, 100.0)
    assert (progress.phrases, progress.learning_rate, progress.nan_steps) == ({"TRAINING COMPLETE!"}, 0.002, 0)
    assert progress.grad_norm is not None
    assert progress.best_epoch == 3
    assert list(progress.warnings) == []
    assert [point.step for point in points] == list(range(1, 31))
    by_tag = {tag: [point for point in events if point.tag == tag] for tag in {point.tag for point in events}}
    assert [point.value for point in by_tag["train/loss"]] == pytest.approx([p.value for p in points], abs=1e-3)
    assert [point.step for point in by_tag["train/epoch_loss"]] == [1, 2, 3]
    assert [point.step for point in by_tag["held_out/loss"]] == [0, 10, 20, 30]
    assert by_tag["held_out/loss"][-1].value < 0.5 * by_tag["held_out/loss"][0].value
    assert tail.notes == []


def test_stages_follow_in_order(create):
    run = create(eval_every_n_epochs=1)
    run.start()
    run.wait()
    reader, stages = TOY.create_reader(run.plan), []
    for line in run.lines():
        reader.read(line, 0.0)
        if not stages or stages[-1] is not reader.progress.stage:
            stages.append(reader.progress.stage)
    assert stages[:5] == [Stage.LOADING, Stage.CACHING, Stage.LOADING, Stage.EVALUATING, Stage.TRAINING]
    assert Stage.SAVING in stages


def test_run_directory_has_the_files_of_the_real_one(create):
    run = create()
    run.start()
    run.wait()
    names = {path.name.split(".tfevents")[0] for path in run.run_dir.iterdir()}
    assert names == {
        "config.toml", "events.out", "latest", "samples", "epoch1", "epoch2", "epoch3",
        "global_step10", "global_step20", "global_step30",
    }  # fmt: skip
    assert {path.name for path in (run.run_dir / "epoch3").iterdir()} == {
        "adapter_model.safetensors",
        "adapter_config.json",
        "config.toml",
    }
    found = TOY.checkpoints(run.run_dir)
    assert [(one.step, one.is_complete, one.is_latest) for one in found] == [
        (10, True, False),
        (20, True, False),
        (30, True, True),
    ]
    with Image.open(run.run_dir / "samples" / "epoch3.png") as picture:
        assert np.asarray(picture).std() > 20
    assert list(run.output_dir.iterdir()) == [run.run_dir]


def test_stop_and_resume_end_like_an_uninterrupted_run(create):
    whole = create("whole")
    whole.start()
    whole.wait()
    run = create("stopped", toy={"step_seconds": 0.05})
    run.start()
    until(lambda: run.run_dir is not None and "steps: 3 " in run.log.read_text(), "step 3")
    TOY.signal_file(run.run_dir).touch()
    assert run.wait() == 0
    reader, _ = run.read()
    assert reader.progress.phrases == {"Manually quitting"}
    stopped_at = reader.progress.step
    assert stopped_at < 30
    assert [one.step for one in TOY.checkpoints(run.run_dir) if one.is_latest and one.is_complete] == [stopped_at]
    run.start(ResumeOptions())
    assert run.wait() == 0
    reader, _ = run.read()
    assert (reader.progress.first_step, reader.progress.step) == (stopped_at + 1, 30)
    assert reader.progress.phrases == {"TRAINING COMPLETE!"}
    assert final_weights(run) == final_weights(whole)


def test_resume_from_an_older_checkpoint_ends_the_same(create):
    run = create(epochs=2, toy={"checkpoint_every_n_steps": 5})
    run.start()
    run.wait()
    first = final_weights(run, "epoch2")
    run.start(ResumeOptions(checkpoint="global_step5"))
    assert run.wait() == 0
    reader, points = run.read()
    assert (reader.progress.first_step, len(points)) == (6, 15)
    assert final_weights(run, "epoch2") == first


def test_resume_without_the_optimizer_state_ends_differently(create):
    run = create(epochs=2)
    run.start()
    run.wait()
    first = final_weights(run, "epoch2")
    run.start(ResumeOptions(checkpoint="global_step10", reset_optimizer=True, reset_dataloader=True))
    assert run.wait() == 0
    assert final_weights(run, "epoch2") != first


def test_save_makes_a_checkpoint_and_continues(create):
    run = create(epochs=1, toy={"step_seconds": 0.1})
    run.start()
    until(lambda: run.run_dir is not None, "the run directory")
    (run.run_dir / "save").touch()
    until(lambda: TOY.checkpoints(run.run_dir), "the checkpoint")
    assert run.wait() == 0
    assert not (run.run_dir / "save").exists()
    assert "TRAINING COMPLETE!" in run.read()[0].progress.phrases


def test_max_steps_ends_it_in_the_middle_of_an_epoch(create):
    run = create(max_steps=13)
    run.start()
    assert run.wait() == 0
    reader, _ = run.read()
    assert (reader.progress.step, reader.progress.total_steps, reader.progress.overall_progress) == (13, 13, 100.0)
    assert (run.run_dir / "step13" / "adapter_model.safetensors").exists()


def test_toy_learns_from_given_pictures(create, tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 64), "white").save(tmp_path / "pictures" / "a.png")
    run = create(epochs=1, toy={"steps_per_epoch": 60})
    request = TrainingRequest(
        model_type="toy",
        config=run.config,
        dataset={"directories": [{"path": str(tmp_path / "pictures")}]},
    )
    plan = TOY.check(request, run.output_dir).plan
    command = TOY.prepare(request, plan, Launch(tmp_path, run.output_dir, (0,), 29500))
    for name, text in command.files.items():
        (tmp_path / name).write_text(text)
    subprocess.run(command.argv, cwd=tmp_path, check=True, capture_output=True, timeout=WAIT_SECONDS)
    assert (run.run_dir / "dataset.toml").exists()
    with Image.open(run.run_dir / "samples" / "epoch1.png") as picture:
        assert np.asarray(picture).mean() > 200


def test_saved_model_can_be_loaded(create):
    run = create(epochs=1)
    run.start()
    run.wait()
    weights = load_file(run.run_dir / "epoch1" / "adapter_model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"layer1", "layer2", "layer3"}


def test_toy_imports_nothing_of_the_service():
    program = Path(sys.modules[Toy.__module__].__file__).parent / "train.py"
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(program.parent)!r}); "
        f"runpy.run_path({str(program)!r}, run_name='x'); "
        "print([name for name in sys.modules if name == 'api' or name.startswith('api.')])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=WAIT_SECONDS
    )
    assert done.stdout.strip() == "[]"

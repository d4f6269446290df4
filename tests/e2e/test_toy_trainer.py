"""The toy trainer as a program, watched by the half that all trainers share."""

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from safetensors.numpy import load_file

from api.models.progress import Point, Stage
from api.models.training import CauseCode, GPURequest, ResumeOptions, TrainingRequest
from api.trainers.protocol.event_files import EventFileTail
from api.trainers.protocol.output import OutputReader
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Ending, Launch

TOY = Toy()
FAST = {"steps_per_epoch": 10, "step_seconds": 0, "load_seconds": 0, "cache_seconds": 0}
WAIT_SECONDS = 60


@dataclass
class Run:
    """Attempts of one task in one directory."""

    directory: Path
    config: dict
    gpus: int = 1
    attempts: int = 0
    process: subprocess.Popen | None = None
    started: list[subprocess.Popen] = field(default_factory=list)

    @property
    def output_dir(self) -> Path:
        return self.directory / "output"

    @property
    def run_dir(self) -> Path | None:
        return TOY.find_run_dir(self.output_dir)

    @property
    def log(self) -> Path:
        return self.directory / f"attempt{self.attempts}" / "log"

    def start(self, resume: ResumeOptions | None = None) -> None:
        request = TrainingRequest(model_type="toy", gpus=GPURequest(count=self.gpus), config=self.config)
        checked = TOY.check(request, self.output_dir)
        assert checked.plan is not None, checked.errors
        self.plan = checked.plan
        self.attempts += 1
        self.log.parent.mkdir(parents=True)
        run_dir = None
        if resume is not None:
            run_dir = self.run_dir
            TOY.prepare_resume(run_dir, resume.checkpoint)
        launch = Launch(
            self.log.parent, self.output_dir, tuple(range(self.gpus)), 29500, run_dir, resume or ResumeOptions()
        )
        command = TOY.prepare(request, self.plan, launch)
        for name, text in command.files.items():
            (launch.directory / name).write_text(text)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env={"PATH": os.environ["PATH"], **command.env},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self.started.append(self.process)

    def wait(self) -> int:
        return self.process.wait(WAIT_SECONDS)

    def lines(self) -> list[str]:
        return [line for line in re.split("[\r\n]", self.log.read_text(errors="replace")) if line]

    def read(self) -> tuple[OutputReader, list[Point]]:
        reader = TOY.create_reader(self.plan)
        points = [reader.read(line, float(count)) for count, line in enumerate(self.lines())]
        return reader, [point for point in points if point is not None and point.tag == "train/loss"]

    def diagnose(self):
        code, (reader, _) = self.wait(), self.read()
        ending = Ending(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stop_requested=False,
            phrases=frozenset(reader.progress.phrases),
            last_lines=self.lines(),
            nan_in_a_row=reader.progress.nan_in_a_row,
        )
        return TOY.diagnose(ending)

    def processes(self) -> list[psutil.Process]:
        """Every process of it that is alive, its children that have gone astray included."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_zombie = process.status() == psutil.STATUS_ZOMBIE
                if not is_zombie and any(str(self.directory) in argument for argument in process.cmdline()):
                    found.append(process)
        return found


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


@pytest.fixture
def create(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(name: str = "task", gpus: int = 1, toy: dict | None = None, **config) -> Run:
        runs.append(Run(tmp_path / name, {"epochs": 3, **config, "toy": FAST | (toy or {})}, gpus))
        return runs[-1]

    yield make
    for run in runs:
        for process in run.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for started in run.started:
            started.wait(WAIT_SECONDS)


def final_weights(run: Run, name: str = "epoch3") -> bytes:
    return (run.run_dir / name / "adapter_model.safetensors").read_bytes()


def test_what_it_prints_and_writes_is_understood(create):
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


def test_stages_are_passed_through_in_order(create):
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


def test_run_directory_has_what_the_real_one_has(create):
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


def test_stop_and_resume_end_where_an_uninterrupted_run_ends(create):
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


def test_going_back_to_an_older_checkpoint_ends_the_same(create):
    run = create(epochs=2, toy={"checkpoint_every_n_steps": 5})
    run.start()
    run.wait()
    first = final_weights(run, "epoch2")
    run.start(ResumeOptions(checkpoint="global_step5"))
    assert run.wait() == 0
    reader, points = run.read()
    assert (reader.progress.first_step, len(points)) == (6, 15)
    assert final_weights(run, "epoch2") == first


def test_resume_without_its_optimizer_goes_another_way(create):
    run = create(epochs=2)
    run.start()
    run.wait()
    first = final_weights(run, "epoch2")
    run.start(ResumeOptions(checkpoint="global_step10", reset_optimizer=True, reset_dataloader=True))
    assert run.wait() == 0
    assert final_weights(run, "epoch2") != first


def test_save_makes_a_checkpoint_and_goes_on(create):
    run = create(epochs=1, toy={"step_seconds": 0.1})
    run.start()
    until(lambda: run.run_dir is not None, "the run directory")
    (run.run_dir / "save").touch()
    until(lambda: TOY.checkpoints(run.run_dir), "the checkpoint")
    assert run.wait() == 0
    assert not (run.run_dir / "save").exists()
    assert "TRAINING COMPLETE!" in run.read()[0].progress.phrases


def test_max_steps_end_it_in_the_middle_of_an_epoch(create):
    run = create(max_steps=13)
    run.start()
    assert run.wait() == 0
    reader, _ = run.read()
    assert (reader.progress.step, reader.progress.total_steps, reader.progress.overall_progress) == (13, 13, 100.0)
    assert (run.run_dir / "step13" / "adapter_model.safetensors").exists()


def test_given_pictures_are_learned_from(create, tmp_path: Path):
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


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("error", CauseCode.TRAINER_ERROR),
        ("cuda_oom", CauseCode.CUDA_OUT_OF_MEMORY),
        ("port_in_use", CauseCode.PORT_IN_USE),
        ("missing_file", CauseCode.MISSING_FILE),
        ("disk_full", CauseCode.DISK_FULL),
        ("gpu_lost", CauseCode.GPU_LOST),
        ("host_oom", CauseCode.HOST_OUT_OF_MEMORY),
        ("nccl_timeout", CauseCode.NCCL_TIMEOUT),
        ("terminated", CauseCode.KILLED),
        ("crash", CauseCode.TRAINER_ERROR),
        ("quit", CauseCode.QUIT_UNASKED),
        ("exit_zero", CauseCode.DID_NOT_TRAIN),
    ],
)
@pytest.mark.parametrize("step", [0, 4])
def test_every_way_to_fail_is_diagnosed(create, how: str, code: CauseCode, step: int):
    run = create(toy={"fail_at_step": step, "fail_with": how})
    run.start()
    assert run.diagnose().code is code
    assert run.read()[0].progress.step == (step - 1 if step else None)


def test_nan_stays_and_training_goes_on(create):
    run = create(epochs=2, toy={"fail_at_step": 11, "fail_with": "nan"})
    run.start()
    assert run.wait() == 0
    progress = run.read()[0].progress
    assert (progress.nan_in_a_row, math.isnan(progress.loss)) == (10, True)


def test_failing_once_lets_the_next_attempt_pass(create):
    run = create(toy={"fail_at_step": 15, "fail_once": True})
    run.start()
    assert run.wait() == 1
    run.start(ResumeOptions())
    assert run.wait() == 0
    assert run.read()[0].progress.first_step == 11


def test_failing_always_fails_again(create):
    run = create(toy={"fail_at_step": 15})
    run.start()
    assert run.wait() == 1
    run.start(ResumeOptions())
    assert run.wait() == 1


def test_sigterm_ends_it_at_once(create):
    run = create(toy={"step_seconds": 1})
    run.start()
    until(lambda: run.run_dir is not None, "the run directory")
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("stage", "last"), [("loading", "toy trainer"), ("caching", "[CACHE]"), ("training", "Global")]
)
def test_hang_holds_in_its_stage(create, stage: str, last: str):
    run = create(toy={"hang_in": stage, "ignore_sigterm": True})
    run.start()
    until(lambda: run.log.exists() and run.lines() and run.lines()[-1].startswith(last), f"the end of {stage}")
    run.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        run.process.wait(0.3)
    run.process.kill()
    run.wait()


def test_every_gpu_has_a_process_that_ends_with_it(create):
    run = create(gpus=3, toy={"step_seconds": 0.05})
    run.start()
    until(lambda: len(run.processes()) == 3, "three ranks")
    assert run.wait() == 0
    until(lambda: not run.processes(), "the ranks to end")
    assert run.lines().count("Global batch size = 192") == 3


def test_ranks_end_when_the_first_is_killed(create):
    run = create(gpus=2, toy={"step_seconds": 1})
    run.start()
    until(lambda: run.run_dir is not None and len(run.processes()) == 2, "two ranks")
    run.process.kill()
    run.wait()
    until(lambda: not run.processes(), "the other rank to end")


def test_nasty_children_outlive_it_and_ignore_sigterm(create):
    run = create(epochs=1, toy={"spawn_children": 3, "nasty_children": True})
    run.start()
    assert run.wait() == 0
    left = run.processes()
    assert len(left) == 3
    assert len({os.getsid(process.pid) for process in left}) == 2
    for process in left:
        process.terminate()
    gone, alive = psutil.wait_procs(left, timeout=0.5)
    assert (len(gone), len(alive)) == (0, 3)


def test_plain_children_end_with_it(create):
    run = create(epochs=1, toy={"spawn_children": 2})
    run.start()
    assert run.wait() == 0
    until(lambda: not run.processes(), "the children to end")


def test_saved_model_can_be_loaded(create):
    run = create(epochs=1)
    run.start()
    run.wait()
    weights = load_file(run.run_dir / "epoch1" / "adapter_model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"layer1", "layer2", "layer3"}


def test_it_imports_nothing_of_the_service():
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

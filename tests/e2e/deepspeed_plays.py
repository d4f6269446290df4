"""Scenarios for the trainer's stand-in: how each run is set up, and what happens to it meanwhile."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.deepspeed_runs import IMAGES, PATIENCE, Play, Run, listening_on
from tests.e2e.server import until

TWO = {"gpu_count": 2}
GRIEF = {"traps": {"grief": 1}}
LATE = {"traps": {"step": 12}}
LONG = {"epochs": 500}

#: Example of a user's key at Weights & Biases.
SECRET = "5f9c1b0a7e3d" * 3
MONITORED = {
    "enable_wandb": True,
    "wandb_api_key": SECRET,
    "wandb_tracker_name": "tests",
    "wandb_run_name": "one",
}


@dataclass(frozen=True)
class Failure:
    """The expected failure of a run: the cause, and parts of its detail, its remedy and the lines that are shown."""

    code: str
    detail: str
    remedy: str
    play: Play
    line: str = ""


def lose_model(run: Run) -> None:
    # The checks have passed; the launcher takes seconds to load.
    run.model.unlink()
    run.wait()


def write_save_quit(run: Run) -> None:
    run.wait_for("steps: 2 ")
    (run.run_dir / "save_quit").touch()
    run.wait()


def end_launcher_by(signum: signal.Signals) -> Callable[[Run], None]:
    def end(run: Run) -> None:
        run.wait_for("steps: 2 ")
        run.signal_launcher(signum)
        run.wait()

    return end


FAILURES = {
    "error": Failure(
        "trainer_error", "The size of tensor a (64)", "read the traceback", Play("error"), "Traceback (most recent"
    ),
    "cuda_out_of_memory": Failure(
        "cuda_out_of_memory", "Tried to allocate 2.25 GiB", "micro_batch_size_per_gpu", Play("cuda_oom")
    ),
    "cuda_out_of_memory_while_it_evaluates": Failure(
        "cuda_out_of_memory", "Tried to allocate 2.25 GiB", "micro_batch_size_per_gpu", Play("eval_cuda_oom")
    ),
    "cuda_out_of_memory_of_the_second_rank": Failure(
        "cuda_out_of_memory",
        "Tried to allocate 2.25 GiB",
        "micro_batch_size_per_gpu",
        Play("cuda_oom", more=TWO | GRIEF),
    ),
    "cuda_out_of_memory_while_two_ranks_cache": Failure(
        "cuda_out_of_memory", "Tried to allocate 2.25 GiB", "micro_batch_size_per_gpu", Play("cache_cuda_oom", more=TWO)
    ),
    "killed_rank": Failure("host_out_of_memory", "SIGKILL", "dmesg", Play("killed", more=TWO)),
    "killed_rank_whose_neighbour_complains": Failure(
        "host_out_of_memory", "SIGKILL", "dmesg", Play("killed", more=TWO | GRIEF)
    ),
    "killed_launcher": Failure(
        "host_out_of_memory",
        "SIGKILL",
        "dmesg",
        Play(action=end_launcher_by(signal.SIGKILL), pace=0.2, more=TWO | LONG),
    ),
    "segfault": Failure("trainer_error", "SIGSEGV", "native code", Play("segfault")),
    "terminated_rank": Failure("killed", "SIGTERM", "find the cause", Play("terminated", more=TWO)),
    "terminated_launcher": Failure(
        "killed", "SIGTERM", "find the cause", Play(action=end_launcher_by(signal.SIGTERM), pace=0.2, more=TWO | LONG)
    ),
    "nccl_timeout": Failure("nccl_timeout", "OpType=ALLREDUCE", "NCCL_P2P_DISABLE", Play("nccl_timeout", more=TWO)),
    "missing_file": Failure("missing_file", "model.safetensors", "path", Play(action=lose_model)),
    "disk_full": Failure("disk_full", "disk", "free disk space", Play("disk_full")),
    "too_many_resolutions": Failure(
        "did_not_train", "more than 3 resolutions", "at most 3", Play("many_resolutions"), "a lot of resolutions"
    ),
    "save_quit_of_somebody_else": Failure(
        "quit_unasked", "save_quit", "what wrote the file", Play(action=write_save_quit, pace=0.2, more=TWO | LONG)
    ),
    "nan_then_error": Failure(
        "nan_loss", "losses were NaN", "lower learning rate", Play("nan_then_error", more={"epochs": 4})
    ),
    "cache_process_fails": Failure(
        "trainer_error",
        "ValueError: Mask shape (512, 512)",
        "the same size as its image",
        Play("cache_process_fails", first=True),
        "Mask shape (512, 512) was not the same",
    ),
    "cuda_out_of_memory_while_one_rank_caches": Failure(
        "cuda_out_of_memory",
        "Tried to allocate 2.25 GiB",
        "micro_batch_size_per_gpu",
        Play("cache_cuda_oom", first=True),
        "CUDA out of memory",
    ),
}


def resume_from(checkpoint: str) -> Callable[[Run], None]:
    def resume(run: Run) -> None:
        run.wait()
        run.resume(checkpoint=checkpoint, config={"epochs": 3})
        run.wait()

    return resume


def stop_then_resume_over_a_leftover_file(run: Run) -> None:
    run.wait_for_step(3)
    run.stop()
    run.wait()
    (run.run_dir / "save_quit").touch()
    # On a busy machine the stop may have come too late.
    run.resume(config={"epochs": run.steps[-1] // IMAGES + 1})
    run.wait()


def stop_in_step(step: int, **how: Any) -> Callable[[Run], None]:
    def stop(run: Run) -> None:
        run.wait_for_step(step)
        run.stop(**how)
        run.wait()

    return stop


def warn_then_stop(run: Run) -> None:
    run.wait_for_warning("caching")
    run.stop()
    run.wait()


def occupy_its_port(run: Run) -> None:
    with listening_on(run.wait_for_port()):
        run.wait()


def wait_for_partner(run: Run) -> None:
    run.wait_for_step(3)
    mine = run.directory / "trains"
    mine.touch()
    others = [run.directory.parent / name / "trains" for name in ("one_of_two", "other_of_two")]
    until(lambda: all(path.exists() for path in others), PATIENCE, "the other one to train")
    run.stop()
    run.wait()


OTHERS = {
    "completes": Play(more={"config": {"monitoring": MONITORED}}),
    "completes_on_two": Play(more={"gpu_ids": [5, 3]}),
    "one_of_two": Play(action=wait_for_partner, pace=0.2, partner="other_of_two", more=TWO | LONG),
    "other_of_two": Play(action=wait_for_partner, pace=0.2, partner="one_of_two", more=TWO | LONG),
    "nan_for_ever": Play("nan", pace=0.3, more={"epochs": 4}),
    "crash_at_exit": Play("crash_at_exit"),
    "port_in_use": Play(action=occupy_its_port, more=TWO),
    "stopped_and_resumed": Play(action=stop_then_resume_over_a_leftover_file, pace=0.2, more=LONG),
    "resumed_from_the_first": Play(action=resume_from(f"global_step{IMAGES}")),
    "retried": Play("error", more={"max_retries": 1, **LATE}),
    "disagreeing_ranks": Play("ranks_disagree", stop_in_step(3, timeout_seconds=5), pace=0.2, more=TWO | LONG),
    "slow_to_end": Play("slow_end", stop_in_step(3, force=True), 0.2, first=True, more=LONG),
    "ends_in_a_while": Play("slow_end", stop_in_step(3, force=True), 0.2, more={**LONG, "traps": {"seconds": 3}}),
    "hang_is_reported": Play("cache_process_hangs", warn_then_stop, first=True),
    "orphan_at_the_end": Play("orphan"),
    "orphan_at_a_stop": Play("orphan", stop_in_step(7, force=True), pace=0.2, more=LONG),
}

PLAYS = {**{name: failure.play for name, failure in FAILURES.items()}, **OTHERS}

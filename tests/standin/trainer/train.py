"""A stand-in for diffusion-pipe's train.py: its options, output, order, barriers and exits, without a model.

DeepSpeed's launcher starts it. Its ranks really communicate (gloo), so ports collide and ranks fail as in a real
run. Environment variables request failures: see traps.py.
"""

# ruff: noqa: T201 - its output is its interface

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import toml
import torch
import traps
from saver import Saver, load_checkpoint
from torch import distributed as dist

RANK = int(os.environ.get("RANK", "0"))
IS_FIRST = RANK == 0
QUANTILES = 9
IMAGES = (".png", ".jpg", ".jpeg", ".webp")

# The cache's queue is passed from rank to rank.
multiprocessing.current_process().authkey = b"stand-in"


def parse_arguments() -> argparse.Namespace:
    """Parse the options of the real trainer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    parser.add_argument("--local_rank", type=int, default=-1)
    parser.add_argument("--resume_from_checkpoint", nargs="?", const=True, default=None)
    parser.add_argument("--master_port", type=int, default=29500)
    parser.add_argument("--dump_dataset", type=Path, default=None)
    parser.add_argument("--deepspeed_config", default=None)
    for flag in (
        "reset_dataloader",
        "reset_optimizer",
        "reset_optimizer_params",
        "regenerate_cache",
        "cache_only",
        "trust_cache",
        "i_know_what_i_am_doing",
        "test_sample",
        "deepspeed",
    ):
        parser.add_argument(f"--{flag}", action="store_true")
    return parser.parse_args()


def log(text: str, place: str = "logging.py:107:log_dist", mark: str = "[Rank 0] ") -> None:
    """Print like DeepSpeed's log; with a mark only on rank 0."""
    if IS_FIRST or not mark:
        moment = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]  # noqa: DTZ005 - local, as DeepSpeed prints
        print(f"[{moment}] [INFO] [{place}] {mark}{text}")


def open_group(arguments: argparse.Namespace) -> None:
    """Open the group of ranks on the port of the trainer's own option, regardless of the launcher's."""
    os.environ["MASTER_ADDR"] = os.getenv("MASTER_ADDR", "localhost")
    os.environ["MASTER_PORT"] = str(arguments.master_port)
    log("cdb=None", "comm.py:658:init_distributed", "")
    log("Initializing TorchBackend in DeepSpeed with backend nccl", "comm.py:689:init_distributed")
    dist.init_process_group("gloo")


# -- the dataset -------------------------------------------------------------------------------------------------------


def read_items(config: dict[str, Any]) -> tuple[list[str], int]:
    """Return the images of a dataset, and how often an epoch uses each."""
    dataset = toml.load(config["dataset"])
    items: list[str] = []
    repeats = 0
    for directory in dataset["directory"]:
        resolutions = directory.get("resolutions", dataset.get("resolutions", []))
        if len(resolutions) > 3 or traps.NAME == "many_resolutions":
            if IS_FIRST:
                print(
                    "WARNING: You have set a lot of resolutions in the dataset config. Please read the comments in the "
                    "example dataset.toml file, and make sure you understand what this setting does. If you still want "
                    "to proceed with the current configuration, run the script with the --i_know_what_i_am_doing flag."
                )
            sys.exit()
        items += sorted(str(path) for path in Path(directory["path"]).iterdir() if path.suffix in IMAGES)
        repeats = max(repeats, int(directory.get("num_repeats", 1)))
    return items, repeats


def cache(items: list[str]) -> None:
    """Fill the cache: a process of rank 0 reads the files, and the ranks encode its output."""
    shared: list[Any] = [None]
    if IS_FIRST:
        manager = multiprocessing.Manager()
        shared = [manager.Queue()]
    dist.broadcast_object_list(shared, src=0)
    queue = shared[0]
    if IS_FIRST:
        process = multiprocessing.Process(target=_read_all, args=(items, queue))
        process.start()
    while True:
        # If that process dies, nothing is ever put here.
        task = queue.get()
        if task is None:
            queue.put(None)
            break
        traps.in_cached_item()
        task[1].send(task[0])
    dist.barrier()
    if IS_FIRST:
        process.join()


def _read_all(items: list[str], queue: Any) -> None:
    ends: tuple[Connection, Connection] = multiprocessing.Pipe(duplex=False)
    reader, writer = ends
    print("caching latents: (1.0, 512, 512, 1)")
    draw_bar(0, len(items))
    for done, item in enumerate(items, start=1):
        queue.put((item, writer))
        reader.recv()
        traps.in_cache_process()
        draw_bar(done, len(items))
    sys.stderr.write("\n")
    print("caching text embeddings: (1.0, 512, 512, 1)")
    for item in items:
        queue.put((item, writer))
        reader.recv()
    queue.put(None)


def draw_bar(done: int, total: int) -> None:
    # Like tqdm's, the bar has no line end until it is full, so other output follows on the same line.
    full = 10 * done // total
    sys.stderr.write(
        f"\r{100 * done // total:3d}%|{'█' * full}{' ' * (10 - full)}| {done}/{total} [00:00<00:00, 9.00it/s]"
    )
    sys.stderr.flush()


# -- the training ------------------------------------------------------------------------------------------------------


def find_run_dir(arguments: argparse.Namespace, config: dict[str, Any]) -> Path:
    """Create the run directory, or open the one to resume from; rank 0 decides which."""
    resumed, output_dir = arguments.resume_from_checkpoint, config["output_dir"]
    chosen: list[Any] = [None]
    if IS_FIRST and resumed is True:
        chosen = [sorted(os.path.join(output_dir, name) for name in os.listdir(output_dir))[-1]]
    elif IS_FIRST:
        chosen = [os.path.join(output_dir, resumed or datetime.now(UTC).strftime("%Y%m%d_%H-%M-%S"))]
    dist.broadcast_object_list(chosen, src=0)
    run_dir = Path(chosen[0])
    run_dir.mkdir(parents=True, exist_ok=True)
    if not resumed and IS_FIRST:
        shutil.copy(arguments.config, run_dir)
        shutil.copy(config["dataset"], run_dir)
        for evaluation in config.get("eval_datasets", []):
            shutil.copy(evaluation["config"], run_dir)
    dist.barrier()
    return run_dir


class Training:
    """The steps of one run."""

    def __init__(self, arguments: argparse.Namespace, config: dict[str, Any], run_dir: Path, examples: int) -> None:
        stages, world = config.get("pipeline_stages", 1), dist.get_world_size()
        assert world % stages == 0, f"world size {world} is not divisible by pipeline_stages {stages}"
        self.batch = config.get("micro_batch_size_per_gpu", 1) * config.get("gradient_accumulation_steps", 1)
        self.batch *= world // stages
        self.config = config
        self.steps_per_epoch = examples // self.batch
        self.saver = Saver(run_dir, arguments.config, config, log, IS_FIRST)
        # The gradients use a separate group, so that a step of one rank never matches another's barrier.
        self.group = dist.new_group()
        self.loader_epoch, self.position, self.pulled, self.step = 1, 0, 0, 1

    def resume(self, arguments: argparse.Namespace) -> None:
        """Continue from the checkpoint that `latest` names."""
        state = load_checkpoint(self.saver.run_dir, log)
        dist.barrier()
        assert state is not None
        loader = state["custom_loader"]
        self.loader_epoch, self.step = loader["epoch"], state["step"] + 1
        # One step is always read ahead, except at an epoch's end: there a resume repeats one.
        self.position = 0 if arguments.reset_dataloader else loader["num_batches_pulled"] - 1
        if IS_FIRST:
            print(f"Resuming training from checkpoint. Resuming at epoch: {self.loader_epoch}, step: {self.step}")

    def run(self, is_resumed: bool) -> None:
        """Run all steps, and save what the last one did not save."""
        epoch, max_steps = self.loader_epoch, self.config.get("max_steps")
        if self.config.get("eval_before_first_step", True) and not is_resumed:
            self.evaluate()
        while True:
            self.make_step()
            self._advance_loader()
            next_epoch, checkpointed, saved = self.saver.process_epoch(epoch, self.loader_epoch, self.state)
            if self._is_time_to_evaluate(epoch, is_over=next_epoch != epoch):
                self.evaluate()
            if next_epoch is None:
                last = f"epoch{epoch}"
                break
            epoch = next_epoch
            checkpointed, saved = self.saver.process_step(self.state)
            if max_steps is not None and self.step >= max_steps:
                last = f"step{self.step}"
                break
            self.step += 1
        if not checkpointed:
            self.saver.save_checkpoint(self.state)
        if not saved:
            self.saver.save_model(last)
        if IS_FIRST:
            print("TRAINING COMPLETE!")

    @property
    def state(self) -> dict[str, Any]:
        """Return what a resume needs."""
        loader = {"epoch": self.loader_epoch, "num_batches_pulled": self.pulled}
        return {"step": self.step, "custom_loader": loader}

    def make_step(self) -> None:
        """Run one step on every rank; the first one prints it."""
        began = time.monotonic()
        traps.before_step(self.step)
        loss = traps.loss_at(self.step, 1 / (1 + 0.1 * self.step))
        self._reduce(torch.tensor([loss]))
        time.sleep(traps.PACE)
        log(f"step={self.step}, skipped=0, lr=[{self.config['optimizer']['lr']}], mom=[(0.9, 0.99)]")
        seconds = max(time.monotonic() - began, 1e-6)
        if IS_FIRST:
            speed = self.batch / seconds
            print(f"steps: {self.step} loss: {loss:0.4f} iter time (s): {seconds:0.3f} samples/sec: {speed:0.3f}")

    def evaluate(self) -> None:
        """Evaluate the loss on the evaluation datasets, for TensorBoard only."""
        if not self.config.get("eval_datasets"):
            return
        if IS_FIRST:
            print("Running eval")
            draw_bar(0, QUANTILES)
        for done in range(1, QUANTILES + 1):
            self._reduce(torch.tensor([1.0]))
            traps.in_evaluation(self.step)
            if IS_FIRST:
                draw_bar(done, QUANTILES)
        if IS_FIRST:
            sys.stderr.write("\n")

    def _is_time_to_evaluate(self, epoch: int, is_over: bool) -> bool:
        steps, epochs = self.config.get("eval_every_n_steps"), self.config.get("eval_every_n_epochs")
        return bool(steps and self.step % steps == 0) or bool(is_over and epochs and epoch % epochs == 0)

    def _reduce(self, loss: torch.Tensor) -> None:
        try:
            dist.all_reduce(loss, group=self.group)
        except RuntimeError:
            if traps.GRIEVES:
                raise
            # NCCL does not notice a lost rank; the launcher ends this one.
            time.sleep(traps.HOLD_SECONDS)

    def _advance_loader(self) -> None:
        self.position += 1
        self.pulled = self.position + 1
        if self.position >= self.steps_per_epoch:
            self.loader_epoch, self.position, self.pulled = self.loader_epoch + 1, 0, 0


def main() -> None:
    """Train in the order of the real trainer."""
    arguments = parse_arguments()
    traps.begin()
    # Inline tables of the package `toml` cannot be pickled.
    config = json.loads(json.dumps(toml.load(arguments.config)))
    assert "save_every_n_epochs" in config or "save_every_n_steps" in config or "save_every_n_examples" in config
    open_group(arguments)
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    print(
        f"stand-in: rank {RANK} of {dist.get_world_size()}, local {arguments.local_rank}, devices {devices}\n", end=""
    )
    with open(config["model"]["checkpoint_path"], "rb") as weights:
        weights.read(16)
    items, repeats = read_items(config)
    cache(items)
    if arguments.cache_only:
        sys.exit()
    run_dir = find_run_dir(arguments, config)
    if config.get("monitoring", {}).get("enable_wandb", False) and IS_FIRST:
        given = config["monitoring"]["wandb_api_key"] or os.environ.get("WANDB_API_KEY", "")
        print(f"stand-in: a key of {len(given)} characters for wandb")
    log("DeepSpeed info: version=0.18.4, git-hash=unknown, git-branch=unknown")
    training = Training(arguments, config, run_dir, len(items) * repeats)
    print(f"Global batch size = {training.batch}")
    if (every := config.pop("save_every_n_examples", None)) is not None:
        config["save_every_n_steps"] = every // training.batch
        print(f"Computed save_every_n_steps = {config['save_every_n_steps']}")
    if arguments.resume_from_checkpoint:
        training.resume(arguments)
    if IS_FIRST:
        (run_dir / f"events.out.tfevents.{int(time.time())}.host.{os.getpid()}.0").touch()
    training.run(bool(arguments.resume_from_checkpoint))
    traps.after_all()
    # torch's processes and DeepSpeed's launcher take their time on a real machine.
    time.sleep(traps.END_SECONDS)


if __name__ == "__main__":
    main()

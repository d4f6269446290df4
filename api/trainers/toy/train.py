"""The toy trainer: trains a real, tiny diffusion model, with the output and files of diffusion-pipe's train.py.

It is a separate program: `python -u train.py --config X.toml`. It computes on the CPU and needs no GPU.
"""

# ruff: noqa: T201 - its output is its interface

import argparse
import os
import signal
import sys
import time
import tomllib
import traceback
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import toy_cache  # type: ignore[import-not-found]
import toy_files  # type: ignore[import-not-found]
from simulated_failures import SimulatedFailures, spawn_children  # type: ignore[import-not-found]
from toy_model import Adam, ToyModel, draw_pictures, pick_noise  # type: ignore[import-not-found]

PICTURES = 512
QUANTILES = tuple(count / 10 for count in range(1, 10))


def parse_arguments() -> argparse.Namespace:
    """Return the options of the real trainer that apply here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--resume_from_checkpoint", type=Path, default=None, help="the run directory")
    parser.add_argument("--reset_dataloader", action="store_true")
    parser.add_argument("--reset_optimizer", action="store_true")
    parser.add_argument("--cache_only", action="store_true", help="end when the pictures are cached")
    parser.add_argument("--trust_cache", action="store_true", help="use a cache without checking the pictures")
    parser.add_argument("--regenerate_cache", action="store_true", help="ignore an existing cache")
    parser.add_argument("--master_port", type=int, default=29500, help="accepted and ignored")
    parser.add_argument("--ranks", type=int, default=1, help="processes; all but the first only wait")
    return parser.parse_args()


def log(text: str) -> None:
    """Print in the format of DeepSpeed's log of rank 0."""
    moment = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]  # noqa: DTZ005 - local, as DeepSpeed prints
    print(f"[{moment}] [INFO] [logging.py:123:log_dist] [Rank 0] {text}")


class Ranks:
    """The other ranks: processes that print what every rank prints, and end with the first one."""

    def __init__(self, count: int) -> None:
        self._pipes: list[int] = []
        for _ in range(1, count):
            reader, writer = os.pipe()
            if os.fork() == 0:
                os.close(writer)
                for other in self._pipes:
                    os.close(other)
                with os.fdopen(reader) as orders:
                    for line in orders:
                        print(line, end="")
                os._exit(0)
            os.close(reader)
            self._pipes.append(writer)

    def print_line(self, text: str) -> None:
        """Print a line on every rank, including this one."""
        print(text)
        for pipe in self._pipes:
            os.write(pipe, text.encode() + b"\n")


class ToyTraining:
    """One training: its model, data and progress."""

    def __init__(self, arguments: argparse.Namespace, config: dict[str, Any]) -> None:
        self.arguments = arguments
        self.config = config
        self.toy: dict[str, Any] = config.get("toy", {})
        self.ranks = Ranks(arguments.ranks)
        self.output_dir = Path(config["output_dir"])
        self.dataset = arguments.config.parent / config["dataset"] if "dataset" in config else None
        self.size: int = self.toy.get("size", 16)
        self.seed: int = self.toy.get("seed", 0)
        self.steps_per_epoch: int = self.toy.get("steps_per_epoch", 40)
        self.step_seconds: float = self.toy.get("step_seconds", 0.05)
        self.log_lines: int = self.toy.get("log_lines_per_step", 0)
        self.batch_size: int = config.get("micro_batch_size_per_gpu", 64) * arguments.ranks
        self.failures = SimulatedFailures(self.toy, self.output_dir)
        self.epoch, self.step, self.position, self.is_epoch_new = 1, 1, 0, True
        self.order = np.empty(0, dtype=np.int64)
        self.losses: list[float] = []
        self.checkpointed_at = time.monotonic()

    # -- before the first step -------------------------------------------------------------------------------------

    def load(self) -> None:
        """Create the model, where a real trainer would load one."""
        print("toy trainer: a tiny model on the CPU, for trying things out")
        self.failures.enter("loading")
        time.sleep(self.toy.get("load_seconds", 0.3))
        self.model = ToyModel(self.size**2, self.seed)
        self.optimizer = Adam(self.model, self.config.get("optimizer", {}).get("lr", 0.002))

    def cache(self) -> None:
        """Load or draw the pictures, with the output of a real cache."""
        print(f"caching latents: (1.0, {self.size}, {self.size}, 1)")
        print("[CACHE] Initializing")
        self.failures.enter("caching")
        pictures = self._find_cached()
        if pictures is None:
            pictures = self._make_pictures()
        print(f"caching text embeddings: (1.0, {self.size}, {self.size}, 1)")
        held_out = max(1, len(pictures) // 8) if self._evaluates else 0
        self.held_out = pictures[:held_out]
        self.pictures = pictures[held_out:] if len(pictures) > 1 else pictures

    def _find_cached(self) -> Any:
        """Return the pictures of a matching cache, or None."""
        if self.dataset is None or self.arguments.regenerate_cache:
            return None
        found = toy_cache.find(self.dataset, self.size, trusts=self.arguments.trust_cache)
        if found is not None:
            print(f"toy: cache reused, {len(found)} pictures")
        return found

    def _make_pictures(self) -> Any:
        if self.dataset is None:
            pictures = draw_pictures(PICTURES, self.size, self.seed)
        else:
            pictures = toy_files.read_pictures(self.dataset, self.size)
        pause = self.toy.get("cache_seconds", 0.1) / 10
        for part in range(11):
            bar = "█" * part + " " * (10 - part)
            done = len(pictures) * part // 10
            sys.stderr.write(f"\r{part * 10:3d}%|{bar}| {done}/{len(pictures)} [00:00<00:00, 99.00it/s]")
            sys.stderr.flush()
            time.sleep(pause if part else 0)
        sys.stderr.write("\n")
        if self.dataset is not None and self.arguments.cache_only:
            toy_cache.write(self.dataset, self.size)
        return pictures

    def open(self) -> None:
        """Create the run directory, or open the one to resume from."""
        resumed: Path | None = self.arguments.resume_from_checkpoint
        if resumed is None:
            copied = [self.arguments.config] + ([] if self.dataset is None else [self.dataset])
            self.run_dir = toy_files.make_run_dir(self.output_dir, copied)
        else:
            self.run_dir = self.output_dir / resumed
        self.ranks.print_line(f"Global batch size = {self.batch_size}")
        if resumed is not None:
            self._restore()
        self.events = toy_files.EventWriter(self.run_dir)
        self.order = self._order_of(self.epoch)

    def _restore(self) -> None:
        tensors, state = toy_files.load_checkpoint(self.run_dir)
        self.model.weights.update(tensors["model"])
        if not self.arguments.reset_optimizer:
            self.optimizer.averages.update(tensors["optimizer_means"])
            self.optimizer.squares.update(tensors["optimizer_squares"])
            self.optimizer.step_count = state["optimizer_steps"]
        self.epoch, self.step = toy_files.read_loader(state)["epoch"], state["step"] + 1
        # Like the real trainer, it has read one step ahead, except at an epoch's end. There it repeats a step.
        position = toy_files.read_loader(state)["num_batches_pulled"] - 1
        starts_epoch = self.arguments.reset_dataloader or position >= self.steps_per_epoch
        self.position = 0 if starts_epoch else position
        print(f"Resuming training from checkpoint. Resuming at epoch: {self.epoch}, step: {self.step}")

    # -- the steps -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train all steps."""
        epochs, max_steps = self.config["epochs"], self.config.get("max_steps")
        if self._evaluates and self.step == 1 and self.config.get("eval_before_first_step", True):
            self.evaluate(0)
        self.failures.enter("training")
        while True:
            last = f"epoch{self.epoch}"
            loss, norm = self.make_step()
            finished = self.position == self.steps_per_epoch
            epoch_loss = self.end_epoch() if finished else None
            checkpointed, saved = self.save_after_epoch(epochs) if finished else (False, False)
            self.write_events(loss, norm, epoch_loss)
            if finished and self.epoch > epochs:
                break
            checkpointed, saved = self.save_after_step()
            if max_steps is not None and self.step >= max_steps:
                last = f"step{self.step}"
                break
            self.step += 1
        if not checkpointed:
            self.save_checkpoint()
        if not saved:
            self.save_model(last)
        print("TRAINING COMPLETE!")
        self.end()

    def end(self) -> None:
        """Wait as long as a real trainer and its launcher take to end, if requested: 20 to 35 s."""
        time.sleep(self.toy.get("end_seconds", 0))

    def make_step(self) -> tuple[float, float]:
        """Train one step; return its loss and the norm of its gradient."""
        began = time.monotonic()
        self.failures.before_step(self.step)
        at = self.position % self.steps_per_epoch * self.batch_size
        chosen = self.order[at : at + self.batch_size]
        clean = self.pictures[chosen]
        loss, gradients = self.model.gradients(clean, *pick_noise(clean.shape, (self.seed, 3, self.step)))
        norm = self.optimizer.step(gradients)
        loss = self.failures.loss_at(self.step, loss)
        self.position, self.is_epoch_new = self.position + 1, False
        self.losses.append(loss)
        for number in range(self.log_lines):
            print(f"toy: step {self.step}, line {number + 1} of {self.log_lines}")
        time.sleep(max(0.0, self.step_seconds - (time.monotonic() - began)))
        seconds = max(time.monotonic() - began, 1e-6)
        log(f"step={self.step}, skipped=0, lr=[{self.optimizer.learning_rate}], mom=[0.9]")
        speed = self.batch_size / seconds
        print(f"steps: {self.step} loss: {loss:0.4f} iter time (s): {seconds:0.3f} samples/sec: {speed:0.3f}")
        return loss, norm

    def end_epoch(self) -> float:
        """Start the next epoch; return the mean loss of this one since its start or a resume."""
        loss = sum(self.losses) / len(self.losses)
        self.losses.clear()
        self.epoch, self.position, self.is_epoch_new = self.epoch + 1, 0, True
        self.order = self._order_of(self.epoch)
        return loss

    def write_events(self, loss: float, norm: float, epoch_loss: float | None) -> None:
        """Write the metrics of a step to the event file, and evaluate if due."""
        self.events.add_scalars(self.step, {"train/loss": loss, "train/grad_norm": norm})
        if epoch_loss is not None:
            self.events.add_scalars(self.epoch - 1, {"train/epoch_loss": epoch_loss})
        steps, epochs = self.config.get("eval_every_n_steps"), self.config.get("eval_every_n_epochs")
        if (steps and self.step % steps == 0) or (epoch_loss is not None and epochs and (self.epoch - 1) % epochs == 0):
            self.evaluate(self.step)

    def evaluate(self, step: int) -> None:
        """Evaluate the loss on held-out pictures at nine times between clean and noise."""
        print("Running eval")
        began = time.monotonic()
        noise, _ = pick_noise(self.held_out.shape, (self.seed, 4))
        losses = {}
        for quantile in QUANTILES:
            when = np.full((len(self.held_out), 1), quantile, dtype=np.float32)
            losses[f"held_out/loss_quantile_{quantile:.2f}"] = self.model.loss(self.held_out, noise, when)
        losses["held_out/loss"] = sum(losses.values()) / len(losses)
        self.events.add_scalars(step, losses | {"eval/eval_time_sec": time.monotonic() - began})

    # -- saving ----------------------------------------------------------------------------------------------------

    def save_after_epoch(self, epochs: int) -> tuple[bool, bool]:
        """Save what is due at the end of an epoch; return whether a checkpoint and a model were saved."""
        ended = self.epoch - 1
        checkpointed = _is_due(self.config.get("checkpoint_every_n_epochs"), ended)
        if checkpointed:
            self.save_checkpoint()
        saved = _is_due(self.config.get("save_every_n_epochs"), ended)
        if saved:
            self.save_model(f"epoch{ended}")
        toy_files.save_samples(self.run_dir, f"epoch{ended}", self.model.sample(16, self.seed), self.size)
        if self.epoch <= epochs:
            print(f"Started new epoch: {self.epoch}")
        return checkpointed, saved

    def save_after_step(self) -> tuple[bool, bool]:
        """Save what is due after a step, and obey signal files; return whether a checkpoint and a model were saved."""
        requested = self._take_signal("save")
        must_quit = not requested and self._take_signal("save_quit")
        saved = _is_due(self.config.get("save_every_n_steps"), self.step)
        if saved:
            self.save_model(f"step{self.step}")
        due = _is_due(self.toy.get("checkpoint_every_n_steps"), self.step) or self._is_time()
        if requested or must_quit or due:
            self.save_checkpoint()
        if must_quit:
            self.ranks.print_line("Manually quitting")
            self.end()
            sys.exit()
        return requested or due, saved

    def save_checkpoint(self) -> None:
        """Write everything that is needed to resume."""
        log(f"[Torch] Checkpoint global_step{self.step} is about to be saved!")
        tensors = {
            "model": self.model.weights,
            "optimizer_means": self.optimizer.averages,
            "optimizer_squares": self.optimizer.squares,
        }
        pulled = 0 if self.is_epoch_new else self.position + 1
        state = {"step": self.step, "custom_loader": {"epoch": self.epoch, "num_batches_pulled": pulled}}
        toy_files.save_checkpoint(
            self.run_dir, self.step, tensors, state | {"optimizer_steps": self.optimizer.step_count}
        )
        self.checkpointed_at = time.monotonic()

    def save_model(self, name: str) -> None:
        """Write the current model."""
        print(f"Saving model to directory {name}")
        toy_files.save_model(self.run_dir, name, self.model.weights, self.arguments.config)

    # -- details ---------------------------------------------------------------------------------------------------

    @property
    def _evaluates(self) -> bool:
        return bool(self.config.get("eval_every_n_epochs") or self.config.get("eval_every_n_steps"))

    def _order_of(self, epoch: int) -> Any:
        shuffled = np.random.default_rng([self.seed, 5, epoch]).permutation(len(self.pictures))
        return np.resize(shuffled, self.steps_per_epoch * self.batch_size)

    def _take_signal(self, name: str) -> bool:
        path = self.run_dir / name
        if not path.is_file():
            return False
        path.unlink()
        return True

    def _is_time(self) -> bool:
        minutes = self.config.get("checkpoint_every_n_minutes")
        return minutes is not None and time.monotonic() - self.checkpointed_at > 60 * minutes


def _is_due(every: int | None, count: int) -> bool:
    return every is not None and count % every == 0


def _show_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    for line in "".join(traceback.format_exception(kind, error, trace)).splitlines():
        print(f"[rank0]: {line}", file=sys.stderr)


def main() -> None:
    """Train according to the configuration."""
    sys.excepthook = _show_exception
    arguments = parse_arguments()
    config = tomllib.loads(arguments.config.read_text(encoding="utf-8"))
    toy = config.get("toy", {})
    if toy.get("ignore_sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    training = ToyTraining(arguments, config)
    spawn_children(toy.get("spawn_children", 0), toy.get("nasty_children", False), toy.get("children_hold_on", False))
    training.load()
    training.cache()
    if arguments.cache_only:
        return
    training.open()
    training.run()


if __name__ == "__main__":
    main()

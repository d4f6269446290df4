"""Saving in the stand-in: checkpoints (`latest` last), models, and signal files, which are checked once a step."""

# ruff: noqa: T201 - its output is its interface

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import traps
from torch import distributed as dist

#: Bytes of a tensor in a file.
_NUMBERS = 256

#: A LoRA of one layer, as safetensors.
_HEADER = b"""{"lora_unet_a.lora_down.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},
"lora_unet_a.lora_up.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [4, 8]}}"""
_LORA = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(8)


class Saver:
    """Saves into a run directory. `log` prints like DeepSpeed on rank 0; `state` is what a resume needs."""

    def __init__(
        self, run_dir: Path, config_path: str, config: dict[str, Any], log: Callable[[str], None], is_first: bool
    ) -> None:
        self.run_dir = run_dir
        self.config_path = config_path
        self.config = config
        self.log = log
        self.is_first = is_first
        self.checkpointed_at: float | None = None

    def process_epoch(self, epoch: int, next_epoch: int, state: dict[str, Any]) -> tuple[int | None, bool, bool]:
        """Save what is due at the end of an epoch; return the next epoch (None after the last), and what was saved."""
        if next_epoch == epoch:
            return epoch, False, False
        checkpointed = _is_due(self.config.get("checkpoint_every_n_epochs"), epoch)
        if checkpointed:
            self.checkpointed_at = time.time()
            self.save_checkpoint(state)
        saved = _is_due(self.config.get("save_every_n_epochs"), epoch)
        if saved:
            self.save_model(f"epoch{epoch}")
        if next_epoch > self.config["epochs"]:
            return None, checkpointed, saved
        if self.is_first:
            print(f"Started new epoch: {next_epoch}")
        return next_epoch, checkpointed, saved

    def process_step(self, state: dict[str, Any]) -> tuple[bool, bool]:
        """Save what is due after a step, including requests by signal files; return what was saved."""
        asked = self._take("save")
        must_quit = not asked and self._take("save_quit")
        saved = _is_due(self.config.get("save_every_n_steps"), state["step"])
        if saved:
            self.save_model(f"step{state['step']}")
        checkpointed = self._is_time() or asked or must_quit
        if checkpointed:
            self.save_checkpoint(state)
        if must_quit:
            print("Manually quitting")
            sys.exit()
        return checkpointed, saved

    def _take(self, name: str) -> bool:
        # Each rank checks the file before the barrier, so ranks may see different states.
        path = self.run_dir / name
        if not path.is_file() or (name == "save_quit" and traps.is_set("ranks_disagree")):
            return False
        dist.barrier()
        if self.is_first:
            path.unlink()
        return True

    def _is_time(self) -> bool:
        if "checkpoint_every_n_minutes" not in self.config:
            return False
        is_due = [False]
        if self.is_first:
            now = time.time()
            since = now if self.checkpointed_at is None else self.checkpointed_at
            is_due = [(now - since) / 60 > self.config["checkpoint_every_n_minutes"]]
            self.checkpointed_at = now if is_due[0] else since
        dist.broadcast_object_list(is_due, src=0)
        return is_due[0]

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write a checkpoint on every rank; write `latest` when it is complete."""
        tag = f"global_step{state['step']}"
        dist.barrier()
        self.log(f"[Torch] Checkpoint {tag} is about to be saved!")
        directory = self.run_dir / tag
        directory.mkdir(parents=True, exist_ok=True)
        dist.barrier()
        if self.is_first:
            path = directory / "mp_rank_00_model_states.pt"
            self.log(f"Saving model checkpoint: {path}")
            traps.fill_disk(path)
            _write({**state, "weights": torch.zeros(_NUMBERS)}, path)
            _write({"weights": torch.zeros(_NUMBERS)}, directory / "layer_00-model_00-model_states.pt")
            (self.run_dir / "latest").write_text(tag)
        dist.barrier()

    def save_model(self, name: str) -> None:
        """Save the adapter; its `tmp` must not exist."""
        if self.is_first:
            print(f"Saving model to directory {name}")
            (self.run_dir / name / "tmp").mkdir(parents=True)
        dist.barrier()
        if self.is_first:
            directory = self.run_dir / name
            _write({"weights": torch.zeros(_NUMBERS)}, directory / "tmp" / "state_dict_0.bin")
        dist.barrier()
        if self.is_first:
            (directory / "lora.safetensors").write_bytes(_LORA)  # the name of sdxl, as which it trains
            shutil.copy(self.config_path, directory)
            shutil.rmtree(directory / "tmp")


def load_checkpoint(run_dir: Path, log: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the state that `latest` names, or None without it, like DeepSpeed."""
    if not (run_dir / "latest").is_file():
        log(f"Unable to find latest file at {run_dir / 'latest'}, if trying to load latest please ensure this")
        return None
    path = run_dir / (run_dir / "latest").read_text().strip() / "mp_rank_00_model_states.pt"
    log(f"[Torch] Begin Load checkpoint from {path}...")
    state: dict[str, Any] = torch.load(path, weights_only=False)
    log(f"[Torch] End Load checkpoint from {path}...")
    return state


def _write(content: dict[str, Any], path: Path) -> None:
    torch.save(content, os.fspath(path), _use_new_zipfile_serialization=True)


def _is_due(every: int | None, count: int) -> bool:
    return every is not None and count % every == 0

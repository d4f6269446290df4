"""The files that the toy trainer reads and writes: pictures, run directory, checkpoints, saved models, event files."""

import json
import os
import pickle
import shutil
import socket
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import load_file, save_file

# This is a separate program, which imports nothing of the service, so it loads the module by its path.
sys.path.append(str(Path(__file__).resolve().parents[1] / "protocol"))
from event_records import Event, Summary, frame  # type: ignore[import-not-found]

Array = npt.NDArray[np.float32]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
SAMPLE_ZOOM = 8


def read_pictures(dataset: Path, size: int, report: Callable[[str], None] = print) -> Array:
    """Return the pictures of a dataset file's directories, and the first picture of each video, one per row.

    They are grey, small, and from -1 to 1. Unreadable files are skipped and reported.
    """
    rows = [row for directory in list_directories(dataset) for row in read_directory(directory, size, report)]
    if not rows:
        raise RuntimeError(f"Processed dataset was empty: {dataset} names no pictures.")
    return np.stack(rows)


def list_directories(dataset: Path) -> list[Path]:
    """Return the directories in a dataset file."""
    return [Path(each["path"]) for each in tomllib.loads(dataset.read_text(encoding="utf-8"))["directory"]]


def list_media(directory: Path) -> list[Path]:
    """Return the pictures and videos of a directory, sorted by name."""
    suffixes = (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES)
    return sorted(path for path in directory.iterdir() if path.suffix.lower() in suffixes)


def read_directory(directory: Path, size: int, report: Callable[[str], None] = print) -> list[Array]:
    """Return the pictures of a directory like `read_pictures`."""
    rows = []
    for path in list_media(directory):
        try:
            small = _read_picture(path).convert("L").resize((size, size))
        except Exception as error:  # the decoders raise nearly anything
            report(f"skipping {path.name}: {error}")
        else:
            rows.append(np.asarray(small, dtype=np.float32).ravel() / 127.5 - 1)
    return rows


def _read_picture(path: Path) -> Image.Image:
    if path.suffix.lower() in PICTURE_SUFFIXES:
        with Image.open(path) as picture:
            picture.load()
            return picture
    with av.open(str(path)) as video:
        for frame in video.decode(video=0):
            image: Image.Image = frame.to_image()
            return image
    raise RuntimeError(f"{path} has no picture that can be decoded.")


def make_run_dir(output_dir: Path, files: list[Path]) -> Path:
    """Create a directory named by the time, with copies of these files, and return it."""
    run_dir = output_dir / datetime.now(UTC).strftime("%Y%m%d_%H-%M-%S")
    run_dir.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, run_dir)
    return run_dir


def save_checkpoint(run_dir: Path, step: int, tensors: dict[str, dict[str, Array]], state: dict[str, Any]) -> None:
    """Write a checkpoint; write `latest` when all its files exist."""
    directory = run_dir / f"global_step{step}"
    directory.mkdir(exist_ok=True)
    for name, part in tensors.items():
        save_file(part, directory / f"{name}.safetensors")
    (directory / "state.json").write_text(json.dumps(state), encoding="utf-8")
    with zipfile.ZipFile(directory / "mp_rank_00_model_states.pt", "w") as archive:
        archive.writestr("state/data.pkl", pickle.dumps(state, protocol=2))
    (run_dir / "latest").write_text(directory.name, encoding="utf-8")


def load_checkpoint(run_dir: Path) -> tuple[dict[str, dict[str, Array]], dict[str, Any]]:
    """Return the checkpoint named in `latest`."""
    latest = run_dir / "latest"
    assert latest.exists(), f"{run_dir} has no file `latest`: there is nothing to resume from"  # noqa: S101
    directory = run_dir / latest.read_text(encoding="utf-8").strip()
    tensors = {path.stem: load_file(path) for path in directory.glob("*.safetensors")}
    return tensors, json.loads((directory / "state.json").read_text(encoding="utf-8"))


def read_loader(state: dict[str, Any]) -> dict[str, int]:
    """Return the position in the dataset: the epoch, and the number of its steps that were read."""
    if "custom_loader" in state:
        return dict(state["custom_loader"])
    # Checkpoints of version 1.0
    return {"epoch": state["epoch"], "num_batches_pulled": state["position"] + 1}


def save_model(run_dir: Path, name: str, weights: dict[str, Array], config: Path) -> None:
    """Write the model in the usual format, first into a directory `tmp`, which must not exist yet."""
    directory = run_dir / name
    temporary = directory / "tmp"
    temporary.mkdir(parents=True)
    save_file(weights, temporary / "adapter_model.safetensors", metadata={"format": "np"})
    (temporary / "adapter_model.safetensors").replace(directory / "adapter_model.safetensors")
    description = {"peft_type": "TOY", "base_model_name_or_path": "toy", "target_modules": sorted(weights)}
    (directory / "adapter_config.json").write_text(json.dumps(description, indent=2), encoding="utf-8")
    shutil.copy(config, directory)
    shutil.rmtree(temporary)


def save_samples(run_dir: Path, name: str, pictures: Array, size: int) -> None:
    """Write generated pictures as one PNG with 4 by 4 pictures."""
    grid = pictures.reshape(4, 4, size, size).transpose(0, 2, 1, 3).reshape(4 * size, 4 * size)
    image = Image.fromarray(((grid + 1) * 127.5).astype(np.uint8))
    (run_dir / "samples").mkdir(exist_ok=True)
    edge = 4 * size * SAMPLE_ZOOM
    image.resize((edge, edge), Image.Resampling.NEAREST).save(run_dir / "samples" / f"{name}.png")


class EventWriter:
    """Writes scalars to its own TensorBoard event file."""

    def __init__(self, run_dir: Path) -> None:
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"
        # The file stays open as long as the process lives.
        self._file = (run_dir / name).open("wb")
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add_scalars(self, step: int, values: dict[str, float]) -> None:
        """Write values by tag for a step."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        self._file.write(frame(event.SerializeToString()))
        self._file.flush()

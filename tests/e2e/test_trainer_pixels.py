"""The pixels that the service shows as trained equal those of the trainer's own code, to the last bit.

It needs the trainer's checkout with ComfyUI in it, and a Python with torch, torchvision, av, imageio and the same
Pillow as here. Without TRAINER_ROOT and TRAINER_PYTHON everything here is skipped. TRAINER_ITEMS is the number of
files (1000):

    make test-pixels TRAINER_ROOT=… TRAINER_PYTHON=…
"""

import io
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api.domain.datasets.media import Recipe
from api.files.media.picture import as_trained
from api.files.media.probe import probe
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.trainer import DatasetFile, DatasetSetup
from tests.e2e.media_zoo import make_image, make_video

ROOT = os.environ.get("TRAINER_ROOT")
PYTHON = os.environ.get("TRAINER_PYTHON")
COMFY = os.environ.get("TRAINER_COMFYUI", f"{ROOT}/submodules/ComfyUI")
ITEMS = int(os.environ.get("TRAINER_ITEMS", "1000"))

pytestmark = [
    pytest.mark.skipif(not (ROOT and PYTHON), reason="TRAINER_ROOT and TRAINER_PYTHON are not set"),
    pytest.mark.timeout(3600),
]

_PROGRAM = Path(__file__).parent / "trainer_pixels.py"
_RATIOS = {"enable_ar_bucket": True, "min_ar": 0.5, "max_ar": 2.0, "num_ar_buckets": 7}
_SETTINGS: tuple[dict[str, Any], ...] = (
    {"resolutions": [256]},
    {"resolutions": [256], **_RATIOS, "frame_buckets": [1, 5, 17, 33]},
    {
        "resolutions": [[320, 192]],
        "enable_ar_bucket": True,
        "ar_buckets": [[320, 192], 1.0, 0.6],
        "frame_buckets": [1, 9],
    },
    {"size_buckets": [[200, 264, 1], [264, 264, 1], [264, 200, 1]]},
    {"size_buckets": [[264, 264, 1], [264, 200, 1], [200, 264, 1]]},
    {"size_buckets": [[200, 264, 17], [264, 264, 17], [264, 200, 17]]},
)
_MODELS = ("flux", "wan", "hunyuan_image", "ltx-video", "ltx2", "minimax_h3", "cosmos_predict2", "hunyuan-video")


@pytest.fixture(scope="module")
def trainer() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(PYTHON), str(_PROGRAM), str(ROOT), COMFY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.stdin.close()  # type: ignore[union-attr]
    process.wait()


def _request(trainer: subprocess.Popen[str], **request: Any) -> dict[str, Any] | None:
    trainer.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
    trainer.stdin.flush()  # type: ignore[union-attr]
    return json.loads(trainer.stdout.readline())  # type: ignore[union-attr]


def test_pixels_of_every_kind_of_file_equal_the_trainers(trainer: subprocess.Popen[str], tmp_path: Path):
    differences, shown = [], 0
    for seed in range(ITEMS):
        choice = random.Random(seed)
        path = (make_image if choice.random() < 0.6 else make_video)(tmp_path, seed)
        model, settings = choice.choice(_MODELS), choice.choice(_SETTINGS)
        mode = choice.choice(("single_beginning", "single_middle"))
        facts = MODELS[model]
        theirs = _request(
            trainer,
            path=str(path),
            target=str(tmp_path / "pixels"),
            settings=settings,
            mode=mode,
            framerate=facts.framerate,
            round_to=facts.round_to,
            pixels_to=facts.pixels_to,
            frame_step=max(facts.frame_step, 4),
            is_minimax=model == "minimax_h3",
        )
        ours = DiffusionPipe(None, None).recipes(
            DatasetSetup(model, settings, {"video_clip_mode": mode}), DatasetFile(path.name, probe(path))
        )
        shown += theirs is not None and "error" not in theirs
        difference = _compare(path, theirs, ours, tmp_path / "pixels")
        if difference is not None:
            differences.append((path.name, model, settings, difference))
        path.unlink()
    assert differences == []
    assert shown > ITEMS // 3


def _compare(path: Path, theirs: dict[str, Any] | None, ours: tuple[Recipe, ...], target: Path) -> Any:
    if theirs is None or "error" in theirs:
        # Files that the trainer skips or fails on have no recipe.
        return None if not ours else ("only ours", theirs)
    if not ours:
        return ("only theirs", theirs)
    recipe = ours[0]
    frames, height, width, _ = theirs["shape"]
    if (len(recipe.frames), recipe.height, recipe.width) != (frames, height, width):
        return ("shape", theirs["shape"], (len(recipe.frames), recipe.height, recipe.width))
    made = np.asarray(Image.open(io.BytesIO(as_trained(path, recipe, range(frames)))))
    made = made.reshape(height, frames, width, 3).transpose(1, 0, 2, 3)
    pixels = np.frombuffer(target.read_bytes(), dtype=np.uint8).reshape(theirs["shape"])
    if np.array_equal(made, pixels):
        return None
    apart = np.abs(made.astype(int) - pixels.astype(int))
    return ("pixels", int(apart.max()), float((apart > 0).mean()))

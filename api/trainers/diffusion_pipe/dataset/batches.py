"""The number of examples per step."""

import math
from dataclasses import dataclass, replace
from typing import Any

from api.domain.finding import pointer
from api.errors import FindingText
from api.trainers.diffusion_pipe.config.document import TrainerDocument, as_integer, number, positive
from api.trainers.diffusion_pipe.config.findings import Findings

#: The largest accepted micro batch; no GPU can process more, and the trainer loops over it.
_MAX = 1_000_000

#: Most pairs in one list, as each size bucket is compared with all of them.
MAX_PAIRS = 64

Sizes = tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Batches:
    """The micro batch sizes of a GPU by resolution (a single entry applies to all), and their multipliers."""

    videos: Sizes = ((0, 1),)
    images: Sizes = ((0, 1),)
    accumulation: int = 1
    replicas: int = 1  #: data-parallel copies of the model: GPUs divided by pipeline stages
    gpus: int = 1

    @property
    def global_size(self) -> int:
        """The number of examples per step as the trainer prints it, based on the first micro batch size."""
        return self.videos[0][1] * self.accumulation * self.replicas

    def size_for(self, width: int, height: int, frames: int) -> int:
        """Return the number of examples per step for a size bucket."""
        return self.micro_for(width, height, frames) * self.accumulation * self.replicas

    def micro_for(self, width: int, height: int, frames: int) -> int:
        """Return the micro batch size for a size bucket: that of the nearest resolution, the first if equal."""
        sizes = self.images if frames == 1 else self.videos
        side = math.sqrt(width * height)
        return min(sizes, key=lambda entry: abs(entry[0] - side))[1]


def read_batches(config: TrainerDocument, gpu_count: int, findings: Findings) -> tuple[Batches, Batches]:
    """Return the batches of training and of evaluation. Invalid values count as 1 and add a finding."""
    values = config.values
    stages = positive(values.get("pipeline_stages", 1), 1)
    videos = _read(config, "micro_batch_size_per_gpu", ((0, 1),), findings)
    training = Batches(
        videos=videos,
        images=_read(config, "image_micro_batch_size_per_gpu", videos, findings),
        accumulation=positive(values.get("gradient_accumulation_steps", 1), 1),
        replicas=max(gpu_count // stages, 1),
        gpus=gpu_count,
    )
    eval_videos = _read_eval(config, "eval_micro_batch_size_per_gpu", videos, findings)
    return training, replace(
        training,
        videos=eval_videos,
        images=_read_eval(config, "eval_image_micro_batch_size_per_gpu", eval_videos, findings),
        accumulation=positive(values.get("eval_gradient_accumulation_steps", 1), 1),
    )


def _read_eval(config: TrainerDocument, name: str, default: Sizes, findings: Findings) -> Sizes:
    # Without evaluations, the trainer converts lists, but uses no size.
    is_read = config.values.get("eval_datasets") or isinstance(config.values.get(name), list)
    return _read(config, name, default, findings if is_read else Findings())


def _read(config: TrainerDocument, name: str, default: Sizes, findings: Findings) -> Sizes:
    if name not in config.values:
        return default
    value = config.values[name]
    if isinstance(value, list) and len(value) > MAX_PAIRS:
        findings.error(
            config.at(name),
            FindingText("too_many_pairs", "The list has more than {max_pairs} pairs.", "Remove some."),
            max_pairs=MAX_PAIRS,
        )
        return default
    if isinstance(value, list) and value:
        pairs = [_read_pair(pair, config.at(name) + pointer(i), findings) for i, pair in enumerate(value)]
        # As in a dict: of two sizes for one resolution the last applies, at the position of the first.
        return tuple(dict(pair for pair in pairs if pair is not None).items()) or ((0, 1),)
    if _is_size(value):
        return ((0, value),)
    findings.error(
        config.at(name),
        FindingText(
            "batch_size_invalid",
            "This is not a batch size.",
            "Set a whole number of at least 1, or a list of [resolution, size] pairs: [[512, 4], [1024, 1]].",
        ),
    )
    return default


def _read_pair(pair: Any, at: str, findings: Findings) -> tuple[float, int] | None:
    side = number(pair[0]) if isinstance(pair, list) and len(pair) >= 2 else None
    if side is not None and 0 < side <= _MAX and _is_size(pair[1]):
        if len(pair) > 2:
            findings.warn(
                at,
                FindingText(
                    "pair_too_long", "The trainer reads only the first two numbers.", "Write [{resolution}, {size}]."
                ),
                resolution=f"{pair[0]:g}",
                size=pair[1],
            )
        return side, pair[1]
    findings.error(
        at,
        FindingText(
            "pair_invalid",
            "This is not a pair of a resolution and a batch size.",
            "Set a whole number of at least 1, or a list of [resolution, size] pairs: [[512, 4], [1024, 1]].",
        ),
    )
    return None


def _is_size(value: Any) -> bool:
    size = as_integer(value)
    return size is not None and 1 <= size <= _MAX

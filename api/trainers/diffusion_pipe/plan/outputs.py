"""The steps at which a training evaluates and saves, and the disk space of what it saves."""

import math
from collections.abc import Iterable
from fractions import Fraction
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any

from api.domain.tasks.training import PlannedOutputs
from api.trainers.diffusion_pipe.checks.adapter_check import find_block_modules
from api.trainers.diffusion_pipe.config.document import MAX_COUNT, TrainerDocument, as_integer, number
from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.memory_facts import main_header

#: Most steps that are listed.
_MAX_STEPS = 100

#: Bytes of an element; other data types are not known.
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1}

#: Bytes that optimizers store for each parameter, as multiples of its size; others count as Adam with compensation.
_STATES = {"sgd": 1.0, "automagic": 1.0, "adamw": 2.0, "offload": 2.0, "adamw8bit": 1.0, "adamw8bitkahan": 2.0}
_ADAM_WITH_COMPENSATION = 3.0


class OutputPlanner:
    """Plans the outputs of one training. `total` is its number of steps."""

    def __init__(
        self, config: TrainerDocument, model_type: str, batches: Batches, steps_per_epoch: int | None, total: int | None
    ) -> None:
        self._config = config
        self._model_type = model_type
        self._batch = batches.global_size
        self._epoch = steps_per_epoch or 0
        self._total = total or 0
        epochs = number(config.values.get("epochs"))
        #: Whether the last step ends the last epoch, after which the trainer runs no checks of single steps.
        self._ends_with_epoch = epochs is not None and self._total == max(1, int(epochs)) * self._epoch

    def evaluations(self) -> PlannedOutputs | None:
        """Return the evaluations; None if there are none or the steps are unknown."""
        if not self._config.values.get("eval_datasets") or not self._total or not self._epoch:
            return None
        periods = (self._steps("eval_every_n"), self._epochs("eval_every_n_epochs"))
        steps = [_multiples(period, self._total) for period in periods]
        before = [0] if self._config.values.get("eval_before_first_step", True) else []
        count = sum(map(_length, steps)) - _length(_multiples(_common(*periods), self._total)) + len(before)
        return PlannedOutputs(count, (*before, *_first(_distinct(merge(*steps)), _MAX_STEPS - len(before))))

    def saved_models(self, root: Path | None) -> PlannedOutputs | None:
        """Return the models that are saved; None if the steps are unknown."""
        if not self._total or not self._epoch:
            return None
        epochs = _multiples(self._epochs("save_every_n_epochs"), self._total)
        # The last step ends the training, and saves unless that happened already.
        single = _multiples(self._steps("save_every_n"), self._total - 1)
        is_saved = self._ends_with_epoch and self._total in epochs
        last = [] if is_saved else [self._total]
        steps = merge(epochs, single, last)
        stored = self._config.values.get("save_dtype")
        size = _product(self._trained_parameters(root), self._trained_bytes() if stored is None else _size_of(stored))
        return _outputs(_length(epochs) + _length(single) + len(last), steps, size)

    def checkpoints(self, root: Path | None, kept: int | None) -> PlannedOutputs | None:
        """Return the checkpoints, without those by time; `kept` are not deleted. None if the steps are unknown."""
        if not self._total or not self._epoch:
            return None
        epochs = _multiples(self._epochs("checkpoint_every_n_epochs"), self._total)
        last = [] if self._total in epochs else [self._total]
        count = _length(epochs) + len(last)
        by_time = bool(self._config.values.get("checkpoint_every_n_minutes"))
        size = self._checkpoint_bytes(root)
        found = _outputs(count, merge(epochs, last), size)
        stored = kept if kept is not None and (by_time or kept < count) else None if by_time else count
        return PlannedOutputs(
            None if by_time else found.count,
            found.steps,
            size,
            None if size is None or stored is None else size * stored,
        )

    def _steps(self, name: str) -> int | None:
        """Return the period of `…_steps` or, if it is set, of `…_examples`, in steps."""
        examples = number(self._config.values.get(f"{name}_examples"))
        if examples:
            return max(0, int(examples // self._batch)) or None
        return _period(self._config.values.get(f"{name}_steps"))

    def _epochs(self, name: str) -> int | None:
        period = _period(self._config.values.get(name))
        return None if period is None else period * self._epoch

    def _trained_parameters(self, root: Path | None) -> int | None:
        adapter, header = self._config.table("adapter"), main_header(self._config.table("model"), root)
        if "adapter" not in self._config.values:
            return None if header is None else header.parameters
        rank, modules = as_integer(adapter.get("rank")), find_block_modules(self._config, root)
        if adapter.get("type") != "lora" or rank is None or not 0 < rank <= MAX_COUNT or not modules:
            return None
        return rank * sum(_sides(name, shape, self._model_type) for name, shape in modules.items())

    def _trained_bytes(self) -> int | None:
        model, adapter = self._config.table("model"), self._config.table("adapter")
        return _size_of(adapter.get("dtype", model.get("dtype")) if adapter else model.get("dtype"))

    def _checkpoint_bytes(self, root: Path | None) -> int | None:
        size = _product(self._trained_parameters(root), self._trained_bytes())
        name = str(self._config.table("optimizer").get("type")).lower()
        return None if size is None else int(size * (1 + _STATES.get(name, _ADAM_WITH_COMPENSATION)))


def _size_of(dtype: Any) -> int | None:
    return _BYTES.get(dtype) if isinstance(dtype, str) else None


def _outputs(count: int, steps: Iterable[int], size: int | None) -> PlannedOutputs:
    return PlannedOutputs(count, _first(steps, _MAX_STEPS), size, None if size is None else size * count)


def _period(value: Any) -> int | None:
    """Return the number of whole steps after which `step % value` is 0, or None if it is off or invalid."""
    found = number(value)
    if found is None or found <= 0:
        return None
    return Fraction(found).limit_denominator(1000).numerator or None


def _multiples(period: int | None, last: int) -> range:
    return range(period, last + 1, period) if period else range(0)


def _length(steps: range) -> int:
    """Return the length of a range that may be too long for `len`."""
    return max(0, -(-(steps.stop - steps.start) // steps.step))


def _common(one: int | None, other: int | None) -> int | None:
    return math.lcm(one, other) if one and other else None


def _distinct(steps: Iterable[int]) -> Iterable[int]:
    previous = None
    for step in steps:
        if step != previous:
            yield step
        previous = step


def _first(steps: Iterable[int], count: int) -> tuple[int, ...]:
    return tuple(islice(steps, count))


def _product(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one * other


def _sides(name: str, shape: list[int], model_type: str) -> int:
    """Return the summed sides of a module's matrices. The trainer loads Flux with its fused matrices split."""
    outputs, inputs = shape
    if model_type == "flux" and name.endswith(".qkv"):
        return 3 * inputs + outputs
    if model_type == "flux" and name.endswith(".linear1"):
        return 4 * inputs + outputs
    return inputs + outputs

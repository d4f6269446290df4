"""The plan of a training: totals, caches, memory, files, and the command as it would be."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from api.models.model_memory import STATED_WITH_SWAP, TRAINING_MB, ModelType
from api.models.training import TrainingPlan, TrainingRequest
from api.trainers.diffusion_pipe.batches import Batches
from api.trainers.diffusion_pipe.dataset_check import KnownDataset
from api.trainers.diffusion_pipe.document import TrainerDocument, count, number, positive, whole
from api.trainers.diffusion_pipe.eval_check import Evaluations
from api.trainers.diffusion_pipe.model_check import Variant
from api.trainers.diffusion_pipe.model_types import MODELS

#: MB of each figure in the memory table that do not shrink with the number of pipeline stages (see model_memory).
_ACTIVATIONS_MB = 4_000


def build(
    request: TrainingRequest,
    config: TrainerDocument,
    variant: Variant,
    batches: Batches,
    outcome: KnownDataset,
    evaluations: Evaluations,
    files: Mapping[str, str],
    command: tuple[str, ...],
    trainer: str,
) -> TrainingPlan:
    """Puts together what the checks found."""
    epochs = count(config.values.get("epochs"))
    memory, basis = estimate_memory(config, variant.type)
    directories = [*outcome.directories, *evaluations.directories]
    return TrainingPlan(
        trainer=trainer,
        model_type=variant.type,
        gpu_count=request.gpu_count,
        epochs=epochs,
        steps_per_epoch=outcome.steps_per_epoch,
        total_steps=_total(epochs, outcome.steps_per_epoch, _ceiling(config.values.get("max_steps"))),
        global_batch_size=batches.global_size,
        dataset_items=outcome.items,
        estimated_memory_mb=memory,
        memory_basis=basis,
        files=dict(files),
        command=command,
        caches=caches(directories, variant),
        evaluates=bool(config.values.get("eval_datasets")),
        notes=tuple(dict.fromkeys([*outcome.notes, *evaluations.notes, *_remarks(config, variant)])),
    )


def caches(directories: Iterable[Path], variant: Variant) -> tuple[str, ...]:
    """The cache directories that may be written; through links, so that one cache has one name."""
    found = {str(directory.resolve() / "cache" / name) for directory in directories for name in variant.caches}
    return tuple(sorted(found))


def estimate_memory(config: TrainerDocument, model_type: str) -> tuple[int | None, str]:
    """MB that each GPU needs, and where the figure comes from."""
    if "adapter" not in config.values:
        return None, "Not known: the table of this service has figures for adapters, not for full fine-tuning."
    known, swapped = _with_swapped_blocks(config, model_type)
    stages = positive(config.values.get("pipeline_stages", 1), 1)
    if stages == 1:
        return (
            known,
            f"{known:,} MB, from the table for a LoRA of {model_type}{swapped}; batch and resolution not counted.",
        )
    shared = max(known - _ACTIVATIONS_MB, 0)
    estimate = min(known, _ACTIVATIONS_MB) + -(-shared // stages)
    return estimate, (
        f"4,000 MB + ({known:,} MB - 4,000 MB) / {stages} stages, from the table for a LoRA of {model_type}{swapped};"
        " batch and resolution not counted."
    )


def _with_swapped_blocks(config: TrainerDocument, model_type: str) -> tuple[int, str]:
    """MB by the table, less the share of the weights whose blocks are swapped; and that share in words."""
    known, swap = TRAINING_MB[ModelType(model_type)], MODELS[model_type].swap
    wanted = whole(config.values.get("blocks_to_swap")) or 0
    blocks = 0 if swap is None else sum(swap.blocks or ())
    if wanted <= 0 or not blocks or ModelType(model_type) in STATED_WITH_SWAP:
        return known, ""
    kept = max(blocks - wanted, 0)
    return _ACTIVATIONS_MB + (known - _ACTIVATIONS_MB) * kept // blocks, f", {kept} of {blocks} blocks on the GPU"


def _total(epochs: int | None, steps_per_epoch: int | None, max_steps: int | None) -> int | None:
    if epochs is None or steps_per_epoch is None:
        return None
    total = epochs * steps_per_epoch
    return total if max_steps is None else min(total, max_steps)


def _ceiling(value: Any) -> int | None:
    found = number(value)
    return None if found is None else max(1, math.ceil(found))


def _remarks(config: TrainerDocument, variant: Variant) -> list[str]:
    remarks = []
    if len(variant.caches) > 1:
        remarks.append("Which of the caches is used cannot be told from the model's files; all of them are reserved.")
    return remarks

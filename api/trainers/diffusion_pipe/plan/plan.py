"""Build the plan of a training (totals, caches, memory, files, a preview of the command), and the command itself."""

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.measured_memory import PlannedMemory
from api.domain.tasks.training import TrainingPlan, TrainingRequest
from api.trainers.diffusion_pipe.checks.dataset_check import DatasetSummary
from api.trainers.diffusion_pipe.checks.eval_check import Evaluations
from api.trainers.diffusion_pipe.checks.model_check import Variant
from api.trainers.diffusion_pipe.config.config_files import CONFIG
from api.trainers.diffusion_pipe.config.document import MAX_COUNT, TrainerDocument, as_integer, count, number, positive
from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.memory_facts import count_blocks, read_memory_facts, weights_mb
from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS, training_mb
from api.trainers.diffusion_pipe.plan.outputs import OutputPlanner
from api.trainers.environment import split_secrets
from api.trainers.trainer import Command, Launch

#: MB of each figure in the memory table that do not shrink with more pipeline stages (see the models' descriptions).
_ACTIVATIONS_MB = 4_000


def build(
    request: TrainingRequest,
    config: TrainerDocument,
    variant: Variant,
    batches: Batches,
    summary: DatasetSummary,
    evaluations: Evaluations,
    files: Mapping[str, str],
    command: tuple[str, ...],
    trainer: str,
    root: Path | None,
) -> TrainingPlan:
    """Combine the results of the checks into a plan."""
    epochs, max_steps = _bounded(count(config.values.get("epochs"))), _ceiling(config.values.get("max_steps"))
    notes = list({note.text: note for note in (*summary.notes, *evaluations.notes, *_remarks(variant))}.values())
    memory, basis = estimate_memory(config, variant.type, root)
    is_bounded_by_steps = config.values.get("epochs", math.inf) == math.inf
    total = max_steps if is_bounded_by_steps else _total(epochs, summary.steps_per_epoch, max_steps)
    outputs = OutputPlanner(config, variant.type, batches, summary.steps_per_epoch, total)
    directories = [*summary.directories, *evaluations.directories]
    return TrainingPlan(
        trainer=trainer,
        model_type=variant.type,
        gpu_count=request.gpu_count,
        epochs=epochs,
        steps_per_epoch=summary.steps_per_epoch,
        total_steps=total,
        max_steps=max_steps,
        global_batch_size=batches.global_size,
        dataset_items=summary.items,
        estimated_memory_mb=memory,
        memory_basis=basis.text,
        memory_basis_code=basis.said,
        weights_mb=weights_on_gpu(config, variant.type, root),
        memory=PlannedMemory(
            read_memory_facts(config, variant.type, summary.buckets, batches, request.gpu_count, root)
        ),
        files=dict(files),
        command=command,
        caches=caches(directories, variant),
        evaluates=bool(config.values.get("eval_datasets")),
        evaluations=outputs.evaluations(),
        saved_models=outputs.saved_models(root),
        checkpoints=outputs.checkpoints(root, request.keep_last_checkpoints),
        notes=tuple(note.text for note in notes),
        note_codes=tuple(note.said for note in notes),
    )


def caches(directories: Iterable[Path], variant: Variant) -> tuple[str, ...]:
    """Return the cache directories that may be written, with links resolved so that each cache has one name."""
    found = {str(directory.resolve() / "cache" / name) for directory in directories for name in variant.caches}
    return tuple(sorted(found))


def estimate_memory(config: TrainerDocument, model_type: str, root: Path | None) -> tuple[int | None, Reason]:
    """Return the MB that each GPU needs, and the basis of the estimate."""
    if "adapter" not in config.values:
        return None, Reason.of(
            "Unknown: the service has figures for adapters, but not for full fine-tuning.", "memory_of_full_unknown"
        )
    known, source = _known(config, model_type, root)
    if known is None:
        return None, source
    known, swapped = _with_swapped_blocks(config, model_type, known, count_blocks(config, model_type, root))
    stages = positive(config.values.get("pipeline_stages", 1), 1)
    if stages == 1:
        return known, Reason.of(
            "{mb} MB, from {source}{swapped}; without batch size and resolution.",
            "memory_estimated",
            mb=f"{known:,}",
            source=source,
            swapped=swapped,
        )
    shared = max(known - _ACTIVATIONS_MB, 0)
    estimate = min(known, _ACTIVATIONS_MB) + -(-shared // stages)
    return estimate, Reason.of(
        "4,000 MB + ({mb} MB - 4,000 MB) / {stages} stages, from {source}{swapped}; without batch size and resolution.",
        "memory_estimated_for_stages",
        mb=f"{known:,}",
        stages=stages,
        source=source,
        swapped=swapped,
    )


def _known(config: TrainerDocument, model_type: str, root: Path | None) -> tuple[int | None, Reason]:
    """Return MB from the table, or from the weights if they need more; the table is for the smallest variant."""
    known = training_mb(model_type)
    own = None if DESCRIPTIONS[model_type].memory_includes_swap else weights_mb(config, model_type, root)
    if own is not None and (known is None or own + _ACTIVATIONS_MB > known):
        return own + _ACTIVATIONS_MB, Reason.of("its weights of {mb} MB", "memory_from_weights", mb=f"{own:,}")
    if known is None:
        return None, Reason.of(
            "Unknown: no figure exists for {model_type}, and its weights are not on this machine.",
            "memory_not_known",
            model_type=model_type,
        )
    return known, Reason.of("the table for a LoRA of {model_type}", "memory_from_table", model_type=model_type)


def weights_on_gpu(config: TrainerDocument, model_type: str, root: Path | None) -> int | None:
    """Return the MB of the trained weights on each GPU, or None if unknown."""
    whole_mb = weights_mb(config, model_type, root)
    if whole_mb is None:
        return None
    blocks, swapped = count_blocks(config, model_type, root), as_integer(config.values.get("blocks_to_swap")) or 0
    remaining = max(blocks - swapped, 0) / blocks if blocks and swapped > 0 else 1
    return int(whole_mb * remaining / positive(config.values.get("pipeline_stages", 1), 1))


def _with_swapped_blocks(config: TrainerDocument, model_type: str, known: int, blocks: int) -> tuple[int, ReasonOrText]:
    """Return MB without the share of swapped blocks, and a description of the share."""
    swapped = as_integer(config.values.get("blocks_to_swap")) or 0
    if swapped <= 0 or not blocks or DESCRIPTIONS[model_type].memory_includes_swap:
        return known, ""
    remaining = max(blocks - swapped, 0)
    share = Reason.of(
        ", {remaining} of {blocks} blocks on the GPU", "memory_with_swap", remaining=remaining, blocks=blocks
    )
    return _ACTIVATIONS_MB + (known - _ACTIVATIONS_MB) * remaining // blocks, share


def _total(epochs: int | None, steps_per_epoch: int | None, max_steps: int | None) -> int | None:
    if epochs is None or steps_per_epoch is None:
        return None
    total = epochs * steps_per_epoch
    return total if max_steps is None else min(total, max_steps)


def _ceiling(value: Any) -> int | None:
    found = number(value)
    return None if found is None else _bounded(max(1, math.ceil(found)))


def _bounded(value: int | None) -> int | None:
    """Return a count, or None if it is out of the trainer's range, which other checks report."""
    return value if value is None or value <= MAX_COUNT else None


def _remarks(variant: Variant) -> list[Reason]:
    if len(variant.caches) < 2:
        return []
    return [
        Reason.of(
            "The model's files do not show which cache is used, so all of them are reserved.", "note_caches_reserved"
        )
    ]


#: Variables for GeForce RTX 40 boards, which lack direct transfer between GPUs, unless the request sets them.
#: Other boards must not get them, as they would lose NVLink.
_WITHOUT_P2P = {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}
_HAS_NO_P2P = re.compile(r"\bGeForce RTX 40\d\d\b")

#: Always set: the launcher's GPU indices are those of NVML, and printed lines arrive immediately.
_FIXED = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "PYTHONUNBUFFERED": "1"}


def build_command(
    python: str, root: Path, request: TrainingRequest, launch: Launch, files: Mapping[str, str]
) -> Command:
    """Return the command and its files. Secret variables are not included; the service stores and adds them."""
    public, _ = split_secrets(request.env)
    return Command(
        argv=(python, *_arguments(request, launch)),
        cwd=root,
        env={**_nccl(launch.gpu_names), **public, **_FIXED},
        files=dict(files),
    )


def _nccl(gpu_names: Sequence[str | None]) -> dict[str, str]:
    return _WITHOUT_P2P if any(_HAS_NO_P2P.search(name or "") for name in gpu_names) else {}


def _arguments(request: TrainingRequest, launch: Launch) -> tuple[str, ...]:
    port = str(launch.master_port)
    # The trainer reads the port from its own option and ignores the launcher's, so set both.
    arguments = [
        "-u",
        "-m",
        "deepspeed.launcher.launch",
        f"--world_info={world_info(launch.gpu_indices)}",
        "--master_addr=127.0.0.1",
        f"--master_port={port}",
        "train.py",
        "--deepspeed",
        "--config",
        str(launch.directory / CONFIG),
        "--master_port",
        port,
    ]
    if launch.run_dir is not None:
        arguments += ["--resume_from_checkpoint", str(launch.run_dir.absolute())]
        if launch.resume.reset_dataloader:
            arguments.append("--reset_dataloader")
        if launch.resume.reset_optimizer:
            arguments.append("--reset_optimizer")
    if request.regenerate_cache:
        arguments.append("--regenerate_cache")
    if request.trust_cache:
        arguments.append("--trust_cache")
    if request.cache_only:
        arguments.append("--cache_only")
    return tuple(arguments)


def world_info(gpu_indices: tuple[int, ...]) -> str:
    """Return the GPUs in the launcher's format."""
    return base64.urlsafe_b64encode(json.dumps({"localhost": list(gpu_indices)}).encode()).decode()

"""Read the facts of a configuration that affect GPU memory."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from api.domain.tasks.measured_memory import MemoryFacts, MemorySize, drop_covered_sizes
from api.files.weights.header import Header, merged
from api.files.weights.recognition import read_quantisation, recognise
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.document import MAX_COUNT, TrainerDocument, as_integer, positive
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.dataset.batches import Batches, read_batches
from api.trainers.diffusion_pipe.models.registry import MODELS

#: Pixels to which a side is rounded, since buckets of one resolution differ slightly in shape.
_SIDE_STEP = 32

#: The keys of [model] that can name the trained weights; the first one with weights applies.
_MAIN = ("transformer_path", "diffusion_model", "checkpoint_path", "single_file_path", "ckpt_path")


def read_memory_facts(
    config: TrainerDocument,
    model_type: str,
    buckets: Iterable[tuple[int, int, int]],
    batches: Batches,
    gpu_count: int,
    root: Path | None,
) -> MemoryFacts:
    """Return the facts of a training with these buckets (width, height, frames)."""
    header = main_header(config.table("model"), root)
    return MemoryFacts(
        model_type=model_type,
        variant=None if header is None else _variant(header),
        settings=_settings(config, model_type, header, gpu_count),
        sizes=sizes_of(buckets, batches),
        rank=as_integer(config.table("adapter").get("rank")) if "adapter" in config.values else None,
        blocks_to_swap=as_integer(config.values.get("blocks_to_swap")) or 0,
    )


def memory_facts_of(model_type: str, config: Mapping[str, Any], dataset: Mapping[str, Any]) -> MemoryFacts:
    """Return the facts of a request for one GPU whose data is unknown, for all sizes in its settings."""
    document = TrainerDocument(dict(config), "")
    batches, _ = read_batches(document, 1, Findings())
    sides, lengths = _whole_numbers(dataset.get("resolutions")), _whole_numbers(dataset.get("frame_buckets")) or [1]
    buckets = [(side, side, frames) for side in sides for frames in lengths]
    return read_memory_facts(document, model_type, buckets, batches, 1, None)


def _whole_numbers(values: Any) -> list[int]:
    given = values if isinstance(values, list) else []
    return [found for value in given[:128] if (found := as_integer(value)) is not None and 0 < found <= MAX_COUNT]


def sizes_of(buckets: Iterable[tuple[int, int, int]], batches: Batches) -> tuple[MemorySize, ...]:
    """Return the sizes that a GPU processes at a time, without those covered by larger ones."""
    return drop_covered_sizes(
        [
            MemorySize(
                max(1, round(math.sqrt(width * height) / _SIDE_STEP)) * _SIDE_STEP,
                frames,
                batches.micro_for(width, height, frames),
            )
            for width, height, frames in buckets
        ]
    )


def main_header(model: Mapping[str, Any], root: Path | None) -> Header | None:
    """Return the header of the trained weights, or None if they are unknown."""
    for path in _weight_paths(model, root):
        headers = paths.headers_of(path)
        if headers:
            return headers[0] if len(headers) == 1 else merged(headers)
    return None


def count_blocks(config: TrainerDocument, model_type: str, root: Path | None) -> int:
    """Return the number of swappable blocks: fixed by the trainer, or from the header; 0 if unknown."""
    swap = MODELS[model_type].swap
    if swap is None or swap.blocks is not None:
        return 0 if swap is None else sum(swap.blocks or ())
    header = main_header(config.table("model"), root)
    return 0 if header is None else sum(header.count(name) for name in swap.lists)


def weights_mb(config: TrainerDocument, model_type: str, root: Path | None) -> int | None:
    """Return the MB of GPU memory of the weights, according to their header, or None if unknown."""
    header = main_header(config.table("model"), root)
    found = None if header is None else recognise(header)
    # All of an SDXL checkpoint is on the GPU. Checkpoints of other types also contain other parts.
    kinds = ("transformer", "checkpoint") if model_type == "sdxl" else ("transformer",)
    if header is None or found is None or found.kind not in kinds:
        return None
    dtype = _normalised(config.table("model").get(MODELS[model_type].dtype_key or "")) or ""
    is_stored = read_quantisation(header) is not None and not dtype
    size = sum(header.dtype_bytes.values()) if is_stored else header.parameters * (1 if "float8" in dtype else 2)
    return size // 2**20


def _weight_paths(model: Mapping[str, Any], root: Path | None) -> Iterator[Path]:
    for key, part in (*((key, "") for key in _MAIN), ("diffusers_path", "transformer")):
        text = model.get(key)
        path = paths.resolve(text, root)
        if path is not None:
            yield path / part if part else path


def _variant(header: Header) -> str:
    found = recognise(header)
    return found.name if found is not None else f"{header.parameters} parameters"


def _settings(config: TrainerDocument, model_type: str, header: Header | None, gpu_count: int) -> dict[str, Any]:
    values, model, facts = config.values, config.table("model"), MODELS[model_type]
    adapter, optimizer = config.table("adapter"), config.table("optimizer")
    stored = None if header is None or not facts.comfy else str(read_quantisation(header) or header.dtype)
    return {
        "method": _normalised(adapter.get("type")) if "adapter" in values else "full",
        "dtype": _normalised(model.get("dtype")),
        "weights_dtype": _normalised(model.get(facts.dtype_key or "")) or stored,
        "adapter_dtype": _normalised(adapter.get("dtype")),
        "optimizer": _normalised(optimizer.get("type")),
        "gradient_release": bool(optimizer.get("gradient_release")),
        "activation_checkpointing": _normalised(values.get("activation_checkpointing")),
        "cache_text_embeddings": model.get("cache_text_embeddings") is not False,
        "compile": bool(values.get("compile")),
        "gpu_count": gpu_count,
        "pipeline_stages": positive(values.get("pipeline_stages", 1), 1),
    }


def _normalised(value: Any) -> str | None:
    """Return a setting in one spelling, or None if it is off."""
    if value is True or value == 1:
        return "on"
    return value[:80].lower() if isinstance(value, str) and value else None

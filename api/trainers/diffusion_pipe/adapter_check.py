"""Checks [adapter]."""

from functools import partial
from pathlib import Path
from typing import Any

from api.domain.weights import AdapterKind
from api.files.weights.adapters import read_adapter
from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.document import TrainerDocument, as_integer
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.key_check import check_names, check_values
from api.trainers.diffusion_pipe.keys import ADAPTER
from api.trainers.diffusion_pipe.model_types import ModelFacts

#: Model types that use the rank of the existing adapter and ignore the configured one.
_USES_RANK_OF_FILE = ("flux", "sdxl")


def check_adapter(
    config: TrainerDocument, model_type: str, facts: ModelFacts | None, root: Path | None, found: Findings
) -> None:
    """Check [adapter], or without it, whether the model supports full fine-tuning."""
    if "adapter" not in config.values:
        if facts is not None and facts.lora_only:
            found.error(
                config.at("adapter"),
                f"{model_type} can only be trained as a LoRA; without [adapter] the trainer fails at the first save.",
                "Add an adapter of type 'lora' with a rank.",
            )
        return
    adapter = config.table("adapter")
    at = partial(config.at, "adapter")
    if "alpha" in adapter:
        found.error(at("alpha"), "The trainer rejects `alpha`, because it always equals the rank.", "Remove it.")
    check_names((name for name in adapter if name != "alpha"), ADAPTER, at, found)
    check_values(adapter, ADAPTER, at, found)
    if isinstance(config.values["adapter"], dict):
        for name in ("type", "rank"):
            if name not in adapter:
                found.error(at(name), f"`{name}` is missing.", "Set type = 'lora' and a rank, for example 32.")
    _check_kind(config, adapter, model_type, facts, found)
    _check_adapter_paths(config, adapter, model_type, root, found)


def _check_kind(
    config: TrainerDocument, adapter: dict[str, Any], model_type: str, facts: ModelFacts | None, found: Findings
) -> None:
    kind, rank = adapter.get("type"), adapter.get("rank")
    if kind == "lokr" and facts is not None and not facts.lokr:
        found.error(
            config.at("adapter", "type"), f"The trainer cannot save {model_type} as a LoKr.", "Set type = 'lora'."
        )
    if kind == "lora":
        if isinstance(rank, float):
            found.error(
                config.at("adapter", "rank"),
                "The rank of a LoRA is not a whole number.",
                "Set a whole number, for example 32.",
            )
        for name in ("decompose_factor", "rank_dropout"):
            if name in adapter:
                found.warn(config.at("adapter", name), "A LoRA ignores this key.", "Remove it.")
    elif kind == "lokr" and "dropout" in adapter:
        found.warn(config.at("adapter", "dropout"), "A LoKr ignores this key.", "Use `rank_dropout` instead.")
    excluded = adapter.get("exclude_modules")
    if excluded is not None and not isinstance(excluded, str) and not _are_texts(excluded):
        found.error(
            config.at("adapter", "exclude_modules"),
            "This is not a name or a list of module names.",
            "Write a list of names in quotes.",
        )
    fused = adapter.get("fuse_adapters")
    if fused and model_type not in ("flux", "chroma"):
        found.warn(config.at("adapter", "fuse_adapters"), f"{model_type} ignores this key.", "Remove it.")


def _check_adapter_paths(
    config: TrainerDocument, adapter: dict[str, Any], model_type: str, root: Path | None, found: Findings
) -> None:
    existing = adapter.get("init_from_existing")
    if isinstance(existing, str) and existing:
        at = config.at("adapter", "init_from_existing")
        paths.check_adapter_directory(existing, at, root, found, accepts_files=model_type == "flux")
        if model_type not in _USES_RANK_OF_FILE:
            _check_existing(existing, adapter.get("rank"), at, root, found)
    fused = adapter.get("fuse_adapters")
    for index, entry in enumerate(fused if isinstance(fused, list) else []):
        at = config.at("adapter", "fuse_adapters", index)
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            found.error(at, "This entry is not a table with a path.", "Write {path = '…', weight = 1.0}.")
        else:
            path = paths.check_exists(entry["path"], f"{at}/path", root, found)
            if path is not None and path.is_file():
                paths.check_weights(path, f"{at}/path", found)


def _check_existing(text: str, rank: Any, at: str, root: Path | None, found: Findings) -> None:
    """Check that an existing adapter has the kind and rank that the configuration creates."""
    path = paths.resolve(text, root)
    for header in [] if path is None else paths.headers_of(path):
        adapter = read_adapter(header)
        if adapter is not None and adapter.kind is not AdapterKind.LORA:
            text = f"This adapter is of kind {adapter.kind}, which the trainer cannot continue."
            found.error(at, text, "Set the path of a LoRA, or remove the key.")
        ranks = {shape[0] for name, shape in header.shapes.items() if name.endswith("lora_A.weight") and shape}
        if ranks and as_integer(rank) is not None and ranks != {rank}:
            actual = ", ".join(map(str, sorted(ranks)[:3]))
            found.error(at, f"This adapter has rank {actual}; the trainer fails with another.", f"Set rank = {actual}.")


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)

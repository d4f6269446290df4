"""Checks [adapter] and [optimizer]."""

import re
from functools import partial
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.document import Document, number
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.key_check import check_names, check_values, did_you_mean
from api.trainers.diffusion_pipe.keys import ADAPTER, KNOWN_CLASSES, OPTIMIZERS
from api.trainers.diffusion_pipe.model_types import ModelFacts
from api.trainers.pointers import shown

#: Keys of [optimizer] that the trainer takes out before it makes the optimizer.
_OPTIMIZER_KEYS = ("type", "gradient_release", "beta2_half_life")

#: Optimizers that find their learning rate by themselves.
_NEED_NO_RATE = ("automagic", "genericoptim", "prodigy")

_CLASS_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")


def check_adapter(
    config: Document, model_type: str, facts: ModelFacts | None, root: Path | None, found: Findings
) -> None:
    """Checks [adapter]; without it, whether the model can be trained in full."""
    if "adapter" not in config.values:
        if facts is not None and facts.lora_only:
            found.error(
                config.at("adapter"),
                f"{model_type} is trained as a LoRA only; without [adapter] the trainer fails at the first save.",
                "Add an adapter of type 'lora' with a rank.",
            )
        return
    adapter = config.table("adapter")
    at = partial(config.at, "adapter")
    if "alpha" in adapter:
        found.error(at("alpha"), "The trainer refuses `alpha`: it is always the rank.", "Leave it out.")
    check_names((name for name in adapter if name != "alpha"), ADAPTER, at, found)
    check_values(adapter, ADAPTER, at, found)
    if isinstance(config.values["adapter"], dict):
        for name in ("type", "rank"):
            if name not in adapter:
                found.error(at(name), f"`{name}` is missing.", "Write type = 'lora' and a rank, 32 say.")
    _check_kind(config, adapter, model_type, facts, found)
    _check_adapter_paths(config, adapter, model_type, root, found)


def check_optimizer(config: Document, found: Findings) -> None:
    """Checks [optimizer]; arguments of classes that the trainer does not name itself are not known here."""
    if not isinstance(config.values.get("optimizer"), dict):
        return
    optimizer = config.table("optimizer")
    at = partial(config.at, "optimizer")
    name = optimizer.get("type")
    if not isinstance(name, str):
        message = "This is not a text." if "type" in optimizer else "`type` is missing."
        found.error(at("type"), message, "Write 'adamw_optimi', say.")
        return
    known = OPTIMIZERS.get(name.lower())
    if known is None:
        _check_class(name, at("type"), found)
    else:
        check_names(optimizer, (*_OPTIMIZER_KEYS, *sorted(known)), at, found)
    _check_arguments(config, optimizer, name, found)


def _check_kind(
    config: Document, adapter: dict[str, Any], model_type: str, facts: ModelFacts | None, found: Findings
) -> None:
    kind, rank = adapter.get("type"), adapter.get("rank")
    if kind == "lokr" and facts is not None and not facts.lokr:
        found.error(config.at("adapter", "type"), f"{model_type} cannot be saved as a LoKr.", "Write type = 'lora'.")
    if kind == "lora":
        if isinstance(rank, float):
            found.error(config.at("adapter", "rank"), "The rank of a LoRA is not a whole number.", "Write 32, say.")
        for name in ("decompose_factor", "rank_dropout"):
            if name in adapter:
                found.warn(config.at("adapter", name), "It is ignored for a LoRA.", "Leave it out.")
    elif kind == "lokr" and "dropout" in adapter:
        found.warn(config.at("adapter", "dropout"), "It is ignored for a LoKr.", "Write `rank_dropout`.")
    fused = adapter.get("fuse_adapters")
    if fused and model_type not in ("flux", "chroma"):
        found.warn(config.at("adapter", "fuse_adapters"), f"It is ignored for {model_type}.", "Leave it out.")


def _check_adapter_paths(
    config: Document, adapter: dict[str, Any], model_type: str, root: Path | None, found: Findings
) -> None:
    existing = adapter.get("init_from_existing")
    if isinstance(existing, str) and existing:
        at = config.at("adapter", "init_from_existing")
        paths.check_adapter_directory(existing, at, root, found, takes_files=model_type == "flux")
    fused = adapter.get("fuse_adapters")
    for index, entry in enumerate(fused if isinstance(fused, list) else []):
        at = config.at("adapter", "fuse_adapters", index)
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            found.error(at, "This is not a table with a path.", "Write {path = '…', weight = 1.0}.")
        else:
            path = paths.check_exists(entry["path"], f"{at}/path", root, found)
            if path is not None and path.is_file():
                paths.check_weights(path, f"{at}/path", found)


def _check_class(name: str, at: str, found: Findings) -> None:
    if not _CLASS_NAME.fullmatch(name):
        found.error(
            at,
            f"`{shown(name)}` is not the plain name of an optimizer.",
            "Write one of " + ", ".join(OPTIMIZERS) + ", or a class of pytorch_optimizer without dots.",
        )
        return
    if name in KNOWN_CLASSES:
        return
    advice = did_you_mean(name, (*OPTIMIZERS, *KNOWN_CLASSES))
    found.warn(
        at,
        f"The trainer does not know `{shown(name)}` itself; it takes pytorch_optimizer's class of exactly this name.",
        advice if advice.startswith("Did") else "See to it that the class exists; upper and lower case matter.",
    )


def _check_arguments(config: Document, optimizer: dict[str, Any], name: str, found: Findings) -> None:
    at = partial(config.at, "optimizer")
    if "lr" not in optimizer:
        if name.lower() not in _NEED_NO_RATE:
            found.warn(at("lr"), "No learning rate is set.", "Set `lr`.")
    elif (rate := number(optimizer["lr"])) is None or rate < 0:
        found.error(at("lr"), "This is not a learning rate.", "Write a number from 0, 2e-5 say.")
    betas = optimizer.get("betas")
    if betas is not None and not _are_betas(betas):
        found.error(at("betas"), "These are not betas.", "Write numbers from 0 to below 1: [0.9, 0.99].")
    if optimizer.get("beta2_half_life"):
        half_life = number(optimizer["beta2_half_life"])
        if half_life is None or half_life <= 0:
            found.error(at("beta2_half_life"), "This is not a number above 0.", "Write the number of examples.")
        if not isinstance(betas, list) or len(betas) != 2:
            found.error(at("betas"), "`beta2_half_life` needs `betas`, two of them.", "Write betas = [0.9, 0.99].")


def _are_betas(betas: Any) -> bool:
    if not isinstance(betas, list) or not betas:
        return False
    return all((beta := number(value)) is not None and 0 <= beta <= 1 for value in betas)

"""Check [adapter]."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import re2

from api.domain.models.weights import AdapterKind
from api.errors import FindingText
from api.files.weights.adapters import read_adapter
from api.files.weights.header import Header
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.document import TrainerDocument, as_integer
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.key_check import check_names, check_values
from api.trainers.diffusion_pipe.config.keys import ADAPTER
from api.trainers.diffusion_pipe.memory_facts import main_header
from api.trainers.diffusion_pipe.models.description import ModelFacts

#: A LoKr of this rank or more has full matrices, for which the rank need not be a whole number.
_FULL_RANK = 50_000

#: Keys that the trainer does not read for a type of adapter.
_UNREAD = {"lora": ("decompose_factor", "rank_dropout"), "lokr": ("dropout",)}

#: A name that no module has, but that a pattern for all names matches.
_NO_MODULE = "zzz.0.zzz"

#: Memory of a compiled pattern in bytes.
_PATTERN_MEMORY = 2**20

#: RE2's reasons for rejecting a pattern that is not valid in Python either.
_INVALID_PATTERN = (b"missing ", b"unexpected ", b"trailing ", b"no argument", b"invalid character class range")

#: A numbered block in the name of a tensor.
_IN_BLOCK = re.compile(r"\.\d+\.")


def check_adapter(
    config: TrainerDocument, model_type: str, facts: ModelFacts | None, root: Path | None, found: Findings
) -> None:
    """Check [adapter], or without it, whether the model supports full fine-tuning."""
    if "adapter" not in config.values:
        if facts is not None and facts.lora_only:
            found.error(
                config.at("adapter"),
                FindingText(
                    "full_training_unsupported",
                    (
                        "{model_type} can only be trained as a LoRA; without [adapter] the trainer fails at the "
                        "first save."
                    ),
                    "Add an adapter of type 'lora' with a rank.",
                ),
                model_type=model_type,
            )
        return
    adapter = config.table("adapter")
    at = partial(config.at, "adapter")
    if "alpha" in adapter:
        found.error(
            at("alpha"),
            FindingText(
                "alpha_rejected", "The trainer rejects `alpha`, because it always equals the rank.", "Remove it."
            ),
        )
    check_names((name for name in adapter if name != "alpha"), ADAPTER, at, found)
    unread = _UNREAD.get(str(adapter.get("type")), ())
    check_values({name: value for name, value in adapter.items() if name not in unread}, ADAPTER, at, found)
    if isinstance(config.values["adapter"], dict):
        for name in ("type", "rank"):
            if name not in adapter:
                found.error(
                    at(name),
                    FindingText(
                        "adapter_key_missing", "`{name}` is missing.", "Set type = 'lora' and a rank, for example 32."
                    ),
                    name=name,
                )
    _check_kind(config, adapter, model_type, facts, found)
    _check_excluded(config, model_type, root, found)
    for name in ("dropout", "rank_dropout"):
        if adapter.get(name) == 1:
            found.warn(
                at(name),
                FindingText(
                    "dropout_of_one", "With 1, the adapter learns nothing.", "Set a small share, for example 0.1."
                ),
            )
    _check_adapter_paths(config, model_type, facts, root, found)


def _check_kind(
    config: TrainerDocument, adapter: dict[str, Any], model_type: str, facts: ModelFacts | None, found: Findings
) -> None:
    kind, rank = adapter.get("type"), adapter.get("rank")
    if kind == "lokr" and facts is not None and not facts.lokr:
        found.error(
            config.at("adapter", "type"),
            FindingText("lokr_unsupported", "The trainer cannot save {model_type} as a LoKr.", "Set type = 'lora'."),
            model_type=model_type,
        )
    if isinstance(rank, float) and (kind == "lora" or (kind == "lokr" and rank < _FULL_RANK)):
        found.error(
            config.at("adapter", "rank"),
            FindingText("rank_not_whole", "The rank is not a whole number.", "Set a whole number, for example 32."),
        )
    if kind == "lora":
        for name in _UNREAD[kind]:
            if name in adapter:
                found.warn(
                    config.at("adapter", name), FindingText("ignored_by_lora", "A LoRA ignores this key.", "Remove it.")
                )
    elif kind == "lokr" and "dropout" in adapter:
        found.warn(
            config.at("adapter", "dropout"),
            FindingText("ignored_by_lokr", "A LoKr ignores this key.", "Use `rank_dropout` instead."),
        )
    fused = adapter.get("fuse_adapters")
    if fused and not (facts and facts.fuses_adapters):
        found.warn(
            config.at("adapter", "fuse_adapters"),
            FindingText("ignored_by_model", "{model_type} ignores this key.", "Remove it."),
            model_type=model_type,
        )


def _check_excluded(config: TrainerDocument, model_type: str, root: Path | None, found: Findings) -> None:
    """Check that exclude_modules is valid and leaves something to train."""
    excluded, at = config.table("adapter").get("exclude_modules"), config.at("adapter", "exclude_modules")
    if excluded is None:
        return
    if isinstance(excluded, str):
        is_valid, excludes_all = _try_pattern(excluded)
        if not is_valid:
            found.error(
                at,
                FindingText(
                    "pattern_invalid", "This is not a valid regular expression.", "Write a list of names in quotes."
                ),
            )
            return
    elif _are_texts(excluded):
        names = list(find_block_modules(config, root)) if excluded else []
        endings = tuple(f".{name}" for name in excluded)
        excludes_all = bool(names) and all(f".{name}".endswith(endings) for name in names)
    else:
        found.error(
            at,
            FindingText(
                "modules_invalid", "This is not a name or a list of module names.", "Write a list of names in quotes."
            ),
        )
        return
    if excludes_all and model_type != "sdxl":
        found.error(
            at,
            FindingText(
                "all_modules_excluded",
                "It excludes all modules, so there is nothing to train.",
                "Exclude fewer modules.",
            ),
        )


def _try_pattern(pattern: str) -> tuple[bool, bool]:
    """Return whether a pattern for names of modules may be valid, and whether it matches all of them.

    RE2 needs linear time, unlike Python's own matching, but does not know all that is valid in Python.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    try:
        # Names of modules have hardly anything in common with this one.
        return True, re2.compile(pattern, options).fullmatch(_NO_MODULE) is not None
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        return not (isinstance(reason, bytes) and reason.startswith(_INVALID_PATTERN)), False
    except UnicodeError:
        return True, False


def find_block_modules(config: TrainerDocument, root: Path | None) -> dict[str, list[int]]:
    """Return the shapes of the linear modules in the model's blocks by name; empty if unknown."""
    header = main_header(config.table("model"), root)
    shapes = {} if header is None else header.shapes
    return {
        name.removesuffix(".weight"): list(shape)
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) == 2 and _IN_BLOCK.search(name)
    }


def _check_adapter_paths(
    config: TrainerDocument, model_type: str, facts: ModelFacts | None, root: Path | None, found: Findings
) -> None:
    adapter = config.table("adapter")
    existing = adapter.get("init_from_existing")
    if isinstance(existing, str) and existing:
        at = config.at("adapter", "init_from_existing")
        paths.check_adapter_directory(existing, at, root, found, accepts_files=model_type == "flux")
        if facts and facts.keeps_rank_of_existing:
            _check_ignored_rank(existing, adapter.get("rank"), config.at("adapter", "rank"), root, found)
        else:
            _check_existing(existing, adapter.get("rank"), at, root, found)
    fused = adapter.get("fuse_adapters")
    for index, entry in enumerate(fused if isinstance(fused, list) else []):
        at = config.at("adapter", "fuse_adapters", index)
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            found.error(
                at,
                FindingText(
                    "fused_adapter_not_table",
                    "This entry is not a table with a path.",
                    "Write {path = '…', weight = 1.0}.",
                ),
            )
        else:
            path = paths.check_exists(entry["path"], f"{at}/path", root, found)
            if path is not None and path.is_file():
                paths.check_weights(path, f"{at}/path", found)
            if model_type == "chroma" and path is not None and not (path / "adapter_config.json").is_file():
                found.error(
                    f"{at}/path",
                    FindingText(
                        "fused_adapter_not_directory",
                        "The trainer needs the directory of a saved adapter here, with its adapter_config.json.",
                        "Set the directory of a LoRA that the trainer saved.",
                    ),
                )


def _check_ignored_rank(text: str, rank: Any, at: str, root: Path | None, found: Findings) -> None:
    path = paths.resolve(text, root)
    actual = {rank for header in ([] if path is None else paths.headers_of(path)) for rank in _ranks(header)}
    if len(actual) == 1 and as_integer(rank) is not None and actual != {rank}:
        (only,) = actual
        found.warn(
            at,
            FindingText(
                "rank_ignored", "The trainer ignores it and uses the rank of init_from_existing, {only}.", "Set {only}."
            ),
            only=only,
        )


def _ranks(header: Header) -> set[int]:
    """Return the ranks of a LoRA in the naming of peft or of kohya."""
    return {
        shape[0]
        for name, shape in header.shapes.items()
        if name.endswith(("lora_A.weight", "lora_down.weight")) and shape
    }


def _check_existing(text: str, rank: Any, at: str, root: Path | None, found: Findings) -> None:
    """Check that an existing adapter has the kind and rank that the configuration creates."""
    path = paths.resolve(text, root)
    for header in [] if path is None else paths.headers_of(path):
        adapter = read_adapter(header)
        if adapter is not None and adapter.kind is not AdapterKind.LORA:
            found.error(
                at,
                FindingText(
                    "adapter_kind_unsupported",
                    "This adapter is of kind {kind}, which the trainer cannot continue.",
                    "Set the path of a LoRA, or remove the key.",
                ),
                kind=adapter.kind,
            )
        ranks = _ranks(header)
        if ranks and as_integer(rank) is not None and ranks != {rank}:
            actual = ", ".join(map(str, sorted(ranks)[:3]))
            found.error(
                at,
                FindingText(
                    "rank_differs",
                    "This adapter has rank {actual}; the trainer fails with another.",
                    "Set rank = {actual}.",
                ),
                actual=actual,
            )


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)

"""Checks that the adapters which a training merges, fuses or continues fit its model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.files.weights.adapters import read_adapter
from api.files.weights.recognition import recognise
from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import shown

#: Types that share code and adapters with another type.
_SAME = {"anima": "cosmos_predict2"}


def check_adapter_files(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> None:
    """Check the content of each configured adapter."""
    for at, text in _named(config):
        path = paths.resolve(text, root) if isinstance(text, str) and text else None
        headers = [] if path is None else paths.headers_of(path)
        if path is None or not headers:
            continue
        adapter, component = read_adapter(headers[0]), recognise(headers[0])
        if adapter is None and component is not None:
            findings.error(at, f"{shown(path.name)} is {component.title}.", "Set the path of an adapter (LoRA).")
        if adapter is None and component is None:
            findings.warn(
                at,
                f"{shown(path.name)} is not recognised as an adapter; the trainer may fail to load it.",
                f"Set the path of an adapter (LoRA) for {model_type}.",
            )
        trained_for = None if adapter is None else adapter.model_type
        if adapter is None or trained_for is None:
            continue
        if _SAME.get(trained_for, trained_for) == _SAME.get(model_type, model_type):
            continue
        add = findings.error if adapter.is_certain else findings.warn
        add(at, f"{shown(path.name)} is an adapter for {trained_for}.", f"Set the path of an adapter for {model_type}.")


def _named(config: TrainerDocument) -> Iterator[tuple[str, Any]]:
    merge, adapter = config.table("model").get("merge_adapters"), config.table("adapter")
    for index, text in enumerate(merge[:64] if isinstance(merge, list) else ()):
        yield config.at("model", "merge_adapters", index), text
    yield config.at("adapter", "init_from_existing"), adapter.get("init_from_existing")
    fused = adapter.get("fuse_adapters")
    for index, entry in enumerate(fused[:64] if isinstance(fused, list) else ()):
        if isinstance(entry, dict):
            yield f"{config.at('adapter', 'fuse_adapters', index)}/path", entry.get("path")

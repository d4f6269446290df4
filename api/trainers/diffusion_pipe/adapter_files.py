"""Whether what a training merges, fuses or goes on from is an adapter, and one for its model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.files.weights.adapters import read_adapter
from api.files.weights.recognition import recognise
from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import shown

#: Types that are one code, and so one form of adapters.
_SAME = {"anima": "cosmos_predict2"}


def check_adapter_files(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> None:
    """Checks the content of each adapter that is named."""
    for at, text in _named(config):
        path = paths.resolve(text, root) if isinstance(text, str) and text else None
        headers = [] if path is None else paths.headers_of(path)
        if path is None or not headers:
            continue
        adapter, component = read_adapter(headers[0]), recognise(headers[0])
        if adapter is None and component is not None:
            findings.error(at, f"{shown(path.name)} is {component.title}.", "Here belongs an adapter (LoRA).")
        if adapter is None and component is None:
            findings.warn(
                at,
                f"{shown(path.name)} is not recognised as an adapter: the trainer may fail on it.",
                f"Here belongs an adapter (LoRA) for {model_type}.",
            )
        told = None if adapter is None else adapter.model_type
        if adapter is None or told is None or _SAME.get(told, told) == _SAME.get(model_type, model_type):
            continue
        say = findings.error if adapter.is_certain else findings.warn
        say(at, f"{shown(path.name)} is an adapter for {told}.", f"Here belongs an adapter for {model_type}.")


def _named(config: TrainerDocument) -> Iterator[tuple[str, Any]]:
    merge, adapter = config.table("model").get("merge_adapters"), config.table("adapter")
    for index, text in enumerate(merge[:64] if isinstance(merge, list) else ()):
        yield config.at("model", "merge_adapters", index), text
    yield config.at("adapter", "init_from_existing"), adapter.get("init_from_existing")
    fused = adapter.get("fuse_adapters")
    for index, entry in enumerate(fused[:64] if isinstance(fused, list) else ()):
        if isinstance(entry, dict):
            yield f"{config.at('adapter', 'fuse_adapters', index)}/path", entry.get("path")

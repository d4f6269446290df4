"""Check one file or directory for one slot of [model]."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.errors import Finding
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_check import check_model
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.weights_check import check_files


def check_candidate(
    model_type: str, key: str, path: Path, *, accepts_pickles: bool = False
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return the errors and warnings of a training that uses this path for this key."""
    model = {"type": model_type, "dtype": "bfloat16", key: _value(model_type, key, path)}
    config = TrainerDocument({"model": model, "adapter": {"type": "lora", "rank": 32}}, "/config")
    findings = Findings(accepts_risks=accepts_pickles)
    check_model(config, model_type, None, findings)
    check_files(config, model_type, None, findings)
    at = config.at("model", key)
    return _of(at, findings.errors), _of(at, findings.warnings)


def _value(model_type: str, key: str, path: Path) -> Any:
    if key == "text_encoders":
        return [{"paths": [str(path)], "type": MODELS[model_type].encoder_type}]
    return [str(path)] if key == "merge_adapters" else str(path)


def _of(at: str, mistakes: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings about the path itself, without those about missing keys and other files."""
    return tuple(
        each for each in mistakes if (each.pointer + "/").startswith(f"{at}/") and not each.pointer.endswith("/paths")
    )

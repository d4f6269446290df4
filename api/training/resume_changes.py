"""Changes of a request at a resume, if its configuration is the trainer's own text."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from api.domain.audit import note_change
from api.domain.training import TrainingRequest
from api.errors import Finding, Invalid
from api.trainers.pointers import pointer
from api.trainers.toml_edit import Path, edit

_REMEDY = "Send the whole text as `config_toml`."


def change_request(request: TrainingRequest, changes: Mapping[str, Any]) -> TrainingRequest:
    """Return the changed request. Values for `config` are set in the configuration text if the task has one.

    Raise Invalid if the text cannot be changed.
    """
    text, given = request.config_toml, changes.get("config")
    if text is None or not given or "config_toml" in changes:
        return replace(request, **changes)
    values = dict(_leaves(given))
    removed = [path for path, value in values.items() if value is None]
    fixed = [path for path in removed if len(path) > 1]
    if fixed:
        message = "This cannot be removed from the task's own text."
        raise Invalid(mistakes=[Finding(f"/config{pointer(*path)}", message, _REMEDY) for path in fixed])
    assigned = {path: value for path, value in values.items() if value is not None}
    edited = edit(text, assigned, tuple(str(path[0]) for path in removed))
    if edited is None:
        raise Invalid(mistakes=[Finding("/config", "These values cannot be set in the task's own text.", _REMEDY)])
    return replace(request, **{**changes, "config": {}, "config_toml": edited})


def _leaves(values: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def note_resume(before: TrainingRequest, after: TrainingRequest, checkpoint: str) -> None:
    """Record in the audit what a resume changes in the request, and its checkpoint."""
    old, new = asdict(before), asdict(after)
    changed = [name for name in new if old[name] != new[name]]
    note_change(
        before={name: old[name] for name in changed},
        after={"checkpoint": checkpoint, **{name: new[name] for name in changed}},
    )

"""The request of an export, which the service writes for the program, and the mark that the program leaves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: A file beside an exported model: which checkpoint it was made of.
MARK = ".exported.json"

MOST_MARK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """One checkpoint, and where its saved model goes."""

    run_dir: str  #: the training's run directory
    checkpoint: str  #: the name of the checkpoint in it
    written_at: str  #: when the checkpoint was written
    target: str  #: the name of the saved model's directory in the run directory
    config: str | None  #: path of the configuration that is stored beside the model
    options: Mapping[str, Any]  #: how the trainer's saved models are made

    def as_json(self) -> dict[str, Any]:
        """Return the request as JSON for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ExportRequest":
        """Return the request from its JSON. Raises KeyError, TypeError."""
        return cls(**{name: values[name] for name in cls.__slots__})

    def mark(self) -> dict[str, str]:
        """Return the content of the mark."""
        return {"checkpoint": self.checkpoint, "written_at": self.written_at}

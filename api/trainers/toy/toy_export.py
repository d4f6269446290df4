"""The saved model of a toy's checkpoint."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.util.files.foreign_files import OWN_LEVELS, read

#: What the service's program calls this maker.
MAKER = "toy"

#: The options with which `ToyExport` makes saved models.
OPTIONS = {"maker": MAKER, "file_name": "adapter_model.safetensors"}

_MOST_BYTES = 64 * 2**20


class ToyExport:
    """The model in one checkpoint of the toy. Raises ValueError, OSError."""

    def __init__(self, checkpoint: Path, options: Mapping[str, Any]) -> None:
        # It loads NumPy, which is heavy and only needed by the program that exports.
        from safetensors.numpy import load, save  # noqa: PLC0415

        content = read(str(checkpoint / "model.safetensors"), _MOST_BYTES, OWN_LEVELS + 1)
        try:
            weights = load(content)
        except Exception as error:  # the library raises its own kinds
            raise ValueError(f"it is damaged: {error}") from None
        self.names = frozenset(weights)
        self._content = save(weights, metadata={"format": "np"})
        self.total_bytes = len(self._content)

    def parts(self) -> Iterator[bytes]:
        """Return the file in parts."""
        yield self._content

    def config(self) -> dict[str, Any] | None:
        """Return `adapter_config.json`."""
        return {"peft_type": "TOY", "base_model_name_or_path": "toy", "target_modules": sorted(self.names)}

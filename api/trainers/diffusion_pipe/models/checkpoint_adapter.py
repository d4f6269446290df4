"""The LoRA in a checkpoint, in the form in which the trainer saves it."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.domain.tasks.training import TrainingPlan
from api.errors import ExportUnsupported
from api.files.weights.rewriting import CONVERTIBLE, ITEM_BYTES, convert, make_header, order_tensors
from api.files.weights.torch_archive import StoredTensor, TorchArchive, UnreadableArchive
from api.trainers.diffusion_pipe.models.adapter_layers import UnknownLayers, saved_names
from api.trainers.diffusion_pipe.models.registry import ADAPTER_FORMS
from api.trainers.toml_text import complete_floats
from api.util.files.foreign_files import OWN_LEVELS, open_plain
from api.util.files.foreign_trees import list_names

#: What the service's program calls this maker.
MAKER = "diffusion_pipe"

_LAYER = re.compile(r"layer_(\d{1,4})-model_states\.pt", re.ASCII)

#: A checkpoint is one level below its run directory.
_LEVELS = OWN_LEVELS + 1

#: The types of elements, by their names in configurations.
_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}

_RESUME = 'Let the trainer make the model, which takes its GPUs and one more step: "method": "resume".'


def export_options(plan: TrainingPlan) -> dict[str, Any]:
    """Return the options with which `CheckpointAdapter` makes saved models of a training. Raise ExportUnsupported."""
    config = tomllib.loads(complete_floats(plan.files["config.toml"]))
    adapter, save_dtype = config.get("adapter"), config.get("save_dtype")
    form = ADAPTER_FORMS.get(plan.model_type)
    if not isinstance(adapter, dict):
        raise ExportUnsupported(f"This training trains the whole model, so its checkpoints hold no LoRA. {_RESUME}")
    if form is None or adapter.get("type") != "lora":
        what = plan.model_type if form is None else f"the adapter type {adapter.get('type')}"
        raise ExportUnsupported(f"How checkpoints store the layers of {what} is not known here. {_RESUME}")
    if save_dtype is not None and save_dtype not in _DTYPES:
        raise ExportUnsupported(f"Weights cannot be stored as {save_dtype} here. {_RESUME}")
    return {
        "maker": MAKER,
        "file_name": form.file_name,
        "model_type": plan.model_type,
        "save_dtype": None if save_dtype is None else _DTYPES[save_dtype],
        "rank": adapter.get("rank"),
        "dropout": adapter.get("dropout", 0.0),
        "exclude_modules": adapter.get("exclude_modules"),
    }


class CheckpointAdapter:
    """The LoRA of one checkpoint. Raises UnknownLayers, UnreadableArchive, OSError."""

    def __init__(self, checkpoint: Path, options: Mapping[str, Any]) -> None:
        self._options = options
        self._form = ADAPTER_FORMS[options["model_type"]]
        names = list_names(str(checkpoint), _LEVELS)[1]
        layers = {int(match[1]): match[0] for match in map(_LAYER.fullmatch, names) if match is not None}
        archives = {
            index: TorchArchive(os.fdopen(open_plain(str(checkpoint / name), _LEVELS), "rb"))
            for index, name in sorted(layers.items())
        }
        found = saved_names(self._form, {index: list(archive.tensors) for index, archive in archives.items()})
        self._tensors = {
            saved: (archives[index], archives[index].tensors[name]) for (index, name), saved in found.items()
        }
        # Tensors that share bytes would make a small checkpoint fill the disk.
        if sum(tensor.size_bytes for _, tensor in self._tensors.values()) > sum(
            each.size for each in archives.values()
        ):
            raise UnreadableArchive("its tensors share bytes")
        self.names = frozenset(self._tensors)
        types = {saved: (self._type_of(tensor), tensor.shape) for saved, (_, tensor) in self._tensors.items()}
        self._header = make_header(types, {"format": "pt"})
        self._order = order_tensors(types)
        self.total_bytes = len(self._header) + sum(
            tensor.size_bytes // ITEM_BYTES[tensor.dtype] * ITEM_BYTES[types[saved][0]]
            for saved, (_, tensor) in self._tensors.items()
        )

    def _type_of(self, tensor: StoredTensor) -> str:
        target = self._options["save_dtype"] or tensor.dtype
        if target != tensor.dtype and not {target, tensor.dtype} <= CONVERTIBLE:
            raise UnknownLayers(f"its weights of the type {tensor.dtype} cannot be stored as {target}")
        return str(target)

    def parts(self) -> Iterator[bytes]:
        """Return the file in parts."""
        yield self._header
        for saved in self._order:
            archive, tensor = self._tensors[saved]
            target = self._type_of(tensor)
            for piece in archive.read(tensor):
                yield convert(piece, tensor.dtype, target)

    def config(self) -> dict[str, Any] | None:
        """Return `adapter_config.json`; None if the trainer writes none for this type.

        It names every module, where the trainer's library may shorten the list.
        """
        if self._form.is_of_diffusers:
            return None
        modules = {name.removeprefix(self._form.prefix).partition(".lora_")[0] for name in self.names}
        return {
            "peft_type": "LORA",
            "task_type": None,
            "base_model_name_or_path": None,
            "inference_mode": False,
            "bias": "none",
            "r": self._options["rank"],
            "lora_alpha": self._options["rank"],
            "lora_dropout": self._options["dropout"],
            "exclude_modules": self._options["exclude_modules"],
            "target_modules": sorted(modules),
        }

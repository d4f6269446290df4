"""How the trainer's checkpoints store adapters, and under which names it saves them.

A checkpoint has a file for each layer of the pipeline: the layers before the blocks, the blocks of one or two lists of
the model, and the last layer. A parameter's name is local to its layer. The trainer's `to_layers` and `save_adapter`
define the names in saved models; the forms were read from them at commit 8f83dbf.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Parts of the names of adapters, and what the trainer's saver removes from names.
_ADAPTERS = (".lora_A.", ".lora_B.")
_REMOVED = (".default", ".modules_to_save")

#: The names of saved files: those of diffusers' pipelines, and of all others.
_DIFFUSERS_FILE, _FILE = "pytorch_lora_weights.safetensors", "adapter_model.safetensors"


class UnknownLayers(Exception):
    """The layers of a checkpoint are not as expected; the text is the end of a sentence."""


@dataclass(frozen=True, slots=True)
class AdapterForm:
    """The adapters of one model type."""

    lists: tuple[str, ...]  #: the model's lists of blocks, in the order of the pipeline's layers
    block: str = "block"  #: the attribute under which a layer of the pipeline holds its block
    first: int = 1  #: the index of the first block's layer
    prefix: str = "diffusion_model."  #: of names in the saved file
    is_of_diffusers: bool = False  #: a pipeline of diffusers saves the file, without `adapter_config.json`
    marks: tuple[tuple[str, ...], ...] = ()  #: beginnings of names that only blocks of each list have

    @property
    def file_name(self) -> str:
        """The name of the saved file."""
        return _DIFFUSERS_FILE if self.is_of_diffusers else _FILE


def saved_names(form: AdapterForm, layers: Mapping[int, Sequence[str]]) -> dict[tuple[int, str], str]:
    """Return the name in a saved model of each adapter, by its layer and its name there.

    `layers` has the names of all parameters by the index of their layer. Raise UnknownLayers.
    """
    adapters = {
        index: [name for name in names if any(part in name for part in _ADAPTERS)] for index, names in layers.items()
    }
    blocks = _name_blocks(form, adapters)
    found: dict[tuple[int, str], str] = {}
    for index, names in adapters.items():
        for name in names:
            found[index, name] = form.prefix + _without_additions(_original_name(form, blocks.get(index), name))
    if len(set(found.values())) != len(found) or not found:
        raise UnknownLayers("it has no adapters" if not found else "two adapters have the same name")
    return found


def _original_name(form: AdapterForm, block: str | None, name: str) -> str:
    """Return a parameter's name in the model. Layers without a block hold parts of the model by their names."""
    if block is None:
        return name
    start = f"{form.block}."
    if not name.startswith(start):
        raise UnknownLayers(f"a layer has an unknown parameter {name[:100]}")
    return f"{block}.{name.removeprefix(start)}"


def _without_additions(name: str) -> str:
    for part in _REMOVED:
        name = name.replace(part, "")
    return name


def _name_blocks(form: AdapterForm, adapters: Mapping[int, Sequence[str]]) -> dict[int, str]:
    """Return the name of the block in each layer with a block."""
    last = max(adapters, default=0)
    if last <= form.first or set(range(form.first)) - set(adapters):
        raise UnknownLayers("it lacks files of layers")
    inner = range(form.first, last)
    if len(form.lists) == 1:
        if set(inner) - set(adapters):
            raise UnknownLayers("it lacks files of layers")
        return {index: f"{form.lists[0]}.{index - form.first}" for index in inner}
    end, start = _find_border(form, adapters, inner)
    first = {index: f"{form.lists[0]}.{index - form.first}" for index in range(form.first, end)}
    return first | {index: f"{form.lists[1]}.{index - start}" for index in range(start, last)}


def _find_border(form: AdapterForm, adapters: Mapping[int, Sequence[str]], inner: range) -> tuple[int, int]:
    """Return the layer after the first list of blocks, and the first layer of the second list."""
    if form.marks:
        border = sum(_list_of(form, adapters.get(index, ())) == 0 for index in inner) + form.first
        if any(_list_of(form, adapters.get(index, ())) != (index >= border) for index in inner):
            raise UnknownLayers("its lists of blocks cannot be told apart")
        return border, border
    # Between the lists, a layer joins text and picture. It has no parameters, and in most types no file either.
    between = [index for index in inner if not adapters.get(index)]
    if len(between) != 1:
        raise UnknownLayers("its lists of blocks cannot be told apart")
    return between[0], between[0] + 1


def _list_of(form: AdapterForm, names: Sequence[str]) -> int | None:
    """Return the index of the list to which a block with these parameters belongs, or None if that is not known."""
    own = [name.removeprefix(f"{form.block}.") for name in names]
    fits = [index for index, marks in enumerate(form.marks) if any(name.startswith(marks) for name in own)]
    return fits[0] if len(fits) == 1 else None

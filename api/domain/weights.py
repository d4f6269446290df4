"""What a file of weights is, as far as its content tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FileForm(StrEnum):
    """The form of a file, by its first bytes."""

    SAFETENSORS = "safetensors"
    EMPTY = "empty"
    LFS_POINTER = "git_lfs_pointer"  #: the pointer of a file that Git LFS did not fetch
    WEB_PAGE = "web_page"  #: what a server sent in the place of the file
    GGUF = "gguf"
    TORCH_ZIP = "torch_zip"  #: torch's zip of pickles
    PICKLE = "pickle"
    OTHER = "other"  #: nothing that is known; torch would unpickle it


class Quantisation(StrEnum):
    """How small numbers stand for weights."""

    PLAIN_FP8 = "plain_fp8"  #: fp8 without scales
    SCALED_FP8 = "scaled_fp8"  #: the older form, `*.scale_weight`
    COMFY = "comfy"  #: ComfyUI's newer form, `*.comfy_quant` and `*.weight_scale`
    BITSANDBYTES = "bitsandbytes"
    NUNCHAKU = "nunchaku"


class AdapterKind(StrEnum):
    """What an adapter is."""

    LORA = "lora"
    LOKR = "lokr"
    LOHA = "loha"
    DORA = "dora"  #: a LoRA that also scales the weights it is put on


@dataclass(frozen=True, slots=True)
class Component:
    """A component of a model that was recognised. `slots` are where it belongs: `flux.transformer_path`."""

    name: str
    title: str
    kind: str  #: transformer, checkpoint, vae, text_encoder, image_encoder, adapter, controlnet
    slots: frozenset[str]
    source: str  #: where the signs are from by which it was recognised


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What the tensors of an adapter tell."""

    kind: AdapterKind
    rank: int | None  #: None when its layers have different ones, or none tells
    keys: str  #: how its tensors are named: diffusers, kohya, comfyui, original
    model_type: str | None  #: what it was trained on, where the names tell
    readers: tuple[str, ...]  #: the programs that read this form
    is_certain: bool = False  #: no other model has such layers


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """What one file is. `problem` completes the sentence "It …"; None where nothing is wrong with it."""

    form: FileForm
    size_bytes: int
    is_whole: bool | None = None  #: None: it cannot be told
    problem: str | None = None
    component: Component | None = None
    adapter: AdapterFacts | None = None
    dtype: str | None = None  #: what most of its bytes are, as safetensors calls it
    quantisation: Quantisation | None = None
    parameters: int | None = None
    tensors: int | None = None
    prefixes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str | None:
        """What it is, as a sentence has it; None when it was not recognised."""
        if self.component is not None:
            return self.component.title
        if self.adapter is not None:
            return f"an adapter ({self.adapter.kind})"
        return None

"""What is known about a file of weights from its content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FileForm(StrEnum):
    """The format of a file, by its first bytes."""

    SAFETENSORS = "safetensors"
    EMPTY = "empty"
    LFS_POINTER = "git_lfs_pointer"  #: pointer of a file that Git LFS did not fetch
    WEB_PAGE = "web_page"  #: a web page that a server sent instead of the file
    GGUF = "gguf"
    TORCH_ZIP = "torch_zip"  #: torch's zip of pickles
    PICKLE = "pickle"
    OTHER = "other"  #: unknown format; torch would unpickle it


class Quantisation(StrEnum):
    """How weights are quantised."""

    PLAIN_FP8 = "plain_fp8"  #: fp8 without scales
    SCALED_FP8 = "scaled_fp8"  #: the older form, `*.scale_weight`
    COMFY = "comfy"  #: ComfyUI's newer form, `*.comfy_quant` and `*.weight_scale`
    BITSANDBYTES = "bitsandbytes"
    NUNCHAKU = "nunchaku"


class AdapterKind(StrEnum):
    """The kind of an adapter."""

    LORA = "lora"
    LOKR = "lokr"
    LOHA = "loha"
    DORA = "dora"  #: a LoRA that also scales the base weights


@dataclass(frozen=True, slots=True)
class Component:
    """A recognised component of a model."""

    name: str
    title: str
    kind: str  #: transformer, checkpoint, vae, text_encoder, image_encoder, adapter, controlnet
    source: str  #: source of the fingerprint that matched


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What the tensors of an adapter show."""

    kind: AdapterKind
    rank: int | None  #: None if unknown, or if its layers have different ranks
    keys: str  #: naming scheme of its tensors: diffusers, kohya, comfyui, original
    model_type: str | None  #: the model type that it was trained for, if the names show it
    readers: tuple[str, ...]  #: programs that read this format
    is_certain: bool = False  #: no other model has layers of these names and sizes


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """What is known about one file. `problem` completes the sentence "It …", or is None if there is no problem."""

    form: FileForm
    size_bytes: int
    is_whole: bool | None = None  #: whether the file is complete; None: unknown
    problem: str | None = None
    component: Component | None = None
    adapter: AdapterFacts | None = None
    dtype: str | None = None  #: type of most of its bytes, in safetensors' spelling
    quantisation: Quantisation | None = None
    parameters: int | None = None
    tensors: int | None = None
    prefixes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str | None:
        """A description for use in sentences, or None if the file was not recognised."""
        if self.component is not None:
            return self.component.title
        if self.adapter is not None:
            return f"an adapter ({self.adapter.kind})"
        return None

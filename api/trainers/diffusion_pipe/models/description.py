"""What a module of a model type states: loading, capabilities, memory, files and presets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Preset
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm


class PathKind(StrEnum):
    """How the trainer opens a path."""

    FILE = "file"  #: a weights file: safetensors if its name ends so, else unpickled
    COMFY = "comfy"  #: a weights file opened by ComfyUI's code, which also treats other suffixes as safetensors
    SAFETENSORS = "safetensors"  #: a file opened as safetensors regardless of its name
    WEIGHTS = "weights"  #: a .safetensors file, or a directory with such files
    DIRECTORY = "directory"
    EITHER = "either"  #: a file or a directory
    PRETRAINED = "pretrained"  #: a directory; a name at Hugging Face is downloaded


@dataclass(frozen=True, slots=True)
class Swap:
    """The swappable blocks of a model: names of the lists in its weights, and the length of each (None: see the file).

    `is_certain` means that the trainer fixes the numbers; otherwise the file decides.
    """

    key: str  #: the key of [model] with the path of the weights
    lists: tuple[str, ...]
    blocks: tuple[int, ...] | None
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """How the trainer loads a type: each entry of `alternatives` is a set of keys that suffices.

    Taken from the trainer's `models/*.py`, commit 8f83dbf.
    """

    alternatives: tuple[tuple[str, ...], ...]
    kinds: Mapping[str, PathKind]
    lora_only: bool = False
    lokr: bool = True
    framerate: int | None = None  #: frames per second; None: does not support videos
    round_to: int = 16  #: pixels; width and height of buckets become multiples of it
    pixels_to: int = 16  #: the same for the pictures that the trainer makes for the buckets
    cache_name: str | None = None  #: the directory below `cache`; None: the type's name
    keys: frozenset[str] = frozenset()  #: further keys of [model]
    required: tuple[str, ...] = ()  #: keys of [model] that are not paths
    may_be_empty: frozenset[str] = frozenset()  #: paths for which an empty string means that they are not set
    dtype_key: str | None = (
        "transformer_dtype"  #: the key that sets a smaller type for the weights; None: there is none
    )
    swap: Swap | None = None  #: None: does not support swapping blocks
    comfy: bool = False  #: loaded by ComfyUI's code, which supports quantised weights
    frame_step: int = 1  #: clips are cut to a multiple of it plus `frame_rest`
    frame_rest: int = 1
    unread: frozenset[str] = frozenset()  #: keys of [model] that all other types read
    caches_text: bool = True  #: regardless of `cache_text_embeddings`
    encoder_files: int = 1  #: least number of files of its text encoder
    encoder_type: str | None = None  #: the `type` of its text encoders
    fuses_adapters: bool = False  #: reads `fuse_adapters` of [adapter]
    keeps_rank_of_existing: bool = False  #: uses the rank of `init_from_existing` and ignores the configured one
    has_group_rates: bool = False  #: each parameter group has a learning rate, which `gradient_release` needs
    passes_rates_on: bool = False  #: passes the learning rate on to each group, even if it is missing


SHIFTS = frozenset({"shift", "flux_shift"})
TIMESTEPS = SHIFTS | {"timestep_sample_method", "sigmoid_scale"}
_LEARNING_RATES = frozenset({"self_attn_lr", "cross_attn_lr", "mlp_lr", "mod_lr", "llm_adapter_lr"})
PREDICT2_KEYS = _LEARNING_RATES | {"multiscale_loss_weight", "text_encoder_nf4", "text_encoder_fp8"}
PREDICT2_KINDS = {
    "transformer_path": PathKind.FILE,
    "vae_path": PathKind.FILE,
    "t5_path": PathKind.FILE,
    "llm_path": PathKind.EITHER,
    "llm_adapter_path": PathKind.FILE,
}


@dataclass(frozen=True, slots=True)
class ComfyModel:
    """Common properties of models loaded by ComfyUI's code."""

    kinds: Mapping[str, PathKind] = field(
        default_factory=lambda: {"diffusion_model": PathKind.COMFY, "vae": PathKind.COMFY}
    )

    def facts(
        self,
        blocks: str,
        count: int | None,
        encoder_type: str,
        *,
        framerate: int | None = None,
        cache_name: str | None = None,
        keys: frozenset[str] = frozenset(),
        frame_step: int = 1,
        frame_rest: int = 1,
        encoder_files: int = 1,
        pixels_to: int = 16,
    ) -> ModelFacts:
        """Return the facts; `blocks` names the lists of swappable blocks, `count` the length of the only one."""
        lists = tuple(blocks.split())
        return ModelFacts(
            alternatives=((*self.kinds, "text_encoders"),),
            kinds=self.kinds,
            framerate=framerate,
            cache_name=cache_name,
            swap=Swap("diffusion_model", lists, None if count is None else (count,), is_certain=False),
            comfy=True,
            frame_step=frame_step,
            frame_rest=frame_rest,
            encoder_type=encoder_type,
            encoder_files=encoder_files,
            keys=keys | {"merge_adapters", "text_encoders"},
            pixels_to=pixels_to,
            dtype_key="diffusion_model_dtype",
        )


@dataclass(frozen=True, slots=True)
class FileHint:
    """A word in the names of files that are rarely right for a slot, unless another word is there, too."""

    word: str
    description: Reason
    remedy: Reason
    unless: str = ""
    lacking: str = ""  #: a key of [model] that makes the file right


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """Everything that is known of one model type. `registry` derives all tables from these."""

    model_type: str  #: as the trainer's configuration spells it
    title: str
    medium: Medium
    facts: ModelFacts
    memory: MemoryNeed  #: GB of the smallest sufficient GPU and of a comfortable one (nominal), and the source of both
    memory_includes_swap: bool = False  #: the figures already assume swapped blocks
    #: Names of the fingerprints that fit, separated by spaces, by key of [model], or `key/part` for a directory's part.
    fits: Mapping[str, str]
    variants: tuple[ModelVariant, ...]
    presets: tuple[Preset, ...] = ()
    adapter: AdapterForm | None = None  #: None: names in saved models are not made of the parameters' names alone
    needs: tuple[str, ...] = ()  #: additional requirements of the trainer's environment
    pipeline: str | None = None  #: prefix of the pipeline class that is loaded from a directory (`from_pretrained`)
    removed_prefixes: tuple[str, ...] | None = (
        None  #: of tensor names, removed by the trainer; None: ComfyUI's code reads them
    )
    reads_control_images: bool = False
    has_own_loss: bool = False  #: the loss is always the mean squared error
    hints: Mapping[str, tuple[FileHint, ...]] = field(default_factory=dict)  #: by key of [model]
    slot_titles: Mapping[str, str] = field(default_factory=dict)  #: of keys whose files cannot be recognised, by key

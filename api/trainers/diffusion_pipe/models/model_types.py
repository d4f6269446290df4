"""The trainer's 24 model types: the paths that each needs, and its capabilities.

Taken from the trainer's `models/*.py`, commit 8f83dbf.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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
    """One model type. Each entry of `alternatives` is a set of keys that suffices to load it."""

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


F, C, S, W, D, E, P = (
    PathKind.FILE,
    PathKind.COMFY,
    PathKind.SAFETENSORS,
    PathKind.WEIGHTS,
    PathKind.DIRECTORY,
    PathKind.EITHER,
    PathKind.PRETRAINED,
)

_SHIFTS = frozenset({"shift", "flux_shift"})
_TIMESTEPS = _SHIFTS | {"timestep_sample_method", "sigmoid_scale"}
_LEARNING_RATES = frozenset({"self_attn_lr", "cross_attn_lr", "mlp_lr", "mod_lr", "llm_adapter_lr"})
_PREDICT2_KEYS = _LEARNING_RATES | {"multiscale_loss_weight", "text_encoder_nf4", "text_encoder_fp8"}
_PREDICT2_KINDS = {"transformer_path": F, "vae_path": F, "t5_path": F, "llm_path": E, "llm_adapter_path": F}


@dataclass(frozen=True, slots=True)
class _Comfy:
    """Common properties of models loaded by ComfyUI's code."""

    kinds: Mapping[str, PathKind] = field(default_factory=lambda: {"diffusion_model": C, "vae": C})

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


MODELS: Mapping[str, ModelFacts] = {
    "sdxl": ModelFacts(
        dtype_key=None,
        unread=_TIMESTEPS,
        alternatives=(("checkpoint_path",),),
        kinds={"checkpoint_path": F},
        lokr=False,
        keys=frozenset(
            {"v_pred", "min_snr_gamma", "debiased_estimation_loss", "unet_lr", "text_encoder_1_lr", "text_encoder_2_lr"}
        ),
    ),
    "flux": ModelFacts(
        swap=Swap("transformer_path", ("double_blocks", "single_blocks"), (19, 38)),
        alternatives=(("diffusers_path",),),
        kinds={"diffusers_path": P, "transformer_path": F},
        may_be_empty=frozenset({"transformer_path"}),
        lokr=False,
        keys=frozenset({"bypass_guidance_embedding", "guidance"}),
    ),
    "ltx-video": ModelFacts(
        frame_step=8,
        unread=_SHIFTS,
        alternatives=(("diffusers_path", "single_file_path"),),
        kinds={"diffusers_path": P, "single_file_path": F},
        lora_only=True,
        framerate=25,
        round_to=32,
        pixels_to=32,
        keys=frozenset({"first_frame_conditioning_p"}),
    ),
    "hunyuan-video": ModelFacts(
        unread=frozenset({"flux_shift"}),
        keys=frozenset({"guidance"}),
        swap=Swap("transformer_path", ("double_blocks", "single_blocks"), (20, 40)),
        frame_step=4,
        alternatives=(("ckpt_path",), ("transformer_path", "vae_path", "llm_path", "clip_path")),
        kinds={"ckpt_path": D, "transformer_path": S, "vae_path": S, "llm_path": P, "clip_path": P},
        may_be_empty=frozenset({"transformer_path", "vae_path"}),
        lora_only=True,
        framerate=24,
    ),
    "cosmos": ModelFacts(
        dtype_key=None,
        unread=_TIMESTEPS,
        frame_step=8,
        alternatives=(("transformer_path", "vae_path", "text_encoder_path"),),
        kinds={"transformer_path": F, "vae_path": F, "text_encoder_path": F},
        lora_only=True,
        framerate=24,
    ),
    "lumina_2": ModelFacts(
        dtype_key=None,
        unread=frozenset({"flux_shift"}),
        alternatives=(("transformer_path", "llm_path", "vae_path"),),
        kinds={"transformer_path": S, "llm_path": F, "vae_path": F},
        keys=frozenset({"lumina_shift"}),
    ),
    "wan": ModelFacts(
        swap=Swap("transformer_path", ("blocks",), None),
        frame_step=4,
        alternatives=(("ckpt_path",),),
        kinds={"ckpt_path": D, "transformer_path": W, "llm_path": F},
        may_be_empty=frozenset({"llm_path"}),
        framerate=16,
        keys=frozenset({"min_t", "max_t", "text_encoder_fp8"}),
        caches_text=False,
    ),
    "chroma": ModelFacts(
        swap=Swap("transformer_path", ("double_blocks", "single_blocks"), (19, 38)),
        alternatives=(("diffusers_path", "transformer_path"),),
        kinds={"diffusers_path": P, "transformer_path": F},
    ),
    "hidream": ModelFacts(
        swap=Swap("diffusers_path", ("double_stream_blocks", "single_stream_blocks"), (16, 32)),
        alternatives=(("diffusers_path", "llama3_path"),),
        kinds={"diffusers_path": P, "llama3_path": P},
        lora_only=True,
        keys=frozenset({"llama3_4bit", "max_llama3_sequence_length"}),
    ),
    "sd3": ModelFacts(alternatives=(("diffusers_path",),), kinds={"diffusers_path": P}, lora_only=True),
    "omnigen2": ModelFacts(
        alternatives=(("diffusers_path",),), kinds={"diffusers_path": P}, lora_only=True, dtype_key=None
    ),
    "cosmos_predict2": ModelFacts(
        swap=Swap("transformer_path", ("blocks",), None, is_certain=False),
        alternatives=(("transformer_path", "vae_path", "t5_path"), ("transformer_path", "vae_path", "llm_path")),
        kinds=_PREDICT2_KINDS,
        framerate=16,
        keys=_PREDICT2_KEYS,
        caches_text=False,
    ),
    "anima": ModelFacts(
        swap=Swap("transformer_path", ("blocks",), (28,), is_certain=False),
        alternatives=(("transformer_path", "vae_path", "llm_path"),),
        kinds=_PREDICT2_KINDS,
        framerate=16,
        keys=_PREDICT2_KEYS,
        caches_text=False,
    ),
    "qwen_image": ModelFacts(
        swap=Swap("transformer_path", ("transformer_blocks",), (60,)),
        alternatives=(("diffusers_path",), ("transformer_path", "text_encoder_path", "vae_path")),
        kinds={"diffusers_path": D, "transformer_path": W, "text_encoder_path": W, "vae_path": W},
    ),
    "hunyuan_image": ModelFacts(
        swap=Swap("transformer_path", ("double_blocks", "single_blocks"), (20, 40)),
        alternatives=(("transformer_path", "vae_path", "text_encoder_path", "byt5_path"),),
        kinds={"transformer_path": W, "vae_path": W, "text_encoder_path": W, "byt5_path": W},
        round_to=32,
    ),
    "auraflow": ModelFacts(
        swap=Swap("transformer_path", ("single_layers",), (32,)),
        alternatives=(("transformer_path", "text_encoder_path", "vae_path"),),
        kinds={"transformer_path": F, "text_encoder_path": W, "vae_path": W},
        lora_only=True,
        keys=frozenset({"max_sequence_length"}),
        required=("max_sequence_length",),
    ),
    "z_image": _Comfy().facts("layers", 30, "lumina2"),
    "hunyuan_video_15": _Comfy().facts(
        "double_blocks",
        54,
        "hunyuan_video_15",
        framerate=24,
        cache_name="hunyuan_video_1.5",
        frame_step=4,
        encoder_files=2,
    ),
    "flux2": _Comfy({"diffusion_model": S, "vae": C}).facts("double_blocks single_blocks", None, "flux2"),
    "ernie_image": _Comfy().facts("layers", 36, "flux2"),
    "ideogram4": _Comfy().facts("layers", 34, "ideogram4"),
    "krea2": _Comfy().facts("blocks", 28, "krea2"),
    "ltx2": ModelFacts(
        swap=Swap("diffusion_model", ("transformer_blocks",), (48,), is_certain=False),
        comfy=True,
        frame_step=8,
        alternatives=(("diffusion_model", "text_encoder"),),
        kinds={"diffusion_model": S, "text_encoder": C},
        framerate=24,
        pixels_to=32,
        keys=frozenset({"merge_adapters"}),
        dtype_key="diffusion_model_dtype",
    ),
    "minimax_h3": _Comfy({"diffusion_model": C, "vae": C, "audio_vae": C}).facts(
        "blocks",
        50,
        "minimax",
        framerate=24,
        keys=frozenset({"cfg", "image_shift"}),
        frame_step=17,
        frame_rest=0,
        pixels_to=32,
    ),
}

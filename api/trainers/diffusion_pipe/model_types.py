"""The trainer's 24 model types: the paths each needs, and what it can and cannot do.

Read from the trainer's `models/*.py`, commit 8f83dbf.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class PathKind(StrEnum):
    """What the trainer opens a path as."""

    FILE = "file"  #: any weights file
    SAFETENSORS = "safetensors"  #: a .safetensors file
    WEIGHTS = "weights"  #: a .safetensors file, or a directory with such files
    DIRECTORY = "directory"
    EITHER = "either"  #: a file or a directory
    PRETRAINED = "pretrained"  #: a directory; a name on Hugging Face is downloaded


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model type. Each of `alternatives` is a set of keys that is enough to load it."""

    alternatives: tuple[tuple[str, ...], ...]
    kinds: Mapping[str, PathKind]
    lora_only: bool = False
    lokr: bool = True
    block_swap: bool = True
    framerate: int | None = None  #: frames a second; None: it takes no videos
    round_to: int = 16  #: pixels; width and height become multiples of it
    cache_name: str | None = None  #: the directory below `cache`; None is the type itself
    keys: frozenset[str] = frozenset()  #: further keys of [model]
    required: tuple[str, ...] = ()  #: keys of [model] that are no paths
    may_be_empty: frozenset[str] = frozenset()  #: paths whose empty text means that they are not given
    dtype_key: str = "transformer_dtype"


F, S, W, D, E, P = (
    PathKind.FILE,
    PathKind.SAFETENSORS,
    PathKind.WEIGHTS,
    PathKind.DIRECTORY,
    PathKind.EITHER,
    PathKind.PRETRAINED,
)

_LEARNING_RATES = frozenset({"self_attn_lr", "cross_attn_lr", "mlp_lr", "mod_lr", "llm_adapter_lr"})
_PREDICT2_KEYS = _LEARNING_RATES | {"multiscale_loss_weight", "text_encoder_nf4", "text_encoder_fp8"}
_PREDICT2_KINDS = {"transformer_path": F, "vae_path": F, "t5_path": F, "llm_path": E, "llm_adapter_path": F}


@dataclass(frozen=True, slots=True)
class _Comfy:
    """What the models loaded by ComfyUI's code have in common."""

    kinds: Mapping[str, PathKind] = field(default_factory=lambda: {"diffusion_model": F, "vae": F})

    def facts(
        self, *, framerate: int | None = None, cache_name: str | None = None, keys: frozenset[str] = frozenset()
    ) -> ModelFacts:
        return ModelFacts(
            alternatives=((*self.kinds, "text_encoders"),),
            kinds=self.kinds,
            framerate=framerate,
            cache_name=cache_name,
            keys=keys | {"merge_adapters", "text_encoders"},
            dtype_key="diffusion_model_dtype",
        )


MODELS: Mapping[str, ModelFacts] = {
    "sdxl": ModelFacts(
        alternatives=(("checkpoint_path",),),
        kinds={"checkpoint_path": F},
        lokr=False,
        block_swap=False,
        keys=frozenset(
            {"v_pred", "min_snr_gamma", "debiased_estimation_loss", "unet_lr", "text_encoder_1_lr", "text_encoder_2_lr"}
        ),
    ),
    "flux": ModelFacts(
        alternatives=(("diffusers_path",),),
        kinds={"diffusers_path": P, "transformer_path": F},
        may_be_empty=frozenset({"transformer_path"}),
        lokr=False,
        keys=frozenset({"bypass_guidance_embedding"}),
    ),
    "ltx-video": ModelFacts(
        alternatives=(("diffusers_path", "single_file_path"),),
        kinds={"diffusers_path": P, "single_file_path": F},
        lora_only=True,
        block_swap=False,
        framerate=25,
        round_to=32,
        keys=frozenset({"first_frame_conditioning_p"}),
    ),
    "hunyuan-video": ModelFacts(
        alternatives=(("ckpt_path",), ("transformer_path", "vae_path", "llm_path", "clip_path")),
        kinds={"ckpt_path": D, "transformer_path": S, "vae_path": S, "llm_path": P, "clip_path": P},
        may_be_empty=frozenset({"transformer_path", "vae_path"}),
        lora_only=True,
        framerate=24,
    ),
    "cosmos": ModelFacts(
        alternatives=(("transformer_path", "vae_path", "text_encoder_path"),),
        kinds={"transformer_path": F, "vae_path": F, "text_encoder_path": F},
        lora_only=True,
        block_swap=False,
        framerate=24,
    ),
    "lumina_2": ModelFacts(
        alternatives=(("transformer_path", "llm_path", "vae_path"),),
        kinds={"transformer_path": S, "llm_path": F, "vae_path": F},
        block_swap=False,
        keys=frozenset({"lumina_shift"}),
    ),
    "wan": ModelFacts(
        alternatives=(("ckpt_path",),),
        kinds={"ckpt_path": D, "transformer_path": W, "llm_path": F},
        may_be_empty=frozenset({"llm_path"}),
        framerate=16,
        keys=frozenset({"min_t", "max_t", "text_encoder_fp8"}),
    ),
    "chroma": ModelFacts(
        alternatives=(("diffusers_path", "transformer_path"),),
        kinds={"diffusers_path": P, "transformer_path": F},
    ),
    "hidream": ModelFacts(
        alternatives=(("diffusers_path", "llama3_path"),),
        kinds={"diffusers_path": P, "llama3_path": P},
        lora_only=True,
        keys=frozenset({"llama3_4bit", "max_llama3_sequence_length"}),
    ),
    "sd3": ModelFacts(
        alternatives=(("diffusers_path",),), kinds={"diffusers_path": P}, lora_only=True, block_swap=False
    ),
    "omnigen2": ModelFacts(
        alternatives=(("diffusers_path",),), kinds={"diffusers_path": P}, lora_only=True, block_swap=False
    ),
    "cosmos_predict2": ModelFacts(
        alternatives=(("transformer_path", "vae_path", "t5_path"), ("transformer_path", "vae_path", "llm_path")),
        kinds=_PREDICT2_KINDS,
        framerate=16,
        keys=_PREDICT2_KEYS,
    ),
    "anima": ModelFacts(
        alternatives=(("transformer_path", "vae_path", "llm_path"),),
        kinds=_PREDICT2_KINDS,
        framerate=16,
        keys=_PREDICT2_KEYS,
    ),
    "qwen_image": ModelFacts(
        alternatives=(("diffusers_path",), ("transformer_path", "text_encoder_path", "vae_path")),
        kinds={"diffusers_path": D, "transformer_path": W, "text_encoder_path": W, "vae_path": W},
    ),
    "hunyuan_image": ModelFacts(
        alternatives=(("transformer_path", "vae_path", "text_encoder_path", "byt5_path"),),
        kinds={"transformer_path": W, "vae_path": W, "text_encoder_path": W, "byt5_path": W},
        round_to=32,
    ),
    "auraflow": ModelFacts(
        alternatives=(("transformer_path", "text_encoder_path", "vae_path"),),
        kinds={"transformer_path": F, "text_encoder_path": W, "vae_path": W},
        lora_only=True,
        keys=frozenset({"max_sequence_length"}),
        required=("max_sequence_length",),
    ),
    "z_image": _Comfy().facts(),
    "hunyuan_video_15": _Comfy().facts(framerate=24, cache_name="hunyuan_video_1.5"),
    "flux2": _Comfy().facts(),
    "ernie_image": _Comfy().facts(),
    "ideogram4": _Comfy().facts(),
    "krea2": _Comfy().facts(),
    "ltx2": ModelFacts(
        alternatives=(("diffusion_model", "text_encoder"),),
        kinds={"diffusion_model": S, "text_encoder": F},
        framerate=24,
        keys=frozenset({"merge_adapters"}),
        dtype_key="diffusion_model_dtype",
    ),
    "minimax_h3": _Comfy({"diffusion_model": F, "vae": F, "audio_vae": F}).facts(
        framerate=24, keys=frozenset({"cfg", "image_shift"})
    ),
}

"""Wan 2.1 and 2.2."""

from collections.abc import Mapping

from api.domain.models.base_model import (
    ComponentNeed,
    FileSource,
    Medium,
    MemoryNeed,
    ModelVariant,
    Origin,
    Precision,
    Preset,
)
from api.files.weights.header import COMFY_PREFIX
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import (
    ModelDescription,
    ModelFacts,
    PathKind,
    Swap,
)
from api.trainers.diffusion_pipe.models.parts import (
    SPLIT,
    H,
    U,
    need,
    source,
)
from api.trainers.diffusion_pipe.models.recipes import (
    ADAMW,
    DOCS,
    FLOAT8,
    KAHAN,
    preset,
)

_WAN21, _WAN22 = "Comfy-Org/Wan_2.1_ComfyUI_repackaged", "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"

_WAN_UMT5 = need(
    "llm_path",
    "the text encoder UMT5-XXL",
    source(_WAN21, f"{SPLIT}/text_encoders/umt5_xxl_fp16.safetensors", 11.4, H),
    known_as="umt5-xxl umt5-xxl-wan",
)


def _wan(
    name: str,
    title: str,
    repository: str,
    kind: str,
    weights: FileSource | None,
    known_as: str,
    *,
    size_gb: float | None = None,
    note: str | None = None,
    settings: Mapping[str, float] | None = None,
    needs_name: bool = True,
) -> ModelVariant:
    """Return a variant of Wan: its original directory, without the transformer if that is a separate file."""
    excluded = ("diffusion_pytorch_model*", "*/diffusion_pytorch_model*", "models_t5*", "assets/*", "examples/*")
    own = () if weights is not None else ("models_t5*", "assets/*", "examples/*")
    directory = need(
        "ckpt_path",
        f"the directory of {title}" + (", without its transformer" if weights is not None else ""),
        source(repository, "", size_gb, U, *(excluded if weights is not None else own)),
        directory=f"wan:{kind}",
        is_pickle=True,
    )
    parts: tuple[ComponentNeed, ...] = (directory,)
    if weights is not None:
        transformer = need(
            "transformer_path", f"the transformer of {title}", weights, known_as=known_as, needs_name=needs_name
        )
        parts += (transformer,)
    return ModelVariant(name, title, (*parts, _WAN_UMT5), note, dict(settings or {}))


def _wan21(file: str, size_gb: float, origin: Origin = H) -> FileSource:
    return source(_WAN21, f"{SPLIT}/diffusion_models/{file}.safetensors", size_gb, origin)


def _wan22(task: str, noise: str) -> ModelVariant:
    # One run trains one of the two models; the boundary is from the trainer's documentation.
    border = 0.9 if task == "i2v" else 0.875
    low = noise == "low"
    return _wan(
        f"2.2-{task}-a14b-{noise}",
        f"Wan 2.2 {task.upper()}-A14B, {noise} noise",
        f"Wan-AI/Wan2.2-{task.upper()}-A14B",
        f"{task}:5120",
        source(_WAN22, f"{SPLIT}/diffusion_models/wan2.2_{task}_{noise}_noise_14B_fp16.safetensors", 28.6, H),
        "wan-2.2-i2v-14b" if task == "i2v" else "wan-t2v-14b",
        note="One training trains one of the two models, for low or for high noise."
        + (" It accepts only videos." if task == "i2v" else ""),
        settings={"min_t": 0.0 if low else border, "max_t": border if low else 1.0},
    )


_WAN = (
    _wan(
        "2.1-t2v-1.3b",
        "Wan 2.1 T2V-1.3B",
        "Wan-AI/Wan2.1-T2V-1.3B",
        "t2v:1536",
        _wan21("wan2.1_t2v_1.3B_bf16", 2.8),
        "wan-2.1-t2v-1.3b",
        needs_name=False,
    ),
    _wan(
        "2.1-t2v-14b",
        "Wan 2.1 T2V-14B",
        "Wan-AI/Wan2.1-T2V-14B",
        "t2v:5120",
        _wan21("wan2.1_t2v_14B_bf16", 28.6),
        "wan-t2v-14b",
    ),
    *(
        _wan(
            f"2.1-{task}-14b-{size}",
            f"Wan 2.1 {task.upper()}-14B-{size.upper()}",
            f"Wan-AI/Wan2.1-{task.upper()}-14B-{size.upper()}",
            f"{task}:5120",
            _wan21(f"wan2.1_{task}_{size}_14B_fp16", 32.8),
            f"wan-2.1-{task}-14b",
            note="It accepts only videos.",
        )
        for task, size in (("i2v", "480p"), ("i2v", "720p"), ("flf2v", "720p"))
    ),
    *(_wan22(task, noise) for task in ("t2v", "i2v") for noise in ("low", "high")),
    _wan("2.2-ti2v-5b", "Wan 2.2 TI2V-5B", "Wan-AI/Wan2.2-TI2V-5B", "ti2v:3072", None, "wan-2.2-ti2v-5b", size_gb=20),
    _wan(
        "2.1-fun-1.3b-inp",
        "Wan 2.1 Fun 1.3B InP",
        "alibaba-pai/Wan2.1-Fun-1.3B-InP",
        "i2v:1536",
        None,
        "wan-2.1-i2v-1.3b",
        size_gb=3.1,
        note="It accepts only videos.",
    ),
)


def _noise_preset(noise: str) -> Preset:
    """Return the preset of one of Wan 2.2's two models; the variant sets min_t and max_t."""
    return preset(
        f"24gb-2.2-{noise}",
        f"2.2-t2v-a14b-{noise}",
        24,
        f"Wan 2.2 T2V, {noise} noise: float8, 32 blocks swapped, 65 frames at 512 px, as of Wan 2.1 14B",
        f"examples/wan_14b_min_vram.toml, {DOCS} (Wan2.2)",
        512,
        model=FLOAT8,
        frames=(1, 33, 65),
        optimizer=KAHAN,
        blocks_to_swap=32,
        activation_checkpointing="unsloth",
    )


_TRANSFORMERS = (
    "wan-2.1-t2v-1.3b wan-2.1-i2v-1.3b wan-t2v-14b wan-2.1-flf2v-14b wan-2.1-i2v-14b wan-2.2-i2v-14b wan-2.2-ti2v-5b"
)

MODEL = ModelDescription(
    model_type="wan",
    title="Wan 2.1 and 2.2",
    medium=Medium.VIDEO,
    facts=ModelFacts(
        swap=Swap("transformer_path", ("blocks",), None),
        frame_step=4,
        alternatives=(("ckpt_path",),),
        kinds={"ckpt_path": PathKind.DIRECTORY, "transformer_path": PathKind.WEIGHTS, "llm_path": PathKind.FILE},
        may_be_empty=frozenset({"llm_path"}),
        framerate=16,
        keys=frozenset({"min_t", "max_t", "text_encoder_fp8"}),
        caches_text=False,
    ),
    memory=MemoryNeed(12, 24, "The 1.3B on 12 GB; the 14B on 24, on 16 with much RAM.", Origin.REPORT),
    needs=("flash-attn",),
    adapter=AdapterForm(("blocks",)),
    removed_prefixes=(COMFY_PREFIX,),
    fits={
        "transformer_path": _TRANSFORMERS,
        "ckpt_path": _TRANSFORMERS,
        "ckpt_path/image_encoder": "clip-vision-h",
        "ckpt_path/text_encoder": "umt5-xxl-wan",
        "ckpt_path/vae": "vae-wan-2.2 vae-wan-2.1",
        "llm_path": "umt5-xxl-wan umt5-xxl",
    },
    variants=_WAN,
    presets=(
        preset(
            "16gb",
            "2.1-t2v-14b",
            16,
            "float8, 38 blocks swapped, 17 frames at 512 px; needs 40 GB of RAM (#149)",
            "tdrussell/diffusion-pipe#153",
            512,
            model=FLOAT8,
            frames=(1, 17),
            optimizer=KAHAN,
            known_memory_gb=12.2,
            blocks_to_swap=38,
            activation_checkpointing="unsloth",
        ),
        preset(
            "24gb",
            "2.1-t2v-14b",
            24,
            "float8, 32 blocks swapped, 65 frames at 512 px (#129)",
            "examples/wan_14b_min_vram.toml",
            512,
            model=FLOAT8,
            frames=(1, 33, 65),
            optimizer=KAHAN,
            blocks_to_swap=32,
            activation_checkpointing="unsloth",
        ),
        preset(
            "48gb",
            "2.1-i2v-14b-480p",
            48,
            "2 blocks swapped, 33 and 61 frames; 120 to 180 s a step on an A6000",
            "tdrussell/diffusion-pipe#152",
            480,
            frames=(33, 61),
            optimizer={**ADAMW, "lr": 6e-5},
            blocks_to_swap=2,
        ),
        preset(
            "80gb",
            "2.1-t2v-14b",
            80,
            "bf16, 81 frames of 1280x720: close to the limit",
            "tdrussell/diffusion-pipe#153",
            960,
            precisions={"transformer_path": Precision.BF16},
            frames=(1, 81),
        ),
        _noise_preset("low"),
        _noise_preset("high"),
    ),
)

"""HiDream-I1."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind, Swap
from api.trainers.diffusion_pipe.models.parts import U, diffusers, need, source
from api.trainers.diffusion_pipe.models.recipes import FLOAT8, preset

MODEL = ModelDescription(
    model_type="hidream",
    title="HiDream-I1",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        swap=Swap("diffusers_path", ("double_stream_blocks", "single_stream_blocks"), (16, 32)),
        alternatives=(("diffusers_path", "llama3_path"),),
        kinds={"diffusers_path": PathKind.PRETRAINED, "llama3_path": PathKind.PRETRAINED},
        lora_only=True,
        keys=frozenset({"llama3_4bit", "max_llama3_sequence_length"}),
    ),
    memory=MemoryNeed(24, 48, "48 GB without block swapping, 24 with.", Origin.TRAINER_DOCS),
    memory_includes_swap=True,
    needs=("flash-attn", "submodules/HiDream"),
    adapter=AdapterForm(("double_stream_blocks", "single_stream_blocks"), first=2),
    pipeline="HiDream",
    removed_prefixes=(),
    fits={
        "diffusers_path/text_encoder": "clip-l",
        "diffusers_path/text_encoder_2": "clip-g",
        "diffusers_path/text_encoder_3": "t5-xxl",
        "diffusers_path/transformer": "hidream",
        "diffusers_path/vae": "vae-flux-diffusers",
        "llama3_path": "llama-3-8b",
    },
    variants=(
        ModelVariant(
            "i1-full",
            "HiDream-I1 Full",
            (
                diffusers(
                    "HiDream-I1 Full in diffusers' form", "HiDream-ai/HiDream-I1-Full", 47, "HiDreamImagePipeline"
                ),
                need(
                    "llama3_path",
                    "the language model Llama 3.1 8B Instruct",
                    source("unsloth/Meta-Llama-3.1-8B-Instruct", "", 16),
                    source("meta-llama/Meta-Llama-3.1-8B-Instruct", "", 16, U, "original/*"),
                    known_as="llama-3-8b",
                    directory="transformers:LlamaForCausalLM",
                ),
            ),
        ),
    ),
    presets=(
        preset(
            "24gb",
            "i1-full",
            24,
            "float8, 28 blocks swapped, on a 4090",
            "tdrussell/diffusion-pipe#268",
            1024,
            model=FLOAT8,
            blocks_to_swap=28,
        ),
        preset(
            "48gb",
            "i1-full",
            48,
            "float8, no blocks swapped",
            "the trainer's documentation",
            1024,
            model=FLOAT8,
        ),
    ),
)

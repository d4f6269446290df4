"""OmniGen2."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ModelDescription, ModelFacts, PathKind
from api.trainers.diffusion_pipe.models.parts import diffusers

MODEL = ModelDescription(
    model_type="omnigen2",
    title="OmniGen2",
    medium=Medium.IMAGE,
    facts=ModelFacts(
        alternatives=(("diffusers_path",),),
        kinds={"diffusers_path": PathKind.PRETRAINED},
        lora_only=True,
        dtype_key=None,
    ),
    memory=MemoryNeed(24, None, "An estimate without reports.", Origin.UNVERIFIED),
    needs=("submodules/OmniGen2",),
    adapter=AdapterForm(("layers",)),
    pipeline="OmniGen2",
    removed_prefixes=(),
    fits={
        "diffusers_path/transformer": "omnigen2",
        "diffusers_path/vae": "vae-flux-diffusers",
    },
    variants=(ModelVariant("2", "OmniGen2", (diffusers("OmniGen2", "OmniGen2/OmniGen2", 16, "OmniGen2Pipeline"),)),),
)

"""Schemas of forms with a sample or a model, and of their answers."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.catalog.registry.schemas import RegistryName
from api.catalog.transfers.download_schemas import Sha256
from api.domain.samples.library_sample import MOST_PROMPT, MOST_STEP, SEED, SampleSettings, SampleView
from api.trainers.diffusion_pipe.models.registry import ModelType
from api.util.http.pagination import Pagination
from api.util.http.validation import NO_NUL, Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import Shown

Prompt = Annotated[str, Field(max_length=MOST_PROMPT, pattern=NO_NUL), AfterValidator(mask_secrets)]


class SampleForm(Strict):
    """The fields beside a sample's file: how it was made."""

    prompt: Prompt | None = Field(None, description="the prompt")
    seed: str | None = Field(None, pattern=f"^{SEED}$", description="the seed of the random generator, as digits")
    step: int | None = Field(None, ge=0, le=MOST_STEP, description="the training step, if known")

    def settings(self) -> SampleSettings:
        """Return the settings for the service."""
        return SampleSettings(self.prompt, self.seed, self.step)


class ModelForm(Strict):
    """The fields beside a model's file."""

    name: RegistryName = Field(description="the model's name; a missing model is created")
    model_type: ModelType | None = Field(None, description="the model type that the file is for")
    component: str | None = Field(None, max_length=64, description="a key of [model] of that type")
    sha256: Sha256 | None = Field(None, description="the hash that the file must have; required for a pickle")


class SamplePictureQuery(Strict):
    """The size of a thumbnail."""

    size: int = Field(256, ge=16, le=512, description="the longer side in pixels, rounded up to 128, 256 or 512")


class SampleList(Shown):
    """A page of samples, oldest first."""

    samples: list[SampleView]
    pagination: Pagination

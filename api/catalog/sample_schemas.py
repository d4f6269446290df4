"""What forms with a sample or a model may hold, and what their answers look like."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.catalog.download_schemas import Sha256
from api.catalog.registry_schemas import RegistryName
from api.domain.model_memory import ModelType
from api.domain.sample import MOST_PROMPT, MOST_STEP, SEED, SampleDeleted, SampleSettings, SampleView
from api.util.masking import mask_secrets
from api.util.pagination import Pagination
from api.util.validation import NO_NUL, Strict
from api.web.schemas import Envelope, Shown

Prompt = Annotated[str, Field(max_length=MOST_PROMPT, pattern=NO_NUL), AfterValidator(mask_secrets)]


class SampleForm(Strict):
    """What is said beside the file: how it was made."""

    prompt: Prompt | None = Field(None, description="what was asked for")
    seed: str | None = Field(None, pattern=f"^{SEED}$", description="of the random generator: digits")
    step: int | None = Field(None, ge=0, le=MOST_STEP, description="of the training, where that is known")

    def settings(self) -> SampleSettings:
        """The same as the service takes it."""
        return SampleSettings(self.prompt, self.seed, self.step)


class ModelForm(Strict):
    """What is said beside the file: what it is to become."""

    name: RegistryName = Field(description="of the model; it is made where there is none")
    model_type: ModelType | None = Field(None, description="what it is for")
    component: str | None = Field(None, max_length=64, description="a key of [model] of that type")
    sha256: Sha256 | None = Field(None, description="what the file must be; a pickle is only taken so")


class SamplePictureQuery(Strict):
    """Says how large a picture is to be."""

    size: int = Field(256, ge=16, le=512, description="pixels of the longer side: 128, 256 or 512 at most")


class SampleList(Shown):
    """Samples, oldest first."""

    samples: list[SampleView]
    pagination: Pagination


class SampleAnswer(Envelope[SampleView]):
    """A sample."""


class SampleListAnswer(Envelope[SampleList]):
    """Samples of a version."""


class SampleDeletedAnswer(Envelope[SampleDeleted]):
    """A sample that is gone."""

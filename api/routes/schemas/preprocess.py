"""What forms with a file may hold, and what the answers about their tasks look like."""

from pydantic import Field

from api.models.dataset import DATASET_NAME, MAX_CAPTION
from api.models.model_memory import ModelType
from api.models.preprocess_view import PreprocessView
from api.models.upload import FormSettings
from api.routes.schemas.common import Envelope
from api.utils.validation import Strict


class UploadForm(Strict):
    """What is said beside the file."""

    prompt: str | None = Field(None, max_length=MAX_CAPTION, description="the caption; of an archive, where none came")
    model_type: ModelType | None = Field(None, description="what it is for")
    fps: float | None = Field(None, gt=0, le=240, description="frames a second that a clip is to have")
    resolution: str | None = Field(None, pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$", description="such as 512x512")
    dataset: str | None = Field(None, pattern=f"^{DATASET_NAME}$", description="made when new; else called as the task")

    def settings(self) -> FormSettings:
        """The same as the service takes it."""
        return FormSettings(self.prompt, self.model_type, self.fps, self.resolution, self.dataset)


class PreprocessAnswer(Envelope[PreprocessView]):
    """One task."""

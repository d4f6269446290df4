"""The labels of a task in requests: what a start sets, and what a resume and a change replace."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from api.domain.tasks.labels import LABELS, PriorityClass
from api.util.http.validation import NO_NUL, ONE_LINE, Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import Name, Tags, Time, utc, whole

Description = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$"), AfterValidator(mask_secrets)]
Notes = Annotated[str, Field(max_length=10_000, pattern=NO_NUL), AfterValidator(mask_secrets)]
TriggerWord = Annotated[str, Field(min_length=1, max_length=200, pattern=ONE_LINE), AfterValidator(mask_secrets)]
Priority = Annotated[int, Field(ge=-1000, le=1000), BeforeValidator(whole)]
Class = Annotated[PriorityClass, Field(strict=False)]
Start = Annotated[Time, Field(strict=False), AfterValidator(utc)]

_CLASS = (
    "orders the queue before `priority`; an urgent training that finds no free GPU makes background trainings stop "
    "with a checkpoint; they resume automatically later"
)


class _WithLabels(Strict):
    def given_labels(self) -> dict[str, Any]:
        """Return the given labels by name."""
        given = {name: getattr(self, name) for name in LABELS if name in self.model_fields_set}
        return {**given, "tags": tuple(dict.fromkeys(given["tags"] or ()))} if "tags" in given else given


class StartLabels(_WithLabels):
    """The labels of a new task."""

    name: Name | None = None
    description: Description | None = None
    tags: Tags = Field(default_factory=list, description="words by which trainings are found and filtered")
    notes: Notes | None = None
    trigger_word: TriggerWord | None = Field(
        None, description="word in prompts that calls what is trained; written into the models that people download"
    )
    priority: Priority = Field(0, description="higher priorities of a class start first, then older tasks")
    priority_class: Class = Field(PriorityClass.NORMAL, description=_CLASS)
    not_before: Start | None = Field(None, description="it waits until this time, with its zone; null: starts anytime")


class ResumeLabels(_WithLabels):
    """Labels that a resume can replace. Those that are not given stay."""

    tags: Tags | None = Field(None, description="replaces all tags; null removes them; they stay if omitted")
    notes: Notes | None = Field(None, description="replaces the notes; null removes them; they stay if omitted")
    trigger_word: TriggerWord | None = Field(
        None, description="replaces the trigger word; null removes it; it stays if omitted"
    )


def without_default(schema: dict[str, Any]) -> None:
    """Hide the default of a field that stays unchanged when it is omitted."""
    del schema["default"]


class PatchLabels(ResumeLabels):
    """Labels that can change at any time. Null removes any but priority and class."""

    name: Name | None = None
    description: Description | None = None
    priority: Priority = Field(0, json_schema_extra=without_default)  #: from -1000 to 1000; higher ones start first
    priority_class: Class = Field(PriorityClass.NORMAL, json_schema_extra=without_default, description=_CLASS)
    not_before: Start | None = Field(None, description="it waits until this time, with its zone; null: starts anytime")

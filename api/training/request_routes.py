"""The body of `validate` and `start`: read so far as it can be, with every mistake in its form."""

from typing import Any

from pydantic import GetJsonSchemaHandler, RootModel, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from api.domain.training import TrainingRequest
from api.errors import Mistake
from api.training.schemas import StartTraining
from api.util.bounds import excess
from api.util.validation import details_of, mistakes_in

#: Bounds on values and depth of a body, far above what any trainer takes; trainers bound the rest.
MAX_VALUES = 20_000
MAX_DEPTH = 64

#: The fields that a mistake about the body as a whole is about: at most one of them may be given.
_GPU_FIELDS = ("gpu_id", "gpu_ids", "gpu_count")


class StartBody(RootModel[Any]):
    """Any JSON, described as a training: its form is checked together with what is in it."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of StartTraining."""
        return handler.resolve_ref_schema(handler(StartTraining.__pydantic_core_schema__))


def read_start(body: Any) -> tuple[TrainingRequest | None, list[Mistake]]:
    """The request without the fields that are wrong, and what is wrong with them: the rest can be checked as well.

    None when nothing is left that could be.
    """
    mistakes: list[Mistake] = []
    too_much = excess(body, depth=MAX_DEPTH, count=MAX_VALUES)
    if too_much is not None:
        return None, [Mistake("", too_much, "Leave some out.")]
    while True:
        try:
            return StartTraining.model_validate(body).request(), mistakes
        except ValidationError as error:
            mistakes += mistakes_in(error)
            wrong = {str(found["loc"][0]) for found in details_of(error) if found["loc"]} or set(_GPU_FIELDS)
            rest = {name: value for name, value in body.items() if name not in wrong} if isinstance(body, dict) else {}
            if "model_type" not in rest or rest == body:
                return None, mistakes
            body = rest

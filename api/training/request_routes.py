"""The body of `validate` and `start`, parsed as far as possible so that all errors are reported together."""

from typing import Any

from pydantic import GetJsonSchemaHandler, RootModel, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from api.domain.training import TrainingRequest
from api.errors import Finding
from api.training.schemas import StartTraining
from api.util.bounds import excess
from api.util.validation import details_of, mistakes_in

#: Limits on the number and depth of values in a body, far above what any trainer needs.
MAX_VALUES = 20_000
MAX_DEPTH = 64

#: Fields that an error about the body as a whole concerns. At most one of them may be given.
_GPU_FIELDS = ("gpu_id", "gpu_ids", "gpu_count")


class StartBody(RootModel[Any]):
    """Any JSON, documented as a training. The form and the values are checked together."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of StartTraining."""
        return handler.resolve_ref_schema(handler(StartTraining.__pydantic_core_schema__))


def read_start(body: Any) -> tuple[TrainingRequest | None, list[Finding]]:
    """Return the request without its invalid fields, and the errors in them.

    The request is None if the rest cannot be checked.
    """
    mistakes: list[Finding] = []
    too_much = excess(body, depth=MAX_DEPTH, count=MAX_VALUES)
    if too_much is not None:
        return None, [Finding("", too_much, "Leave some out.")]
    while True:
        try:
            return StartTraining.model_validate(body).request(), mistakes
        except ValidationError as error:
            mistakes += mistakes_in(error)
            invalid = {str(found["loc"][0]) for found in details_of(error) if found["loc"]} or set(_GPU_FIELDS)
            rest = (
                {name: value for name, value in body.items() if name not in invalid} if isinstance(body, dict) else {}
            )
            if "model_type" not in rest or rest == body:
                return None, mistakes
            body = rest

"""JSON of the database as the dataclass that was written."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


class TypedJSON(Generic[T]):
    """Reads JSON of one type."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind

    def read(self, document: Any) -> T:
        """The value that this JSON is. Raises pydantic's ValidationError when it is no such thing."""
        return self._adapter.validate_python(document)

    @cached_property
    def _adapter(self) -> "TypeAdapter[T]":
        # Loaded with the first row that has such JSON: 10 MB.
        from pydantic import TypeAdapter  # noqa: PLC0415

        return TypeAdapter(self._kind)

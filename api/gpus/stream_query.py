"""The query of the stream of the GPUs."""

from typing import Annotated

from pydantic import ConfigDict, Field

from api.streaming.query_parameters import StreamQuery, read_query

_LONGEST_NAME = 255


class GPUStreamQuery(StreamQuery):
    """Says of which machine GPUs are wanted."""

    model_config = ConfigDict(extra="ignore")

    node: Annotated[str, Field(max_length=_LONGEST_NAME)] | None = None


def read_node(query: str) -> str | None:
    """The one machine that this query asks for; None for all. Raises Invalid and MalformedRequest."""
    return read_query(GPUStreamQuery, query).node

"""Schemas of the file browser, the setup checklist, and settings that can be changed without a restart."""

from typing import Annotated

from pydantic import ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from api.util.http.validation import Strict
from api.web.schemas import PageQuery


class FileQuery(PageQuery):
    """The directory to list."""

    path: str | None = Field(
        None, min_length=1, max_length=4095, description="absolute path; none: the directories in which to start"
    )
    only_directories: bool = Field(False, description="true leaves out files")


_Value = StrictStr | StrictInt | StrictFloat | Annotated[list[StrictStr], Field(max_length=64)] | None


class ChangeSettings(Strict):
    """New values of settings."""

    model_config = ConfigDict(json_schema_extra={"example": {"values": {"CAPTION_MODEL": "qwen2.5vl"}}})

    values: dict[str, _Value] = Field(
        min_length=1, max_length=64, description="new values by key; null removes a stored value"
    )

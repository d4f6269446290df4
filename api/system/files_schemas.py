"""Schemas of the file browser."""

from pydantic import Field

from api.system.files_views import FileListing
from api.web.schemas import Envelope, PageQuery


class FileQuery(PageQuery):
    """The directory to list."""

    path: str | None = Field(
        None, min_length=1, max_length=4095, description="absolute path; none: the directories in which to start"
    )
    only_directories: bool = Field(False, description="true leaves out files")


class FileListingAnswer(Envelope[FileListing]):
    """The answer with the entries of a directory."""

"""What questions about uploads may hold, and what their answers look like."""

from pydantic import Field

from api.domain.upload import UploadStatus, UploadView
from api.util.pagination import Pagination
from api.web.schemas import Envelope, PageQuery, Shown


class UploadsQuery(PageQuery):
    """Says which uploads are wanted."""

    status: UploadStatus | None = Field(None, description="only those with this status")


class UploadPage(Shown):
    """Some uploads."""

    uploads: list[UploadView]
    pagination: Pagination


class UploadAnswer(Envelope[UploadView]):
    """One upload."""


class UploadPageAnswer(Envelope[UploadPage]):
    """A page of uploads."""

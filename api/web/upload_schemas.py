"""Schemas of requests and responses about uploads."""

from pydantic import Field

from api.domain.upload import UploadStatus, UploadView
from api.util.pagination import Pagination
from api.web.schemas import Envelope, PageQuery, Shown


class UploadsQuery(PageQuery):
    """Filters for uploads."""

    status: UploadStatus | None = Field(None, description="only uploads with this status")


class UploadPage(Shown):
    """A page of uploads."""

    uploads: list[UploadView]
    pagination: Pagination


class UploadAnswer(Envelope[UploadView]):
    """One upload."""


class UploadPageAnswer(Envelope[UploadPage]):
    """A page of uploads."""

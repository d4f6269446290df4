"""Request and response schemas for datasets."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from api.datasets.caption_edits import CaptionEditRequest
from api.datasets.item_edits import ItemChanges
from api.datasets.versions.splitting import SplitRequest
from api.datasets.views import (
    DatasetRow,
    ItemView,
    VersionView,
)
from api.domain.datasets.dataset import DATASET_NAME, ITEM_ID, MAX_CAPTION
from api.domain.datasets.dataset_cache import DatasetCacheView
from api.util.http.pagination import Pagination
from api.util.http.validation import NO_NUL, Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import Name, NamedChange, PageQuery, Shown, Tags, at_least_one, at_most_one

DatasetName = Annotated[str, Field(pattern=f"^{DATASET_NAME}$", description="letters, digits, . _ -")]
ItemId = Annotated[str, Field(pattern=f"^{ITEM_ID}$")]
Description = Annotated[str, Field(max_length=4000, pattern=NO_NUL), AfterValidator(mask_secrets)]
Caption = Annotated[str, Field(max_length=MAX_CAPTION, pattern=NO_NUL)]
Affix = Annotated[str, Field(min_length=1, max_length=1000, pattern=NO_NUL)]
ItemIds = Annotated[list[ItemId], Field(min_length=1, max_length=10_000)]
Search = Annotated[str, Field(max_length=200, pattern=NO_NUL)]

#: The identifier of a version in a request.
Version = Annotated[str, Field(max_length=80, description="number, `sha256:…` of the manifest, or `latest` (default)")]

ExpectedVersion = Annotated[
    int | None,
    Field(
        ge=1, le=10**9, description="expected newest version; if it is another one, the response is 409 dataset_changed"
    ),
]
Message = Annotated[Name | None, Field(description="message of the new version")]

_SOMETHING: JsonValue = at_least_one("changes", "caption", "prefix", "suffix", "replace")
_ONE_WAY: list[JsonValue] = [
    at_most_one("changes", other) for other in ("caption", "prefix", "suffix", "replace", "item_ids", "search")
]


class CreateDataset(Strict):
    """A new dataset: empty, or a directory on the server."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"name": "cats", "tags": ["animals"]}})

    name: DatasetName
    description: Description | None = None
    tags: Tags = Field(default_factory=list)
    directory: str | None = Field(
        None,
        max_length=4096,
        description="absolute path below one of DATASET_DIRECTORIES (administrators: also BROWSE_DIRECTORIES);"
        " its files are used in place",
    )

    def fields(self) -> dict[str, Any]:
        """Return all fields except the name."""
        return self.model_dump(exclude={"name"})


class ChangeDataset(NamedChange):
    """Changes of a dataset; omitted fields do not change."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"tags": ["animals"]}})

    name: DatasetName | None = Field(None, description="new name; tasks that use the dataset are not affected")
    description: Description | None = Field(None, description="null removes it")
    tags: Tags | None = Field(None, description="replaces all tags; null removes them")


class DatasetListQuery(PageQuery):
    """Filters of the list of datasets."""

    search: Search | None = Field(None, description="part of the name, description or a tag; case-insensitive")
    owner: str | None = Field(None, max_length=64, pattern=NO_NUL, description="only datasets of this user")


class ItemListQuery(PageQuery):
    """Filters of the list of items."""

    version: Version | None = None
    search: Search | None = Field(None, description="part of the name or caption; case-insensitive")
    problem: str | None = Field(
        None, pattern=r"^[a-z_]{1,64}$", description="only items with this problem; `any`: with at least one problem"
    )
    excluded: bool | None = Field(None, description="true: only excluded items; false: only the others")


class VersionQuery(Strict):
    """A version of a dataset."""

    version: Version | None = None


class CaptionChange(Strict):
    """A new caption for one item."""

    model_config = ConfigDict(strict=True)

    item_id: ItemId
    caption: Caption | None = Field(description="null removes the caption")


class ReplaceText(Strict):
    """A text or pattern and its replacement."""

    model_config = ConfigDict(strict=True)

    sought: str = Field(
        alias="from",
        min_length=1,
        max_length=1000,
        pattern=NO_NUL,
        description="a text, or with `regex` an RE2 pattern",
    )
    put: str = Field(
        "", alias="to", max_length=2000, pattern=NO_NUL, description="with `regex`, \\1 inserts the first group"
    )


class EditCaptions(Strict):
    """New captions for some items, or the same edit for many."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"replace": {"from": "a photo of", "to": ""}, "prefix": "ohwx, ", "dry_run": True},
            "minProperties": 1,
            "allOf": [_SOMETHING, *_ONE_WAY],
        },
    )

    changes: list[CaptionChange] | None = Field(
        None, min_length=1, max_length=10_000, description="if an item occurs twice, the last caption is used"
    )
    caption: Caption | None = Field(None, description="the caption for each item; the other edits are applied to it")
    only_missing: bool = Field(False, description="only items with no or an empty caption; requires `caption`")
    prefix: Affix | None = Field(None, description="put in front of captions that do not start with it")
    suffix: Affix | None = Field(None, description="appended to captions that do not end with it")
    replace: ReplaceText | None = Field(None, description="applied before prefix and suffix")
    regex: bool = Field(False, description="`replace.from` is an RE2 pattern")
    item_ids: ItemIds | None = Field(None, description="only in these items")
    search: Search | None = Field(None, description="only in items whose name or caption contains this text")
    version: ExpectedVersion = None
    message: Message = None
    dry_run: bool = Field(False, description="only return what would change")

    @model_validator(mode="after")
    def _one_way(self) -> "EditCaptions":
        edits = [self.caption is not None, self.prefix, self.suffix, self.replace]
        if self.changes is None and not any(edits):
            raise ValueError("set changes, caption, prefix, suffix or replace")
        if self.only_missing and self.caption is None:
            raise ValueError("only_missing requires caption: set the caption for items that have none")
        if self.changes is not None and (any(edits) or self.item_ids is not None or self.search is not None):
            raise ValueError("set changes, or an edit of many items, not both")
        return self

    def to_request(self) -> CaptionEditRequest:
        """Return the request for the service."""
        return CaptionEditRequest(
            changes=None if self.changes is None else {each.item_id: each.caption for each in self.changes},
            caption=self.caption,
            only_missing=self.only_missing,
            prefix=self.prefix,
            suffix=self.suffix,
            replace_from=None if self.replace is None else self.replace.sought,
            replace_to="" if self.replace is None else self.replace.put,
            is_regex=self.regex,
            item_ids=None if self.item_ids is None else frozenset(self.item_ids),
            search=self.search,
            expected_version=self.version,
            message=self.message,
        )


class EditItems(Strict):
    """Items to remove, to exclude and to include again."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"exclude": ["b94f5ce0690dbe02"], "dry_run": True},
            "minProperties": 1,
            "allOf": [at_least_one("remove", "exclude", "include")],
        },
    )

    remove: ItemIds | None = Field(None, description="removed from the new version with caption, mask and control")
    exclude: ItemIds | None = Field(None, description="kept in the dataset, but ignored by trainings")
    include: ItemIds | None = Field(None, description="used by trainings again")
    version: ExpectedVersion = None
    message: Message = None
    dry_run: bool = Field(False, description="only return how many items would change")

    @model_validator(mode="after")
    def _each_once(self) -> "EditItems":
        lists = [frozenset(ids) for ids in (self.remove, self.exclude, self.include) if ids is not None]
        if not lists:
            raise ValueError("set remove, exclude or include")
        twice = sum(map(len, lists)) - len(frozenset().union(*lists))
        if twice:
            raise ValueError(
                f"{twice:,} ids are in more than one of remove, exclude and include: put each id in one list"
            )
        return self

    def changes(self) -> ItemChanges:
        """Return the changes for the service."""
        return ItemChanges(
            frozenset(self.remove or ()),
            frozenset(self.exclude or ()),
            frozenset(self.include or ()),
            self.version,
            self.message,
        )


class SplitDataset(Strict):
    """Items to move, and the dataset that gets them."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"items": ["b94f5ce0690dbe02"], "into": "kittens", "dry_run": True}}
    )

    items: ItemIds  #: ids of the items to move
    into: DatasetName = Field(description="target dataset; created if it does not exist")
    version: ExpectedVersion = None
    message: Message = None
    dry_run: bool = Field(False, description="only check that the items can be moved")

    def request(self) -> SplitRequest:
        """Return the request for the service."""
        return SplitRequest(self.items, self.into, self.version, self.message)


class DatasetList(Shown):
    """Datasets, newest first."""

    datasets: list[DatasetRow]
    pagination: Pagination


class VersionList(Shown):
    """Versions, newest first."""

    versions: list[VersionView]
    pagination: Pagination


class CacheList(Shown):
    """Caches, newest first."""

    caches: list[DatasetCacheView]
    pagination: Pagination


class ItemList(Shown):
    """Items, by name."""

    items: list[ItemView]
    pagination: Pagination

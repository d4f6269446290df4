"""What requests about datasets may hold, and what their answers look like."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from api.datasets.captions import CaptionsWish
from api.datasets.item_edits import ItemChanges
from api.datasets.splitting import SplitRequest
from api.datasets.views import (
    CaptionEdit,
    DatasetDeleted,
    DatasetDetails,
    DatasetRow,
    DatasetSplit,
    ItemsEdit,
    ItemView,
    VersionView,
)
from api.domain.dataset import DATASET_NAME, ITEM_ID, MAX_CAPTION
from api.domain.dataset_cache import DatasetCacheView
from api.util.masking import mask_secrets
from api.util.pagination import Pagination
from api.util.validation import NO_NUL, ONE_LINE, Strict
from api.web.schemas import Envelope, Name, NamedChange, PageQuery, Shown, at_least_one, at_most_one

DatasetName = Annotated[str, Field(pattern=f"^{DATASET_NAME}$", description="letters, digits, . _ -")]
ItemId = Annotated[str, Field(pattern=f"^{ITEM_ID}$")]
Description = Annotated[str, Field(max_length=4000, pattern=NO_NUL), AfterValidator(mask_secrets)]
Tag = Annotated[str, Field(min_length=1, max_length=60, pattern=ONE_LINE)]
Tags = Annotated[list[Tag], Field(max_length=50)]
Caption = Annotated[str, Field(max_length=MAX_CAPTION, pattern=NO_NUL)]
Affix = Annotated[str, Field(min_length=1, max_length=1000, pattern=NO_NUL)]
ItemIds = Annotated[list[ItemId], Field(min_length=1, max_length=10_000)]
Search = Annotated[str, Field(max_length=200, pattern=NO_NUL)]

#: How a version is named.
Version = Annotated[
    str, Field(max_length=80, description="its number, `sha256:…` of its manifest, or `latest`, which is the default")
]

ExpectedVersion = Annotated[
    int | None,
    Field(ge=1, le=10**9, description="the newest version that this was made for; another is 409 dataset_changed"),
]
Message = Annotated[Name | None, Field(description="what the new version says of itself")]

_SOMETHING: JsonValue = at_least_one("changes", "caption", "prefix", "suffix", "replace")
_ONE_WAY: list[JsonValue] = [
    at_most_one("changes", other) for other in ("caption", "prefix", "suffix", "replace", "item_ids", "search")
]


class CreateDataset(Strict):
    """A dataset: empty, or a directory on the server."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"name": "cats", "tags": ["animals"]}})

    name: DatasetName
    description: Description | None = None
    tags: Tags = Field(default_factory=list)
    directory: str | None = Field(
        None, max_length=4096, description="an absolute path below one of DATASET_DIRECTORIES, to be used in place"
    )

    def fields(self) -> dict[str, Any]:
        """What is given besides the name."""
        return self.model_dump(exclude={"name"})


class ChangeDataset(NamedChange):
    """What is to be changed; what is not given stays."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"tags": ["animals"]}})

    name: DatasetName | None = Field(None, description="the new name, if any; tasks that use it go on")
    description: Description | None = Field(None, description="null takes it away")
    tags: Tags | None = Field(None, description="in place of those that it has; null takes them away")


class DatasetListQuery(PageQuery):
    """Says which datasets are wanted."""

    search: Search | None = Field(None, description="part of the name, the description or a tag, in any case")
    owner: str | None = Field(None, max_length=64, pattern=NO_NUL, description="only of this user")


class ItemListQuery(PageQuery):
    """Says which items are wanted."""

    version: Version | None = None
    search: Search | None = Field(None, description="part of the name or caption, in any case")
    problem: str | None = Field(
        None, pattern=r"^[a-z_]{1,64}$", description="only items with this problem; `any`: with one at least"
    )
    excluded: bool | None = Field(None, description="only excluded items, or with `false` only the others")


class VersionQuery(Strict):
    """Says which version is wanted."""

    version: Version | None = None


class CaptionChange(Strict):
    """A new caption."""

    model_config = ConfigDict(strict=True)

    item_id: ItemId
    caption: Caption | None = Field(description="null takes the caption away")


class ReplaceText(Strict):
    """What is replaced by what."""

    model_config = ConfigDict(strict=True)

    sought: str = Field(
        alias="from",
        min_length=1,
        max_length=1000,
        pattern=NO_NUL,
        description="a text, or with `regex` a pattern of RE2",
    )
    put: str = Field(
        "", alias="to", max_length=2000, pattern=NO_NUL, description="with `regex` \\1 stands for the first group"
    )


class EditCaptions(Strict):
    """New captions for some items, or the same edit over many."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"replace": {"from": "a photo of", "to": ""}, "prefix": "ohwx, ", "dry_run": True},
            "minProperties": 1,
            "allOf": [_SOMETHING, *_ONE_WAY],
        },
    )

    changes: list[CaptionChange] | None = Field(
        None, min_length=1, max_length=10_000, description="of an item that is named twice the last one holds"
    )
    caption: Caption | None = Field(
        None, description="the caption that each of them gets; what else is edited is edited in it"
    )
    only_missing: bool = Field(
        False, description="only items without a caption, or with an empty one; it needs `caption`"
    )
    prefix: Affix | None = Field(None, description="where captions do not begin with it")
    suffix: Affix | None = Field(None, description="where captions do not end with it")
    replace: ReplaceText | None = Field(None, description="done before prefix and suffix")
    regex: bool = Field(False, description="`replace.from` is a pattern")
    item_ids: ItemIds | None = Field(None, description="only in these items")
    search: Search | None = Field(None, description="only in items whose name or caption holds this")
    version: ExpectedVersion = None
    message: Message = None
    dry_run: bool = Field(False, description="only show what would change")

    @model_validator(mode="after")
    def _one_way(self) -> "EditCaptions":
        edits = [self.caption is not None, self.prefix, self.suffix, self.replace]
        if self.changes is None and not any(edits):
            raise ValueError("give changes, caption, prefix, suffix or replace")
        if self.only_missing and self.caption is None:
            raise ValueError("only_missing needs caption: the caption that items without one get")
        if self.changes is not None and (any(edits) or self.item_ids is not None or self.search is not None):
            raise ValueError("give changes, or an edit over many items, not both")
        return self

    def wish(self) -> CaptionsWish:
        """The wish as the service takes it."""
        return CaptionsWish(
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
    """The items to be removed, excluded and included again."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"exclude": ["b94f5ce0690dbe02"], "dry_run": True},
            "minProperties": 1,
            "allOf": [at_least_one("remove", "exclude", "include")],
        },
    )

    remove: ItemIds | None = Field(None, description="taken out of the new version, with caption, mask and control")
    exclude: ItemIds | None = Field(None, description="stay in the dataset, and trainings do not see them")
    include: ItemIds | None = Field(None, description="trainings see them again")
    version: ExpectedVersion = None
    message: Message = None
    dry_run: bool = Field(False, description="only count what would change")

    @model_validator(mode="after")
    def _each_once(self) -> "EditItems":
        lists = [frozenset(ids) for ids in (self.remove, self.exclude, self.include) if ids is not None]
        if not lists:
            raise ValueError("give remove, exclude or include")
        twice = sum(map(len, lists)) - len(frozenset().union(*lists))
        if twice:
            raise ValueError(f"{twice:,} of the ids stand in two of remove, exclude and include: name each in one")
        return self

    def changes(self) -> ItemChanges:
        """Return the changes as the service takes them."""
        return ItemChanges(
            frozenset(self.remove or ()),
            frozenset(self.exclude or ()),
            frozenset(self.include or ()),
            self.version,
            self.message,
        )


class SplitDataset(Strict):
    """The items to be moved, and the dataset that gets them."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"items": ["b94f5ce0690dbe02"], "into": "kittens", "dry_run": True}}
    )

    items: ItemIds
    into: DatasetName = Field(description="another dataset; the split makes it where it does not exist")
    version: ExpectedVersion = None
    message: Message = None
    dry_run: bool = Field(False, description="only check whether the items can be moved")

    def request(self) -> SplitRequest:
        """Return the request as the service takes it."""
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


class DatasetRowAnswer(Envelope[DatasetRow]):
    """A dataset."""


class DatasetAnswer(Envelope[DatasetDetails]):
    """One dataset."""


class DatasetListAnswer(Envelope[DatasetList]):
    """Datasets."""


class DatasetDeletedAnswer(Envelope[DatasetDeleted]):
    """A dataset that is gone."""


class VersionAnswer(Envelope[VersionView]):
    """One version."""


class VersionListAnswer(Envelope[VersionList]):
    """Versions."""


class CacheListAnswer(Envelope[CacheList]):
    """Caches."""


class ItemAnswer(Envelope[ItemView]):
    """One item."""


class ItemListAnswer(Envelope[ItemList]):
    """Items."""


class CaptionsAnswer(Envelope[CaptionEdit]):
    """What an edit did, or would do."""


class ItemsEditAnswer(Envelope[ItemsEdit]):
    """What an edit of items did, or would do."""


class SplitAnswer(Envelope[DatasetSplit]):
    """What a split did, or would do."""

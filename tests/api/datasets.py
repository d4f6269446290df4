"""Versions of datasets for tests, made beneath the routes."""

from collections.abc import Mapping

import httpx

from api.domain.dataset import DatasetVersion, ManifestItem
from tests.api.client import failure_of
from tests.api.conftest import World

DATASETS = "/api/v1/datasets"


def add_version(world: World, captions: Mapping[str, str | None], name: str = "cats") -> DatasetVersion:
    """A version with an item for each path, whose bytes are its path; by caption."""
    parts = world.runtime.datasets
    items = []
    for path, caption in captions.items():
        with parts.blobs.begin() as writer:
            writer.write(path.encode())
            blob = writer.commit()
        items.append(ManifestItem(path, blob.sha256, blob.size_bytes, caption))
    dataset = parts.store.get(name)
    return parts.service.add_version(dataset, items, "test", "made", expected_latest=dataset.latest)


def refusal_of(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of a failure."""
    failure = failure_of(answer)
    return failure["code"], failure["error"]["code"]

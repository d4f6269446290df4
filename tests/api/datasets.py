"""Versions of datasets for tests, created without routes."""

from collections.abc import Mapping

import httpx

from api.domain.datasets.dataset import DatasetVersion, ManifestItem
from tests.api.client import failure_of
from tests.api.conftest import World

DATASETS = "/api/v1/datasets"


def add_version(world: World, captions: Mapping[str, str | None], name: str = "cats") -> DatasetVersion:
    """Create a version with an item for each path; its bytes are the path."""
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
    """Return status and code of an error response."""
    failure = failure_of(answer)
    return failure["code"], failure["error"]["code"]

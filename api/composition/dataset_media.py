"""Builds the services for the media of datasets."""

import os
from collections.abc import Iterable

from api.access.readable_paths import ReadablePaths
from api.composition.datasets import DatasetParts
from api.datasets.as_trained import AsTrained
from api.datasets.check import DatasetChecker
from api.datasets.downloads import ItemFiles
from api.datasets.export import DatasetExport
from api.datasets.media import DatasetMedia
from api.datasets.media_facts import MediaFactsStore
from api.datasets.path_media import PathMedia
from api.datasets.rules import RuleBook
from api.datasets.thumbnails import Thumbnails
from api.db.database import Database
from api.files.media.decoder import MediaDecoder
from api.trainers.trainer import DatasetRules, Trainer
from api.util.clock import Clock

#: The most processes that decode media at a time; the other CPUs are left to trainings.
_MOST_CHILDREN = 8


class DatasetMediaParts:
    """Services for media. The constructor starts nothing: a decoder's process starts with the first file."""

    def __init__(
        self, database: Database, clock: Clock, parts: DatasetParts, trainers: Iterable[Trainer], paths: ReadablePaths
    ) -> None:
        self.decoder = MediaDecoder(min(os.cpu_count() or 1, _MOST_CHILDREN))
        rules = RuleBook([trainer for trainer in trainers if isinstance(trainer, DatasetRules)], paths)
        self.media = DatasetMedia(
            MediaFactsStore(database),
            parts.blobs,
            self.decoder,
            clock,
            parts.registered,
        )
        self.by_path = PathMedia(parts.views, parts.service, self.media, self.decoder)
        self.checker = DatasetChecker(parts.service, self.media, self.decoder, rules)
        self.thumbnails = Thumbnails(parts.items, self.media, self.decoder, parts.pictures)
        self.as_trained = AsTrained(parts.items, self.media, self.decoder, rules)
        self.export = DatasetExport(parts.service, self.media)
        self.item_files = ItemFiles(parts.items, self.media)

    def stop(self) -> None:
        """Stop the decoder's processes."""
        self.decoder.close()

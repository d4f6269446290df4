"""The tables of datasets. Times are Unix seconds; migrations 0005 and 0006 create the same tables."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from api.db.columns import Document, Serial, metadata

#: Datasets. A deleted one has no name; its row is deleted when no task needs its blobs.
datasets = Table(
    "datasets",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("name", String(100), unique=True),
    Column("owner", String(64)),
    Column("description", Text),
    Column("tags", Document, nullable=False),
    Column("directory", Text),  #: of a registered dataset
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("deleted_at", Float(53)),
    Column("latest", Integer),  #: the ordinal of the newest version
    Column("stored_bytes", BigInteger, nullable=False),
    Column("watch", Document),  #: the result of the latest check of its directory
    sqlite_autoincrement=True,
)
Index("ix_datasets_owner", datasets.c.owner, datasets.c.serial)

#: The versions of datasets, each with its manifest.
dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("dataset", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("manifest", String(64), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("items", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("origin", Document),
    Column("claim", BigInteger),  #: its number in dataset_blobs for blobs that no earlier version uses
    Column("run_started_at", Float(53)),  #: of a version by an edit that later edits may join: the first edit's time
    Column("is_kept", Boolean),  #: true: used, exported or named, so that no edit supersedes it
    Column("superseded_at", Float(53)),  #: when a later edit of the same run replaced it
    Column("excluded", Integer),  #: the number of excluded items; null: 0
    Column("split_from", BigInteger),  #: the dataset from which a split moved its new items
    Column("shared_bytes", BigInteger),  #: bytes of its claim that the dataset `split_from` uses, too
)
Index("ix_dataset_versions_manifest", dataset_versions.c.manifest)
Index("ix_dataset_versions_superseded", dataset_versions.c.superseded_at)
Index("ix_dataset_versions_split", dataset_versions.c.split_from)

#: Manifests whose items are stored as rows, for paged queries.
manifests = Table(
    "manifests",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("is_indexed", Boolean, nullable=False),  #: false: rows are missing or being written
    Column("used_at", Float(53), nullable=False),  #: the rows of unused manifests are deleted
    sqlite_autoincrement=True,
)

#: The items of a manifest, ordered by path; restored from the manifest if missing.
dataset_items = Table(
    "dataset_items",
    metadata,
    Column("manifest", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("item_id", String(16), nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("caption", Text),
    Column("mask", String(64)),
    Column("control", String(64)),
    Column("problem", String(32)),  #: of its caption; problems of its media are in media_facts
    Column("excluded", Boolean),  #: null: false
)
Index("ix_dataset_items_item", dataset_items.c.manifest, dataset_items.c.item_id)
Index("ix_dataset_items_sha256", dataset_items.c.manifest, dataset_items.c.sha256)
Index("ix_dataset_items_problem", dataset_items.c.manifest, dataset_items.c.problem)

#: The blobs that dataset versions use, including manifests. Blobs without a row can be deleted. A claim is inserted
#: before its version, so a claim without a version is of a request in progress, or of one that was killed.
dataset_blobs = Table(
    "dataset_blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("dataset", BigInteger, primary_key=True, autoincrement=False),
    Column("claim", BigInteger, primary_key=True, autoincrement=False),
    Column("size_bytes", BigInteger, nullable=False),
)
Index("ix_dataset_blobs_dataset", dataset_blobs.c.dataset, dataset_blobs.c.claim)

#: One row with the id of the blob store that belongs to this database; no other store is ever cleaned up.
blob_store = Table(
    "blob_store",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("store", String(64), nullable=False),
)

#: Properties of media blobs, by their hash. Perceptual hashes find similar pictures.
media_facts = Table(
    "media_facts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("format", String(32)),
    Column("width", Integer),
    Column("height", Integer),
    Column("duration", Float(53)),
    Column("fps", Float(53)),
    Column("frame_count", Integer),
    Column("stated_frames", Integer),  #: the count in the header, which the trainer uses
    Column("rotation", Integer),  #: degrees of the rotation in a video's metadata
    Column("is_variable_rate", Boolean),
    Column("problem", String(64)),
    Column("problem_text", Text),
    Column("perceptual_hash", String(64)),
    Column("prober", String(64), nullable=False),  #: the decoder's version; a newer one examines the blob again
    Column("probed_at", Float(53), nullable=False),
)
Index("ix_media_facts_problem", media_facts.c.problem)
Index("ix_media_facts_kind", media_facts.c.kind)
Index("ix_media_facts_variable", media_facts.c.is_variable_rate)

#: The files of registered directories, as of their newest version.
registered_files = Table(
    "registered_files",
    metadata,
    Column("dataset", BigInteger, primary_key=True, autoincrement=False),
    Column("path", String(1024), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)

#: Uploads. Their files have the received bytes. The blob of a completed one is kept while the row exists.
uploads = Table(
    "uploads",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("upload_id", String(64), nullable=False, unique=True),
    Column("place", String(64), nullable=False),  #: the id of the blob store beside which its file is
    Column("owner", String(64)),
    Column("kind", String(16)),  #: item, archive, model; null: detected from the content
    Column("filename", Text),
    Column("dataset", String(100)),
    Column("metadata", Document, nullable=False),  #: as sent by the client
    Column("size_bytes", BigInteger),  #: null: unknown until the end
    Column("status", String(16), nullable=False),
    Column("sha256", String(64)),  #: of the whole file, once it is a blob
    Column("task_id", String(64), unique=True),
    Column("result", Document),
    Column("problem", Document),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False),
    Column("batch", String(64)),  #: the client's name for uploads that were started together
    Column("batch_size", Integer),  #: the number of uploads in the batch
    sqlite_autoincrement=True,
)
Index("ix_uploads_batch", uploads.c.place, uploads.c.batch)
Index("ix_uploads_owner", uploads.c.owner, uploads.c.serial)
Index("ix_uploads_status", uploads.c.place, uploads.c.status, uploads.c.expires_at)
Index("ix_uploads_sha256", uploads.c.sha256)

#: The manifests that tasks use; their blobs are kept as long as the task exists.
dataset_pins = Table(
    "dataset_pins",
    metadata,
    Column("task_id", String(64), primary_key=True),
    Column("manifest", String(64), primary_key=True),
    Column("dataset", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, nullable=False),
    Column("name", String(100), nullable=False),  #: the dataset's name at that time
)
Index("ix_dataset_pins_dataset", dataset_pins.c.dataset)

#: Results of preprocessing, by the SHA-256 of the source file, the options and the program.
derivations = Table(
    "derivations",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("outputs", Document, nullable=False),
    Column("used_at", Float(53), nullable=False),
)
Index("ix_derivations_used", derivations.c.used_at)

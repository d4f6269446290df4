"""The tables of datasets, as SQLAlchemy knows them. Times are Unix seconds; migrations 0005 and 0006 make the same."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from api.db.columns import Document, Serial, metadata

#: Named collections. A deleted one has no name any more, and goes when no task needs its bytes.
datasets = Table(
    "datasets",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("name", String(100), unique=True),
    Column("owner", String(64)),
    Column("description", Text),
    Column("tags", Document, nullable=False),
    Column("directory", Text),  #: of a registered one
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("deleted_at", Float(53)),
    Column("latest", Integer),  #: the ordinal of the newest version
    Column("stored_bytes", BigInteger, nullable=False),
    Column("watch", Document),  #: what the latest look at its directory found
    sqlite_autoincrement=True,
)
Index("ix_datasets_owner", datasets.c.owner, datasets.c.serial)

#: The versions of datasets, each with the manifest that it is.
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
    Column("claim", BigInteger),  #: under which it holds blobs that no earlier version holds
    Column("run_started_at", Float(53)),  #: of one made by an edit that others may join: when the first of them was
    Column("is_kept", Boolean),  #: true: it was used, exported or named, so that no edit supersedes it
    Column("superseded_at", Float(53)),  #: when a later edit of the same run took its place
    Column("excluded", Integer),  #: how many of the items are excluded; none: 0
    Column("split_from", BigInteger),  #: the dataset that its new items came from by a split
    Column("shared_bytes", BigInteger),  #: bytes of its claim that the dataset `split_from` holds, too
)
Index("ix_dataset_versions_manifest", dataset_versions.c.manifest)
Index("ix_dataset_versions_superseded", dataset_versions.c.superseded_at)
Index("ix_dataset_versions_split", dataset_versions.c.split_from)

#: Manifests whose items have rows, so that pages can be read from them.
manifests = Table(
    "manifests",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("is_indexed", Boolean, nullable=False),  #: false: rows are missing, or are being made
    Column("used_at", Float(53), nullable=False),  #: those that nobody asks for lose their rows
    sqlite_autoincrement=True,
)

#: The items of a manifest in the order of their paths; made anew from the manifest whenever they are missing.
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
    Column("problem", String(32)),  #: what is wrong with its caption; that of its bytes is in media_facts
    Column("excluded", Boolean),  #: none: false
)
Index("ix_dataset_items_item", dataset_items.c.manifest, dataset_items.c.item_id)
Index("ix_dataset_items_sha256", dataset_items.c.manifest, dataset_items.c.sha256)
Index("ix_dataset_items_problem", dataset_items.c.manifest, dataset_items.c.problem)

#: Which blobs the versions of a dataset hold, its manifests among them. What is in no row here can be collected. A
#: claim is made before its version: one that no version has is of somebody who is at it, or was killed.
dataset_blobs = Table(
    "dataset_blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("dataset", BigInteger, primary_key=True, autoincrement=False),
    Column("claim", BigInteger, primary_key=True, autoincrement=False),
    Column("size_bytes", BigInteger, nullable=False),
)
Index("ix_dataset_blobs_dataset", dataset_blobs.c.dataset, dataset_blobs.c.claim)

#: The one row with the id of the store of blobs that belongs to this database: no other is ever swept.
blob_store = Table(
    "blob_store",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("store", String(64), nullable=False),
)

#: What the bytes of blobs are known to be, by their hash; perceptual hashes find what looks alike.
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
    Column("stated_frames", Integer),  #: what its header says, and the trainer believes
    Column("rotation", Integer),  #: degrees by which a note in a video turns it
    Column("is_variable_rate", Boolean),
    Column("problem", String(64)),
    Column("problem_text", Text),
    Column("perceptual_hash", String(64)),
    Column("prober", String(64), nullable=False),  #: which decoder said so: a newer one looks again
    Column("probed_at", Float(53), nullable=False),
)
Index("ix_media_facts_problem", media_facts.c.problem)
Index("ix_media_facts_kind", media_facts.c.kind)
Index("ix_media_facts_variable", media_facts.c.is_variable_rate)

#: Files of registered directories, as they were when their newest version was made.
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

#: Uploads that have begun: how far one is its file says. The blob of a finished one is kept until the row goes.
uploads = Table(
    "uploads",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("upload_id", String(64), nullable=False, unique=True),
    Column("place", String(64), nullable=False),  #: the id of the store of blobs that its file lies beside
    Column("owner", String(64)),
    Column("kind", String(16)),  #: item, archive, model; none: its content will tell
    Column("filename", Text),
    Column("dataset", String(100)),
    Column("metadata", Document, nullable=False),  #: what the client said of it
    Column("size_bytes", BigInteger),  #: none: not known before its end
    Column("status", String(16), nullable=False),
    Column("sha256", String(64)),  #: of the whole, when it is a blob
    Column("task_id", String(64), unique=True),
    Column("result", Document),
    Column("problem", Document),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False),
    Column("batch", String(64)),  #: what its client calls those that were begun together with it
    Column("batch_size", Integer),  #: how many these are
    sqlite_autoincrement=True,
)
Index("ix_uploads_batch", uploads.c.place, uploads.c.batch)
Index("ix_uploads_owner", uploads.c.owner, uploads.c.serial)
Index("ix_uploads_status", uploads.c.place, uploads.c.status, uploads.c.expires_at)
Index("ix_uploads_sha256", uploads.c.sha256)

#: Which manifests tasks use: as long as the task is there, so are their bytes.
dataset_pins = Table(
    "dataset_pins",
    metadata,
    Column("task_id", String(64), primary_key=True),
    Column("manifest", String(64), primary_key=True),
    Column("dataset", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, nullable=False),
    Column("name", String(100), nullable=False),  #: what the dataset was called then
)
Index("ix_dataset_pins_dataset", dataset_pins.c.dataset)

#: What preprocessing made of a file, by the SHA-256 of the file, what was asked for, and the program that did it.
derivations = Table(
    "derivations",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("outputs", Document, nullable=False),
    Column("used_at", Float(53), nullable=False),
)
Index("ix_derivations_used", derivations.c.used_at)

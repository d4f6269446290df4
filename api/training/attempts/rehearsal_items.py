"""Lay out the items of a rehearsal: directories of its own with links to the files of the dataset."""

import os
import shutil
from pathlib import Path

import orjson

from api.domain.rehearsal import PlannedRehearsal
from api.trainers.rehearsal import ItemFolders, Rehearsal, own_folders
from api.util.foreign_files import make_directory
from api.util.foreign_trees import remove_tree

_CAPTIONS = "captions.json"

#: Size limit of a captions.json that is read.
_MAX_JSON_BYTES = 32 * 1024 * 1024


def lay_out(rehearsal: Rehearsal, planned: PlannedRehearsal, directory: Path, group: int | None) -> None:
    """Create the directories of the items. `group` is that of the trainers' user, if it is not the service's.

    Raise OSError or ValueError.
    """
    remove_tree(str(directory), levels=1)
    make_directory(str(directory), 2)
    for index, (item, source) in enumerate(zip(planned.items, rehearsal.sources, strict=True)):
        own = own_folders(directory, index, source)
        for path in (own.media, own.masks, own.controls):
            if path is not None:
                path.mkdir(parents=True, mode=0o700)
        _link(source.media / item.name, own.media / item.name, group)
        _add_caption(source, own, item.name)
        for beside, target in ((source.masks, own.masks), (source.controls, own.controls)):
            if beside is not None and target is not None:
                for found in beside.iterdir():
                    if found.stem == Path(item.name).stem and found.is_file():
                        _link(found, target / found.name, group)
    if group is not None:
        _open_to_trainers(directory, group)


def _link(source: Path, target: Path, group: int | None) -> None:
    source = source.resolve(strict=True)
    if group is None:
        target.symlink_to(source)
        return
    # The trainers' user cannot enter the service's directories.
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        os.chown(target, -1, group)
        target.chmod(0o640)


def _add_caption(source: ItemFolders, own: ItemFolders, name: str) -> None:
    captions = source.media / _CAPTIONS
    if captions.is_file():
        if captions.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError(f"{captions} is too large for a rehearsal")
        given = orjson.loads(captions.read_bytes())
        (own.media / _CAPTIONS).write_bytes(orjson.dumps({name: given[name]} if name in given else {}))
        return
    text = (source.media / name).with_suffix(".txt")
    if text.is_file():
        (own.media / text.name).write_bytes(text.read_bytes())


def _open_to_trainers(directory: Path, group: int) -> None:
    for root, _, names in os.walk(directory):
        os.chown(root, -1, group)
        Path(root).chmod(0o2770)
        for name in names:
            if name == _CAPTIONS or name.endswith(".txt"):
                os.chown(Path(root) / name, -1, group)
                (Path(root) / name).chmod(0o640)

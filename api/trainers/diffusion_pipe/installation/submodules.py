"""Read a checkout's submodules and their pinned commits from git's files, without git and its hooks."""

import ast
import configparser
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from api.domain.machines.installation import Submodule, SubmoduleState
from api.trainers.diffusion_pipe.config.checkout import find_git_directory, parse, read_bytes, read_commit

#: Most bytes read of an index, and of a text.
_MAX_INDEX_BYTES, _MAX_BYTES = 16 * 1024 * 1024, 1024 * 1024

#: Most bytes of a path in an index.
_MAX_PATH = 4096

#: The mode of a submodule in git's index.
_GITLINK = 0o160000

COMFYUI = "submodules/ComfyUI"

#: The classes that decode videos, in ComfyUI. The trainer calls the method since its commit e14f976.
_VIDEO_FILES = ("comfy_api/latest/_input/video_types.py", "comfy_api/latest/_input_impl/video_types.py")
_VIDEO_CLASS, _FRAME_COUNT = "VideoFromFile", "get_frame_count"

_NAMED = re.compile(r"submodules/([\w.\-]+)", re.ASCII)


def read_submodules(root: Path) -> tuple[Submodule, ...]:
    """Return the submodules that `.gitmodules` lists, with their commits."""
    pinned = read_pinned(root)
    return tuple(_describe(root, path, pinned.get(path)) for path in list_paths(root))


def list_paths(root: Path) -> tuple[str, ...]:
    """Return the paths of all submodules that `.gitmodules` lists."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        # git indents the keys.
        parser.read_string("\n".join(line.strip() for line in _read(root / ".gitmodules").splitlines()))
    except (OSError, ValueError, configparser.Error):
        return ()
    paths = [parser.get(section, "path", fallback="") for section in parser.sections()]
    return tuple(sorted({path for path in paths if path and _is_inside(path)}))


def read_pinned(root: Path) -> Mapping[str, str]:
    """Return the commits of submodules in the checkout's index, by path; empty if they cannot be determined."""
    with suppress(OSError, ValueError, IndexError):
        return dict(_gitlinks(read_bytes(find_git_directory(root) / "index", _MAX_INDEX_BYTES)))
    return {}


def find_named(root: Path) -> frozenset[str]:
    """Return the submodules that the code of every model type names, as `submodules/NAME`."""
    found: set[str] = set()
    for source in (root / "train.py", root / "models" / "base.py", *sorted((root / "utils").glob("*.py"))):
        with suppress(OSError, ValueError):
            found |= {f"submodules/{name}" for name in _NAMED.findall(_read(source))}
    return frozenset(found)


def counts_frames(root: Path) -> bool | None:
    """Return whether ComfyUI's class for video files has the method that the trainer calls; None if unknown.

    Without it the trainer skips every video. The code is parsed and not executed.
    """
    with suppress(OSError, SyntaxError, ValueError):
        if _FRAME_COUNT not in _read(root / "utils" / "dataset.py"):
            return True
        return _has_method([parse(root / COMFYUI / name) for name in _VIDEO_FILES])
    return None


def _has_method(sources: list[ast.Module]) -> bool | None:
    """Return whether VideoFromFile or one of its base classes in these sources has the method."""
    nodes = [node for source in sources for node in source.body]
    classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
    names, seen = [_VIDEO_CLASS], set[str]()
    while names:
        found = classes.get(name := names.pop())
        if found is None or name in seen:
            continue
        seen.add(name)
        if any(isinstance(each, ast.FunctionDef) and each.name == _FRAME_COUNT for each in found.body):
            return True
        names += [base.id for base in found.bases if isinstance(base, ast.Name)]
    return False if seen else None


def _describe(root: Path, path: str, pinned: str | None) -> Submodule:
    directory = root / path
    commit = read_commit(directory)
    if commit is None and not _has_files(directory):
        state = SubmoduleState.MISSING
    elif commit is None or pinned is None:
        state = SubmoduleState.UNKNOWN
    else:
        state = SubmoduleState.PINNED if commit == pinned else SubmoduleState.OTHER_COMMIT
    return Submodule(path, state, commit, pinned)


def _has_files(directory: Path) -> bool:
    try:
        return any(entry.name != ".git" for entry in os.scandir(directory))
    except OSError:
        return False


def _is_inside(path: str) -> bool:
    # The path becomes part of a command for the administrator; one that starts with a dash would be an option.
    return path.isprintable() and not path.startswith(("/", "-")) and ".." not in PurePosixPath(path).parts


def _gitlinks(index: bytes) -> Iterator[tuple[str, str]]:
    """Yield the path and commit of each submodule in an index. Raise ValueError for an unknown format."""
    version, count = int.from_bytes(index[4:8]), int.from_bytes(index[8:12])
    if index[:4] != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("not an index of git")
    at, name = 12, b""
    for _ in range(count):
        mode, commit, flags = int.from_bytes(index[at + 24 : at + 28]), index[at + 40 : at + 60], index[at + 60]
        start = at + 64 if version > 2 and flags & 0x40 else at + 62
        kept = 0
        if version == 4:
            strip, start = _varint(index, start)
            kept = len(name) - strip
            if not 0 <= kept <= _MAX_PATH:
                raise ValueError("longer than any path")
        end = index.index(b"\0", start, start + _MAX_PATH)
        name = name[:kept] + index[start:end]
        if stat.S_IFMT(mode) == _GITLINK:
            yield name.decode(), commit.hex()
        # Entries of older versions are padded with one to eight zeros.
        at = end + 1 if version == 4 else at + (end - at + 8) // 8 * 8


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number in git's variable-width encoding, and the position after it."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (data[at] & 0x7F)
        if value > _MAX_PATH:
            raise ValueError("longer than any path")
    return value, at + 1


def _read(path: Path) -> str:
    return read_bytes(path, _MAX_BYTES).decode(errors="replace")

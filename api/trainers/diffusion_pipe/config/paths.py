"""Check that configured paths exist and have the right kind of content, without showing the content."""

import os
import stat
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.models.weights import FileForm
from api.domain.reason import Reason
from api.errors import FindingText
from api.files.weights.examination import FORM_TEXTS, START_BYTES, detect_form, examine
from api.files.weights.header import Header, Unsound, read_header
from api.files.weights.shards import is_shard
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.models.description import PathKind
from api.util.files.outside_files import open_regular

#: Most directory entries that are read in search of weights.
_MAX_ENTRIES = 10_000

#: Suffixes that the trainer treats as safetensors; it unpickles all other files.
_SAFETENSORS_NAMES = {PathKind.FILE: (".safetensors",), PathKind.COMFY: (".safetensors", ".sft")}

#: Forms that are not weights, even if the name suggests it.
_NO_WEIGHTS = (FileForm.EMPTY, FileForm.LFS_POINTER, FileForm.WEB_PAGE, FileForm.GGUF)

#: The remedy for a pickle.
_CONVERT = Reason.of(
    "Convert it to safetensors, or run the service with ALLOW_PICKLED_WEIGHTS=1 if you trust its source.",
    "advice_convert_pickle",
)

#: Forms that are unpickled.
_PICKLED = (FileForm.TORCH_ZIP, FileForm.PICKLE)


def resolve(text: object, root: Path | None) -> Path | None:
    """Return the path as the trainer opens it from its root; None if the root is unknown, or this is no path."""
    if not isinstance(text, str) or not text:
        return None
    path = Path(text)
    if path.is_absolute():
        return path
    return None if root is None else root / path


def check_path(text: str, kind: PathKind, at: str, root: Path | None, findings: Findings) -> None:
    """Check one path of [model]."""
    if kind is PathKind.PRETRAINED and is_hub_name(text, root):
        findings.warn(
            at,
            FindingText(
                "directory_downloaded",
                "This directory does not exist; the trainer will download the model of this name from Hugging Face.",
                "Set the directory of a downloaded model to avoid the download.",
            ),
        )
        return
    path = check_exists(text, at, root, findings)
    if path is None:
        return
    is_folder = path.is_dir()
    if kind in (PathKind.FILE, PathKind.COMFY, PathKind.SAFETENSORS) and is_folder:
        findings.error(
            at,
            FindingText(
                "file_needed", "This is a directory, but the trainer needs a file.", "Set the path of the weights file."
            ),
        )
    elif kind in (PathKind.DIRECTORY, PathKind.PRETRAINED) and not is_folder:
        findings.error(
            at,
            FindingText(
                "directory_needed", "This is a file, but the trainer needs a directory.", "Set the model's directory."
            ),
        )
    elif is_folder:
        _check_folder(path, kind, at, findings)
    elif kind is PathKind.WEIGHTS and path.suffix != ".safetensors":
        findings.error(
            at,
            FindingText(
                "safetensors_name_needed",
                "The trainer needs a .safetensors file here.",
                "Convert the weights to safetensors.",
            ),
        )
    else:
        check_weights(path, at, findings)
        _check_name(path, kind, at, findings)


def _check_folder(path: Path, kind: PathKind, at: str, findings: Findings) -> None:
    if kind is PathKind.EITHER:
        check_pretrained(path, at, findings)
    elif kind is PathKind.WEIGHTS:
        names = safetensors_in(path)
        if not names:
            findings.error(
                at,
                FindingText(
                    "no_safetensors_in_directory",
                    "This directory has no .safetensors files.",
                    "Set the directory with the weights.",
                ),
            )
        for name in names[:64]:
            check_weights(path / name, at, findings)


def _check_name(path: Path, kind: PathKind, at: str, findings: Findings) -> None:
    """Check that a file's name and content agree, as far as the trainer depends on it."""
    form = detect_form(read_start(path, START_BYTES))
    is_safetensors = form is FileForm.SAFETENSORS
    name = path.name.lower() if kind is PathKind.COMFY else path.name
    if is_safetensors and kind in _SAFETENSORS_NAMES and not name.endswith(_SAFETENSORS_NAMES[kind]):
        findings.error(
            at,
            FindingText(
                "safetensors_named_pickle",
                "{path} is a safetensors file, but because of its name the trainer unpickles it and fails.",
                "Rename it to end in .safetensors.",
            ),
            path=shown(path.name),
        )
    elif (
        kind is PathKind.SAFETENSORS
        and form not in (FileForm.SAFETENSORS, *_NO_WEIGHTS)
        and path.suffix != ".safetensors"
    ):
        findings.error(
            at,
            FindingText(
                "safetensors_needed",
                "The trainer needs a safetensors file here.",
                "Convert the weights to safetensors.",
            ),
        )
    elif is_shard(path.name):
        findings.error(
            at,
            FindingText(
                "one_of_several_parts",
                "{path} is one of several parts, but the trainer opens only this file.",
                "Set the directory of all parts if the key supports one, else a file with the complete model.",
            ),
            path=shown(path.name),
        )


def check_pretrained(directory: Path, at: str, findings: Findings) -> None:
    """Check the weights in a directory of transformers or diffusers: safetensors, or if there are none, pickles."""
    names = safetensors_in(directory)
    for name in names if names else names_in(directory, ".bin"):
        # The trainer does not open variants, such as fp16.
        if name.count(".") == 1:
            check_weights(directory / name, at, findings)


def has_weights(directory: Path) -> bool:
    """Return whether a directory has weights of transformers or diffusers, other than variants such as fp16."""
    return any(name.endswith((".safetensors", ".bin")) and name.count(".") == 1 for name in names_in(directory, ""))


def check_exists(text: str, at: str, root: Path | None, findings: Findings) -> Path | None:
    """Return the path if it is a readable file or directory; if not, add a finding and return None."""
    if not text:
        findings.error(at, FindingText("path_empty", "The path is empty.", "Set the path."))
        return None
    path = resolve(text, root)
    if path is None:
        findings.error(
            at,
            FindingText(
                "path_relative",
                "The path is relative, but the trainer's directory is unknown.",
                "Set an absolute path.",
            ),
        )
        return None
    mode = mode_of(path)
    if mode is None:
        problem, params = _why_missing(text, path)
        findings.error(at, problem, **params)
        return None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        findings.error(
            at,
            FindingText(
                "path_of_other_kind", "This is neither a file nor a directory.", "Set the path of a file or directory."
            ),
        )
        return None
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        findings.error(
            at, FindingText("path_unreadable", "This path cannot be read.", "Give the service's user read permission.")
        )
        return None
    return path


def _why_missing(text: str, path: Path) -> tuple[FindingText, dict[str, Any]]:
    """Return the text and the parameters of the finding about a path that does not lead to a file or directory."""
    if text != text.strip():
        return FindingText(
            "path_with_space", "The path starts or ends with a space, and does not exist.", "Remove the space."
        ), {}
    if text.startswith("~") or (text.startswith("$") and len(text) > 1) or "${" in text or "/$" in text:
        return FindingText(
            "path_not_resolved", "This path does not exist: `{mark}` is not resolved.", "Write the full path."
        ), {"mark": "~" if text.startswith("~") else shown(text[text.index("$") :].split("/", maxsplit=1)[0])}
    if "\\" in text:
        return FindingText(
            "path_with_backslashes",
            "This path does not exist: it has backslashes, as on Windows.",
            "Write the path on the server, with /.",
        ), {}
    for part in (path, *path.parents):
        if os.path.islink(part) and mode_of(part) is None:
            return FindingText(
                "path_by_broken_link",
                "{name} is a link to a file or directory that does not exist.",
                "Correct the link, or set the path of the file or directory itself.",
            ), {"name": shown(part.name)}
    return FindingText("path_missing", "This path does not exist.", "Correct the path."), {}


def check_adapter_directory(
    text: str, at: str, root: Path | None, findings: Findings, *, accepts_files: bool = False
) -> None:
    """Check the directory of an adapter to continue from, which must contain exactly one .safetensors file."""
    path = check_exists(text, at, root, findings)
    if path is None:
        return
    if accepts_files and text.endswith(".safetensors") and not path.is_dir():
        check_weights(path, at, findings)
        return
    names = safetensors_in(path) if path.is_dir() else []
    if not path.is_dir():
        findings.error(
            at,
            FindingText(
                "adapter_directory_needed",
                "This is a file, but the trainer needs a directory.",
                "Set the adapter's directory.",
            ),
        )
    elif len(names) == 1:
        check_weights(path / names[0], at, findings)
    else:
        findings.error(
            at,
            FindingText(
                "adapter_files_count",
                "This directory has {count} .safetensors files; the trainer needs exactly one.",
                "Set the directory of one saved adapter.",
            ),
            count=len(names),
        )


def check_weights(path: Path, at: str, findings: Findings, remedy: Reason = _CONVERT) -> None:
    """Check by content that a file is complete safetensors; torch unpickles other files.

    `remedy` is the remedy for pickles.
    """
    form, name = detect_form(read_start(path, START_BYTES)), shown(path.name)
    if form in _NO_WEIGHTS:
        findings.error(
            at,
            FindingText("weights_are_not_weights", "{name} {problem}.", "Download the weights themselves."),
            name=name,
            problem=FORM_TEXTS[form],
        )
    elif form is FileForm.SAFETENSORS:
        try:
            header = read_header(path)
        except Unsound as unsound:
            findings.error(
                at,
                FindingText(
                    "safetensors_incomplete",
                    "{name} is not a complete safetensors file: it {problem}.",
                    "Download it again.",
                ),
                name=name,
                problem=unsound,
            )
        else:
            if header is None:
                findings.warn(
                    at,
                    FindingText(
                        "header_too_large",
                        "{name} has a header that is too large to check; it may be the wrong file.",
                        "Verify that it is the right file.",
                    ),
                    name=name,
                )
    elif path.name.endswith(".safetensors"):
        findings.error(
            at,
            FindingText(
                "safetensors_by_name_only",
                "{name} {problem}; because of its name the trainer reads it as safetensors and fails.",
                "Download the weights themselves, or convert them to safetensors.",
            ),
            name=name,
            problem=FORM_TEXTS[form],
        )
    elif form is FileForm.TORCH_ZIP and _is_cut(path):
        findings.error(
            at,
            FindingText(
                "zip_truncated", "{name} is a truncated zip file: its download is incomplete.", "Download it again."
            ),
            name=name,
        )
    else:
        problem = (
            FindingText("pickle_may_run_code", "{name} {form}, and run it when it is loaded.")
            if form in _PICKLED
            else FindingText(
                "format_may_run_code",
                "{name} is not a safetensors file; other formats can contain code that the trainer would run.",
            )
        )
        findings.risk(at, problem, remedy=remedy, name=name, form=FORM_TEXTS[form])


def is_safetensors(path: Path) -> bool:
    """Return whether a file's content is safetensors, regardless of its name."""
    return detect_form(read_start(path, START_BYTES)) is FileForm.SAFETENSORS


def _is_cut(path: Path) -> bool:
    try:
        return examine(path).is_whole is False
    except (OSError, ValueError):
        return False


def is_hub_name(text: str, root: Path | None) -> bool:
    """Return whether a text is `owner/name` at Hugging Face instead of a local path."""
    path = resolve(text, root)
    if path is not None and mode_of(path) is not None:
        return False
    owner, slash, name = text.partition("/")
    return bool(slash and owner and name) and "/" not in name and not text.startswith((".", "~"))


def mode_of(path: Path) -> int | None:
    """Return the path's `st_mode`, or None if it does not exist or cannot be accessed."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None


def safetensors_in(directory: Path) -> list[str]:
    """Return the names of the .safetensors files in a directory, among its first 10,000 entries."""
    return names_in(directory, ".safetensors")


def names_in(directory: Path, ending: str) -> list[str]:
    """Return the names with an ending in a directory, among its first 10,000 entries."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for _, entry in zip(range(_MAX_ENTRIES), entries, strict=False)]
    except OSError:
        return []
    return sorted(name for name in names if name.endswith(ending))


def directories_in(directory: Path) -> list[Path]:
    """Return the directories in a directory, at most 32."""
    found = (directory / name for name in names_in(directory, "") if not name.startswith("."))
    return [path for path in found if is_directory(path)][:32]


def read_start(path: Path, size: int) -> bytes:
    """Return the first bytes of a regular file, empty if it is not one or cannot be read. Never blocks on a pipe."""
    try:
        with open_regular(path) as file:
            return file.read(size)
    except (OSError, ValueError):
        return b""


def headers_of(path: Path) -> list[Header]:
    """Return the valid headers of a .safetensors file, or of those in a directory."""
    files = [path / name for name in safetensors_in(path)[:64]] if is_directory(path) else [path]
    found = []
    for file in files:
        try:
            header = read_header(file)
        except Unsound:
            continue
        if header is not None:
            found.append(header)
    return found


def is_directory(path: Path) -> bool:
    """Return whether a path leads to a directory."""
    mode = mode_of(path)
    return mode is not None and stat.S_ISDIR(mode)

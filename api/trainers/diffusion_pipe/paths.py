"""Whether paths that a configuration names are there; their content is never shown."""

import os
import stat
from pathlib import Path

from api.domain.weights import FileForm
from api.files.weights.examination import FORM_WORDS, START_BYTES, examine, tell_form
from api.files.weights.header import Header, Unsound, read_header
from api.files.weights.shards import is_shard
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_types import PathKind
from api.trainers.pointers import shown
from api.util.regular_files import open_regular

#: The most directory entries that are looked at in search of weights.
_MOST_ENTRIES = 10_000

#: The ends of names that are taken for safetensors; all else is unpickled.
_SAFETENSORS_NAMES = {PathKind.FILE: (".safetensors",), PathKind.COMFY: (".safetensors", ".sft")}

#: What is no weights at all, though it may stand under their name.
_NO_WEIGHTS = (FileForm.EMPTY, FileForm.LFS_POINTER, FileForm.WEB_PAGE, FileForm.GGUF)

#: What to do about a pickle.
_CONVERT = "Convert it to safetensors, or let the service run with ALLOW_PICKLED_WEIGHTS=1 if you trust its source."

#: What is unpickled, and told as such.
_PICKLED = (FileForm.TORCH_ZIP, FileForm.PICKLE)


def resolve(text: str, root: Path | None) -> Path | None:
    """The path as the trainer, which runs in its root, opens it; None when that cannot be told."""
    path = Path(text)
    if path.is_absolute():
        return path
    return None if root is None else root / path


def check_path(text: str, kind: PathKind, at: str, root: Path | None, findings: Findings) -> None:
    """Checks one path of [model]."""
    if kind is PathKind.PRETRAINED and is_hub_name(text, root):
        findings.warn(
            at,
            "This is no directory here; the trainer will take it as a name on Hugging Face and download it.",
            "Give the directory of a downloaded model to be sure of it.",
        )
        return
    path = check_exists(text, at, root, findings)
    if path is None:
        return
    is_folder = path.is_dir()
    if kind in (PathKind.FILE, PathKind.COMFY, PathKind.SAFETENSORS) and is_folder:
        findings.error(at, "This is a directory, and the trainer needs a file.", "Name the weights file in it.")
    elif kind in (PathKind.DIRECTORY, PathKind.PRETRAINED) and not is_folder:
        findings.error(at, "This is a file, and the trainer needs a directory.", "Name the model's directory.")
    elif is_folder:
        _check_folder(path, kind, at, findings)
    elif kind is PathKind.WEIGHTS and path.suffix != ".safetensors":
        findings.error(at, "The trainer needs a .safetensors file here.", "Convert the weights to safetensors.")
    else:
        check_weights(path, at, findings)
        _check_name(path, kind, at, findings)


def _check_folder(path: Path, kind: PathKind, at: str, findings: Findings) -> None:
    if kind is PathKind.EITHER:
        check_pretrained(path, at, findings)
    elif kind is PathKind.WEIGHTS:
        names = safetensors_in(path)
        if not names:
            findings.error(at, "This directory has no .safetensors files.", "Name the directory that has the weights.")
        for name in names[:64]:
            check_weights(path / name, at, findings)


def _check_name(path: Path, kind: PathKind, at: str, findings: Findings) -> None:
    """Whether a file's name and content agree on what it is, as far as the trainer asks."""
    form = tell_form(read_start(path, START_BYTES))
    is_safetensors = form is FileForm.SAFETENSORS
    name = path.name.lower() if kind is PathKind.COMFY else path.name
    if is_safetensors and kind in _SAFETENSORS_NAMES and not name.endswith(_SAFETENSORS_NAMES[kind]):
        findings.error(
            at,
            f"{shown(path.name)} is safetensors, but the trainer goes by the name, unpickles it and fails.",
            "Let its name end in .safetensors.",
        )
    elif (
        kind is PathKind.SAFETENSORS
        and form not in (FileForm.SAFETENSORS, *_NO_WEIGHTS)
        and path.suffix != ".safetensors"
    ):
        findings.error(at, "The trainer needs a safetensors file here.", "Convert the weights to safetensors.")
    elif is_shard(path.name):
        findings.error(
            at,
            f"{shown(path.name)} is one part of several, and the trainer opens this file alone.",
            "Name the directory that has all parts where the key takes one, else a file that holds the whole model.",
        )


def check_pretrained(directory: Path, at: str, findings: Findings) -> None:
    """Checks the weights of a directory in transformers' or diffusers' form, or of a part of one, as far as they are
    there: those in safetensors, and without any the pickled ones.
    """
    names = safetensors_in(directory)
    for name in names if names else names_in(directory, ".bin"):
        # Of variants, such as fp16, none is opened.
        if name.count(".") == 1:
            check_weights(directory / name, at, findings)


def has_weights(directory: Path) -> bool:
    """Whether weights in transformers' or diffusers' form are in a directory, besides variants such as fp16."""
    return any(name.endswith((".safetensors", ".bin")) and name.count(".") == 1 for name in names_in(directory, ""))


def check_exists(text: str, at: str, root: Path | None, findings: Findings) -> Path | None:
    """The path when it names a readable file or directory; says what is wrong otherwise."""
    if not text:
        findings.error(at, "The path is empty.", "Give the path.")
        return None
    path = resolve(text, root)
    if path is None:
        findings.error(at, "The path is relative, and the trainer's directory is not known.", "Give an absolute path.")
        return None
    mode = mode_of(path)
    if mode is None:
        advice = "Write the home directory out; `~` is not resolved." if text.startswith("~") else "Correct the path."
        findings.error(at, "This path does not exist.", advice)
        return None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        findings.error(at, "This is neither a file nor a directory.", "Name a file or a directory.")
        return None
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        findings.error(at, "This path cannot be read.", "Give the service's user the permission to read it.")
        return None
    return path


def check_adapter_directory(
    text: str, at: str, root: Path | None, findings: Findings, *, takes_files: bool = False
) -> None:
    """Checks a directory from which an adapter is continued: it must hold exactly one .safetensors file."""
    path = check_exists(text, at, root, findings)
    if path is None:
        return
    if takes_files and text.endswith(".safetensors") and not path.is_dir():
        check_weights(path, at, findings)
        return
    names = safetensors_in(path) if path.is_dir() else []
    if not path.is_dir():
        findings.error(at, "This is a file, and the trainer needs a directory.", "Name the directory of the adapter.")
    elif len(names) == 1:
        check_weights(path / names[0], at, findings)
    else:
        findings.error(
            at,
            f"This directory has {len(names)} .safetensors files; the trainer needs exactly one.",
            "Name one saved adapter.",
        )


def check_weights(path: Path, at: str, findings: Findings, remedy: str = _CONVERT) -> None:
    """Checks by its content, whatever it is called, that a file is whole safetensors: torch unpickles what is not, and
    `remedy` is what to do about that.
    """
    form, name = tell_form(read_start(path, START_BYTES)), shown(path.name)
    if form in _NO_WEIGHTS:
        findings.error(at, f"{name} {FORM_WORDS[form]}.", "Download the weights themselves.")
    elif form is FileForm.SAFETENSORS:
        try:
            header = read_header(path)
        except Unsound as unsound:
            findings.error(at, f"{name} is no whole safetensors file: it {unsound}.", "Download it again.")
        else:
            if header is None:
                what = f"{name} has a header too large to be looked into: whether it belongs here is not known."
                findings.warn(at, what, "Make sure that it is the right file.")
    elif path.name.endswith(".safetensors"):
        findings.error(
            at,
            f"{name} {FORM_WORDS[form]}; the trainer goes by its name and fails.",
            "Download the weights themselves, or convert them to safetensors.",
        )
    elif form is FileForm.TORCH_ZIP and _is_cut(path):
        findings.error(at, f"{name} is a zip without its end: it was not downloaded to it.", "Download it again.")
    else:
        findings.risk(
            at,
            f"{name} {FORM_WORDS[form]}, and run it when it is loaded."
            if form in _PICKLED
            else f"{name} is no safetensors file; what else the trainer loads can hold code, and run it.",
            remedy,
        )


def is_safetensors(path: Path) -> bool:
    """Whether a file is safetensors by its content, whatever it is called."""
    return tell_form(read_start(path, START_BYTES)) is FileForm.SAFETENSORS


def _is_cut(path: Path) -> bool:
    try:
        return examine(path).is_whole is False
    except (OSError, ValueError):
        return False


def is_hub_name(text: str, root: Path | None) -> bool:
    """Whether a text is no path here, but `owner/name` as Hugging Face has them."""
    path = resolve(text, root)
    if path is not None and mode_of(path) is not None:
        return False
    owner, slash, name = text.partition("/")
    return bool(slash and owner and name) and "/" not in name and not text.startswith((".", "~"))


def mode_of(path: Path) -> int | None:
    """The `st_mode` of what a path leads to; None when it leads nowhere, or may not be followed."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None


def safetensors_in(directory: Path) -> list[str]:
    """The names of the .safetensors files directly in a directory, of its first 10,000 entries."""
    return names_in(directory, ".safetensors")


def names_in(directory: Path, ending: str) -> list[str]:
    """The names with an ending directly in a directory, of its first 10,000 entries."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False)]
    except OSError:
        return []
    return sorted(name for name in names if name.endswith(ending))


def directories_in(directory: Path) -> list[Path]:
    """The directories directly in a directory, at most 32."""
    found = (directory / name for name in names_in(directory, "") if not name.startswith("."))
    return [path for path in found if is_directory(path)][:32]


def read_start(path: Path, size: int) -> bytes:
    """The first bytes of a regular file; none when it is no such file, or cannot be read. Never waits for a pipe."""
    try:
        with open_regular(path) as file:
            return file.read(size)
    except (OSError, ValueError):
        return b""


def headers_of(path: Path) -> list[Header]:
    """The headers of a .safetensors file, or of those in a directory, as far as they are whole."""
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
    """Whether a path leads to a directory."""
    mode = mode_of(path)
    return mode is not None and stat.S_ISDIR(mode)

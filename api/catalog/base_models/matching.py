"""Find the components of models among the weights that a scan found."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from api.domain.models.base_model import (
    ComponentNeed,
    FileSource,
    FoundDirectory,
    FoundFile,
    LocalWeights,
    ModelVariant,
)
from api.files.weights.fingerprints.text_encoders import UNKNOWN_LANGUAGE_MODEL


@dataclass(frozen=True, slots=True)
class Located:
    """A local component. `problem` completes a sentence that starts with "It"; None if the component is usable."""

    path: str
    size_bytes: int
    problem: str | None = None


def locate(need: ComponentNeed, local: LocalWeights) -> Located | None:
    """Return a local component, preferably a usable one; None if there is none."""
    found = [*_files(need, local.files), *_directories(need, local.directories)]
    return min(found, key=lambda each: each.problem is not None, default=None)


def is_held(need: ComponentNeed, variant: ModelVariant, local: LocalWeights) -> bool:
    """Return whether the variant's diffusers directory already has this component, so that its key is not needed."""
    if not need.inside:
        return False
    found = (locate(each, local) for each in variant.components if each.key == "diffusers_path")
    paths = {each.path for each in found if each is not None and each.problem is None}
    return any(
        each.path in paths
        and _is_guided_as(need, each)
        and not any(name.split("/")[0] == need.inside for name in (*each.broken, *each.lacking))
        for each in local.directories
    )


def _files(need: ComponentNeed, files: Sequence[FoundFile]) -> list[Located]:
    names = [source.name.lower() for source in need.sources if not source.is_directory]
    if (not names and not need.fingerprints) or need.directory_kinds:
        return []
    found = []
    for each in files:
        name = each.path.rpartition("/")[2].lower()
        rank = names.index(name) if name in names else len(names)
        if need.dtypes and each.facts.dtype not in (None, *need.dtypes):
            continue
        recognised = each.facts.component
        # The name of an unknown language model is more specific than its content.
        component = None if recognised is None or recognised.name == UNKNOWN_LANGUAGE_MODEL else recognised
        is_known = component is not None and component.name in need.fingerprints
        is_named = rank < len(names)
        # A file without a complete header is known by its name only.
        by_name = is_named and (component is None or is_known)
        if by_name if need.needs_name or not need.fingerprints else is_known or (is_named and component is None):
            problem = each.facts.problem if each.facts.is_whole is not True else _unloadable(need, each)
            found.append((rank, Located(each.path, each.facts.size_bytes, problem)))
    return [located for _, located in sorted(found, key=lambda pair: (pair[0], pair[1].path))]


def _unloadable(need: ComponentNeed, found: FoundFile) -> str | None:
    if found.facts.quantisation in (None, *need.loadable):
        return None
    return f"is quantised ({found.facts.quantisation}), which the trainer cannot load here"


def _directories(need: ComponentNeed, directories: Sequence[FoundDirectory]) -> list[Located]:
    sources = [source for source in need.sources if source.is_directory]
    found = []
    for each in directories:
        if each.kind not in need.directory_kinds:
            continue
        rank = next((at for at, source in enumerate(sources) if _is_of(each.path, source)), len(sources))
        if need.needs_name and rank == len(sources):
            continue
        excluded = [pattern for source in sources for pattern in source.exclude]
        incomplete = [name for name in (*each.broken, *each.lacking) if not _is_excluded(name, excluded)]
        problem = f"lacks complete {', '.join(incomplete[:3])}" if incomplete else None
        fit = (len(incomplete), not _is_guided_as(need, each), rank)
        found.append((fit, Located(each.path, each.size_bytes, problem)))
    return [located for _, located in sorted(found, key=lambda row: (row[0], row[1].path))]


def _is_guided_as(need: ComponentNeed, found: FoundDirectory) -> bool:
    """Return whether a directory's transformer takes a guidance as the component does; if unknown, it does."""
    return need.is_guided is None or (found.is_guided is not False) == need.is_guided


def _is_of(path: str, source: FileSource) -> bool:
    """Return whether a directory belongs to this repository, by its name or that of Hugging Face's cache."""
    parts = path.split("/")
    return source.name in parts or f"models--{source.repository.replace('/', '--')}" in parts


def _is_excluded(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) or fnmatch(f"{name}/x", pattern) for pattern in patterns)

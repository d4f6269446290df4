"""Invented facts of models."""

from api.domain.models.base_model import ComponentNeed, FileSource, FoundDirectory, FoundFile, LocalWeights, Origin
from api.domain.models.weights import Component, FileForm, Quantisation, WeightsFacts


def source(path: str, *exclude: str, repository: str = "owner/Model") -> FileSource:
    return FileSource(repository, path, 1.0, Origin.FILE_PAGE, exclude)


def need(*sources: FileSource, known_as: str = "", directory: str = "", needs_name: bool = False) -> ComponentNeed:
    return ComponentNeed("vae", "a VAE", sources, tuple(known_as.split()), tuple(directory.split()), needs_name)


def file(
    path: str,
    name: str | None,
    problem: str | None = None,
    form: FileForm = FileForm.SAFETENSORS,
    dtype: str | None = None,
    quantisation: Quantisation | None = None,
) -> FoundFile:
    component = None if name is None else Component(name, f"the {name}", "vae", "here")
    return FoundFile(
        path, WeightsFacts(form, 8, problem is None, problem, component, dtype=dtype, quantisation=quantisation)
    )


def local(*found: FoundFile | FoundDirectory) -> LocalWeights:
    files = tuple(each for each in found if isinstance(each, FoundFile))
    return LocalWeights(files, tuple(each for each in found if isinstance(each, FoundDirectory)))

"""Examine weight files that users name, and check whether they fit a key of a model type."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from api.catalog.base_models.view_builders import MOST_MISSING, view_weights
from api.catalog.base_models.views import WeightsView
from api.domain.access.read_scope import ReadScope, current_scope
from api.domain.finding import make_finding
from api.domain.models.base_model import CatalogModel
from api.errors import Finding, FindingText, Invalid, ModelNotFound, WeightsNotFound
from api.files.weights.examination import describe, examine
from api.files.weights.fingerprints.text_encoders import UNKNOWN_LANGUAGE_MODEL
from api.files.weights.header import Unsound, merged, read_header
from api.files.weights.scan import is_text
from api.files.weights.shards import missing_shards
from api.trainers.diffusion_pipe.models.slots import fingerprints_for, titles_for
from api.training.view_builders import show_findings

#: The limits of files of one directory that are read as one model, and of names in it that are considered.
_MAX_SHARDS, _MAX_NAMES = 64, 10_000

#: The key of [model] for adapters.
_ADAPTERS = "merge_adapters"

#: The limit of tensors of one model; the largest model has 5,000.
_MAX_TENSORS = 100_000


#: Returns the errors and warnings of a training of this model type with this path under this key of [model].
CheckPlace = Callable[[str, str, Path], tuple[Sequence[Finding], Sequence[Finding]]]


class WeightsExaminer:
    """Examines files and directories, and changes nothing."""

    def __init__(
        self,
        models: Mapping[str, CatalogModel],
        find_examined: Callable[[str, ReadScope], Path | None],
        find_upload: Callable[[str], Path] | None = None,
        check_candidate: CheckPlace = lambda model_type, key, path: ((), ()),
    ) -> None:
        """Create the service.

        `find_examined` resolves a path, or returns None if the user may not have it examined. `find_upload` returns the
        path of an upload that the user may see.
        """
        self._models = models
        self._find_examined = find_examined
        self._find_upload = find_upload
        self._check_place_of = check_candidate

    def examine(self, text: str, model_id: str | None = None, key: str | None = None) -> WeightsView:
        """Examine a path, and whether it belongs under a key of a model type.

        Raises WeightsNotFound, ModelNotFound, Invalid.
        """
        self._check_place(model_id, key)
        path = self._find(text)
        examine = self._examine_directory if os.path.isdir(path) else self._examine_file
        placed = self._place(examine(path, text), model_id, key)
        if model_id is None or key is None:
            return placed
        # The trainer uses the name of a link, not that of its target.
        errors, warnings = self._check_place_of(model_id, key, Path(text))
        return replace(
            placed,
            fits=False if errors else placed.fits,
            errors=show_findings(errors),
            warnings=show_findings(warnings),
        )

    def examine_upload(self, upload_id: str, model_id: str | None = None, key: str | None = None) -> WeightsView:
        """Examine the received bytes of an upload, and check whether they fit a key of a model type.

        Raises UploadNotFound, WeightsNotFound, ModelNotFound, Invalid.
        """
        self._check_place(model_id, key)
        if self._find_upload is None:
            raise WeightsNotFound
        # The path of an upload is internal and temporary, so it is not shown.
        found = self._examine_file(self._find_upload(upload_id), upload_id)
        return self._place(found, model_id, key)

    def _check_place(self, model_id: str | None, key: str | None) -> None:
        """Check a slot. Raises ModelNotFound, or Invalid for a key that is not of this model type."""
        if model_id is None:
            return
        known = {need.key for variant in require_model(self._models, model_id).variants for need in variant.components}
        if key is not None and key not in known and not fingerprints_for(f"{model_id}.{key}"):
            keys = ", ".join(sorted(known))
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/key",
                        FindingText("key_of_other_model", "must be a key of {model_type}: {known}"),
                        model_type=model_id,
                        known=keys,
                    )
                ]
            )

    def _place(self, found: WeightsView, model_id: str | None, key: str | None) -> WeightsView:
        """Add to the facts whether the file belongs under a key of a model type, if the request names one."""
        if model_id is None or key is None:
            return found
        belongs = fingerprints_for(f"{model_id}.{key}")
        is_known = found.component not in (None, UNKNOWN_LANGUAGE_MODEL) and bool(belongs)
        fits = any(each.name == found.component for each in belongs) if is_known else None
        if found.adapter is not None or (key == _ADAPTERS and found.component is not None):
            fits = found.adapter is not None and key == _ADAPTERS
        return replace(found, fits=fits, belongs=titles_for(f"{model_id}.{key}"))

    def _find(self, text: str) -> Path:
        """Resolve a path. Raises WeightsNotFound, also for files that the user may not read."""
        found = self._find_examined(text, current_scope.get())
        if found is None or not os.access(found, os.R_OK):
            raise WeightsNotFound
        return found

    def _examine_file(self, path: Path, shown: str) -> WeightsView:
        try:
            return view_weights(shown, examine(path))
        except (OSError, ValueError):
            raise WeightsNotFound from None

    def _examine_directory(self, path: Path, shown: str) -> WeightsView:
        """Examine a directory as one model. Raises WeightsNotFound."""
        try:
            names = sorted(_names(path))
            weights = [name for name in names if name.endswith(".safetensors")][:_MAX_SHARDS]
            files = {name: self._find(f"{path}/{name}") for name in weights}
            size = sum(file.stat().st_size for file in files.values())
        except OSError:
            raise WeightsNotFound from None
        if not files:
            raise WeightsNotFound("This directory has no .safetensors files.")
        missing = missing_shards(path, names)
        headers = []
        for name, file in files.items():
            try:
                header = read_header(file)
            except Unsound:
                found = self._examine_file(file, f"{shown.rstrip('/')}/{name}")
                return replace(found, missing_files=tuple(missing[:MOST_MISSING]))
            headers.extend([header] if header is not None else [])
            if sum(len(each.shapes) for each in headers) > _MAX_TENSORS:
                raise WeightsNotFound("The files of this directory have too many tensors for one model.")
        return view_weights(shown, describe(merged(headers), size), missing)


def require_model(models: Mapping[str, CatalogModel], model_id: str) -> CatalogModel:
    """Return a model type. Raises ModelNotFound."""
    if model_id not in models:
        raise ModelNotFound(data={"models": list(models)})
    return models[model_id]


def _names(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry, _ in zip(entries, range(_MAX_NAMES), strict=False) if is_text(entry.name)]

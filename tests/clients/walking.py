"""The client that openapi-python-client generates from the document, with a record of the called operations."""

import importlib
import pkgutil
from io import BytesIO
from types import ModuleType
from typing import Any

#: Operations whose successful response is text or bytes; all others return a type of the document.
AS_THEY_ARE = {
    "export_dataset",
    "get_item_as_trained",
    "get_media",
    "get_thumbnail",
    "download_training_logs",
    "download_preprocessing_logs",
    "get_model_file",
    "get_sample_file",
    "get_sample_thumbnail",
    "get_training_sample_file",
    "get_training_sample_thumbnail",
    "get_sample_sheet",
    "get_model_preview",
    "get_metrics",
    "get_metrics_at_root",
    "download_artifact",
}


class Walk:
    """Calls operations by name and records them."""

    def __init__(self, made: ModuleType, address: str, key: str) -> None:
        package = made.__name__
        api = importlib.import_module(f"{package}.api")
        self.operations = {
            name.rpartition(".")[2]: importlib.import_module(name)
            for _, name, is_package in pkgutil.walk_packages(api.__path__, f"{package}.api.")
            if not is_package
        }
        self.models = importlib.import_module(f"{package}.models")
        self._types = importlib.import_module(f"{package}.types")
        self.client = made.AuthenticatedClient(base_url=address, token=key, raise_on_unexpected_status=True)
        self.called: set[str] = set()
        #: Operation, status and headers of each response.
        self.answers: list[tuple[str, int, Any]] = []

    def body(self, model: str, content: dict[str, Any]) -> Any:
        return getattr(self.models, model).from_dict(content)

    def file(self, content: bytes, name: str | None = None) -> Any:
        """Return these bytes as a file to send."""
        return self._types.File(payload=BytesIO(content), file_name=name)

    def request(self, name: str, *path: str, **given: Any) -> tuple[int, Any]:
        answer = self.operations[name].sync_detailed(*path, client=self.client, **given)
        self.answers.append((name, int(answer.status_code), answer.headers))
        return int(answer.status_code), answer.parsed

    def call(self, name: str, *path: str, expected: int = 200, **given: Any) -> Any:
        """Return the data of a response with this status and the declared type, or the error of a failure."""
        status, parsed = self.request(name, *path, **given)
        assert status == expected, (name, status, parsed)
        self.called.add(name)
        if status == 204:
            return None
        assert parsed is not None, f"{name} returned no parsed body"
        if name in AS_THEY_ARE:
            return parsed if isinstance(parsed, str) else parsed.payload.read()
        return parsed.data if status < 400 else parsed.error

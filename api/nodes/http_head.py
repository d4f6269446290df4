"""The connection of a node to its head: reports over HTTP, with a key that may be replaced on disk."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson

from api.config import ConfigError
from api.nodes.head import HeadRejected, HeadUnreachable
from api.util.files.outside_files import read_secret_file
from api.util.http.base_path import BASE_PATH
from api.util.http.bounded_answers import AnswerTooLong, TimedTransport, read_answer

#: The most bytes of a response that are read.
_MOST_BYTES = 2**20


class HTTPHead:
    """The head at an address. Its key file is read again after a 401, so that a new key needs no restart."""

    def __init__(self, address: str, key_file: Path | None) -> None:
        """Raise ConfigError if the key cannot be read."""
        self.address = address
        self._key_file = key_file
        self.key = self.read_key()  #: the present key
        # httpx would log a line for each report.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        # The proxies of the environment are for external hosts, not for the head.
        self._client = httpx.Client(transport=TimedTransport(), trust_env=False, follow_redirects=False)

    def read_key(self) -> str | None:
        """Return the node's key, or None without a key file. Raises ConfigError."""
        if self._key_file is None:
            return None
        try:
            key = read_secret_file(self._key_file).content.decode().strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"NODE_KEY_FILE={self._key_file} cannot be read ({error})") from error
        if not key or not key.isascii() or not key.isprintable():
            raise ConfigError(f"NODE_KEY_FILE={self._key_file} contains no key")
        return key

    def send_report(self, name: str, report: bytes, timeout: float) -> Mapping[str, Any]:
        try:
            status, body = self._post(name, report, timeout)
            if status == 401 and self._key_file is not None:
                self.key = self.read_key()
                status, body = self._post(name, report, timeout)
            data = orjson.loads(body)
        except (httpx.HTTPError, AnswerTooLong, ConfigError, orjson.JSONDecodeError) as error:
            raise HeadUnreachable(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        if not isinstance(data, dict):
            raise HeadUnreachable("the response is not from a server of this service")
        if status != 200:
            error_fields = data.get("error") if isinstance(data.get("error"), dict) else {}
            code, detail = str((error_fields or {}).get("code", "unknown")), str(data.get("message", ""))[:500]
            raise HeadRejected(status, code, detail)
        receipt = data.get("data")
        return receipt if isinstance(receipt, dict) else {}

    def _post(self, name: str, report: bytes, timeout: float) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        address = f"{self.address}{BASE_PATH}/nodes/{name}/report"
        give_up_at = time.monotonic() + timeout
        with self._client.stream("POST", address, content=report, headers=headers, timeout=timeout) as answer:
            return answer.status_code, read_answer(answer, _MOST_BYTES, give_up_at)

    def close(self) -> None:
        self._client.close()

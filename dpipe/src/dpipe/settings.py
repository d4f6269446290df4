"""Address and key: from arguments, the environment (DPIPE_URL, DPIPE_KEY), or the file of `dpipe login`."""

import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dpipe.errors import Invalid

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the server is, and the key for it."""

    url: str = DEFAULT_URL
    key: str | None = field(default=None, repr=False)


def config_file() -> Path:
    """Return the path of the file."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "dpipe" / "config.toml"


def load(url: str | None = None, key: str | None = None) -> Settings:
    """Return the settings that apply; an empty key is none. Raise Invalid.

    The key in the file is only used for the address beside it, and the file is not read if both are given.
    """
    address = url or os.environ.get("DPIPE_URL")
    chosen = key if key is not None else os.environ.get("DPIPE_KEY") or None
    stored = Settings() if address and chosen is not None else _read()
    address = normalize(address) if address else stored.url
    if chosen is None and address == stored.url:
        chosen = stored.key
    return Settings(address, chosen or None)


def save(url: str, key: str | None) -> Path:
    """Write the file, readable for its owner only, and return its path."""
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    values = {"url": normalize(url), "key": key}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value is not None)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
    return path


def normalize(url: str) -> str:
    """Return an address without the base path and a final slash. Raise Invalid."""
    address = url.strip() if "://" in url else f"http://{url.strip()}"
    if any(each in address for each in "@?#"):
        # The address is not repeated: it can contain a password.
        text = "The address has a user name, a query or a fragment."
        raise Invalid(text, code="invalid_url", remedy=f"Use one such as {DEFAULT_URL}, and DPIPE_KEY for the key.")
    try:
        parts = urlsplit(address)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and " " not in parts.netloc
    except ValueError:
        is_valid = False
    if not is_valid:
        raise Invalid(f'"{url}" is not an address.', code="invalid_url", remedy=f"Use one such as {DEFAULT_URL}.")
    return address.rstrip("/").removesuffix("/api/v1").rstrip("/")


def _read() -> Settings:
    path = config_file()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        remedy = "Correct it, or replace it: dpipe login URL."
        raise Invalid(f"{path} cannot be read: {error}", code="invalid_config", remedy=remedy) from error
    url, key = values.get("url", DEFAULT_URL), values.get("key")
    if not isinstance(url, str) or not (key is None or isinstance(key, str)):
        raise Invalid(f"{path}: url and key must be texts.", code="invalid_config", remedy="Run dpipe login.")
    return Settings(normalize(url), key)

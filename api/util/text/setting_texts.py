"""Parsers of the texts of settings.

Each raises ValueError with the problem, phrased to follow the name of the setting.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit


def number(low: float, high: float, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """Return a parser of a number between two bounds."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError(f"is not {'a whole' if kind is int else 'a'} number") from None
        if not low <= value <= high:
            raise ValueError(f"is not between {low:g} and {high:g}")
        return value

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a parser of one of these values, ignoring case."""

    def parse(text: str) -> str:
        for value in allowed:
            if text.lower() == value.lower():
                return value
        raise ValueError(f"is not one of {', '.join(allowed)}")

    return parse


def flag(text: str) -> bool:
    """Parse 1 or 0, true or false, yes or no, on or off."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("is neither 1 nor 0")


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas, and convert them to lower case."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def listed(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


_GPU_NAME = re.compile(r"\d{1,4}|[\w.-]+:\d{1,4}|(GPU|MIG)-[0-9A-Fa-f-]+")


def gpu_names(text: str) -> tuple[str, ...]:
    """Parse indexes and UUIDs of GPUs separated by commas. Whether they exist is known only later."""
    found = listed(text)
    for name in found:
        if not _GPU_NAME.fullmatch(name):
            raise ValueError(f"has {name!r}, which is neither the index nor the UUID of a GPU: write 0,1 or GPU-…")
    return found


TRACKERS = ("wandb", "mlflow", "trackio")


def trackers(text: str) -> tuple[str, ...]:
    """Parse names of trackers separated by commas."""
    found = tuple(dict.fromkeys(names(text)))
    if not set(found) <= set(TRACKERS):
        raise ValueError(f"holds something else than {', '.join(TRACKERS)}")
    return found


def origins(text: str) -> tuple[str, ...]:
    """Parse origins separated by commas."""
    origins = tuple(name.rstrip("/") for name in names(text))
    for origin in origins:
        if origin == "*" or not origin.startswith(("http://", "https://")) or "/" in origin.partition("://")[2]:
            raise ValueError("holds something else than origins such as https://dashboard.example.org (no *, no path)")
    return origins


def networks(text: str) -> tuple[str, ...]:
    """Parse addresses and networks separated by commas."""
    networks = names(text)
    for name in networks:
        try:
            ip_network(name)
        except ValueError as error:
            raise ValueError(f"holds something else than addresses and networks: {error}") from None
    return networks


#: The groups of operations that can have a limit.
RATE_GROUPS = ("auth", "starts", "logs", "preprocessing")

_RATE = re.compile(r"(?P<group>\w+)\s*=\s*(?P<limit>[1-9]\d{0,8}\s*/\s*(?:second|minute|hour|day))")


def rates(text: str) -> tuple[tuple[str, str], ...]:
    """Parse the rate limit of each group, as in `starts=10/hour`; `off` means no limits."""
    if text.strip().lower() == "off":
        return ()
    found = [_RATE.fullmatch(part) for part in names(text)]
    given = {rate["group"]: rate["limit"] for rate in found if rate is not None}
    if None in found or len(given) != len(found) or not set(given) <= set(RATE_GROUPS):
        raise ValueError(f"is neither off nor such as {show_rates(DEFAULT_RATES)}, each of these groups once at most")
    return tuple(given.items())


def show_rates(rates: Sequence[tuple[str, str]]) -> str:
    """Return the text that `rates` parses."""
    return ",".join(f"{group}={limit}" for group, limit in rates)


DEFAULT_RATES = (("auth", "60/minute"), ("starts", "10/hour"), ("logs", "100/minute"), ("preprocessing", "20/hour"))


#: Maximum number of heads that a node tries one after the other.
MOST_HEADS = 8


def endpoint(text: str) -> str:
    """Parse the HTTP address of a service, without a user name or password."""
    return _plain_address(text, "http://127.0.0.1:11434/v1", "put the key into CAPTION_KEY_FILE")


#: Maximum number of ComfyUIs that render samples.
MOST_COMFYUIS = 16


def comfyui_url(text: str) -> str:
    """Parse the addresses of ComfyUI, separated by commas and without a user name or password."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MOST_COMFYUIS:
        raise ValueError(f"names {len(parts)} addresses, and the most is {MOST_COMFYUIS}")
    example = "http://127.0.0.1:8188, or several with commas"
    return ",".join(_plain_address(part, example, "ComfyUI has none; let a firewall protect it") for part in parts)


def ollama_url(text: str) -> str:
    """Parse the address of Ollama, without a user name or password."""
    return _plain_address(text, "http://127.0.0.1:11434", "Ollama has none; let a firewall protect it")


def paths(text: str) -> tuple[Path, ...]:
    """Parse paths separated by commas."""
    return tuple(Path(part) for part in listed(text))


def head_url(text: str) -> str:
    """Parse the addresses of heads, separated by commas and without a user name or password."""
    parts = [part.removeprefix(" ") for part in text.split(",")]
    if len(parts) > MOST_HEADS:
        raise ValueError(f"names {len(parts)} addresses, and the most is {MOST_HEADS}")
    example = "http://10.0.0.1:8080, or several with commas"
    return ",".join(_plain_address(part, example, "put the node's key into NODE_KEY_FILE") for part in parts)


def otlp_endpoint(text: str) -> str:
    """Parse the address of a receiver of traces, without a user name or password."""
    return _plain_address(text, "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_HEADERS is for that")


def page_url(text: str) -> str:
    """Parse the address at which users open the page, without a user name or password."""
    return _plain_address(text, "https://gpu.example.org", "people sign in on the page") if text else ""


def _is_http(text: str) -> bool:
    """Return whether a text is an HTTP address with a host and a valid port."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text and not (parts.query or parts.fragment)
    return is_plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def _plain_address(text: str, example: str, instead: str) -> str:
    if not _is_http(text):
        raise ValueError(f"must be an address such as {example}")
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"must hold no password: {instead}")
    return text.rstrip("/")


def caption_command(text: str) -> tuple[str, ...]:
    """Parse the arguments of a program, split and quoted as in a shell. No shell is run."""
    try:
        parts = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"cannot be divided into arguments: {error}") from None
    if not parts or not parts[0].startswith("/"):
        raise ValueError("must begin with the whole path of a program, as in /opt/captioner/caption --file={file}")
    if not any("{file}" in part for part in parts[1:]):
        raise ValueError("must have {file} among its arguments, which is replaced by the path of the file")
    return parts


def operator_command(text: str) -> tuple[str, ...]:
    """Parse the arguments of a command, split and quoted as in a shell. No shell is run."""
    try:
        parts = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"cannot be divided into arguments: {error}") from None
    if not parts or not parts[0].startswith("/"):
        raise ValueError("must begin with the whole path of a program, as in /usr/bin/systemctl poweroff")
    return parts


def hub_repository(text: str) -> str:
    """Parse the name of a repository on the hub."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", text, re.ASCII):
        raise ValueError("must be owner/name, as in ann/models")
    return text


def issuer(text: str) -> str:
    """Parse the address of an OpenID Connect provider."""
    if not text.startswith(("https://", "http://")):
        raise ValueError("is no address that begins with https://")
    return text


def roles(text: str) -> tuple[tuple[str, str], ...]:
    """Parse `group=role` separated by commas."""
    pairs = [part.strip().rpartition("=") for part in text.split(",") if part.strip()]
    for group, _, role in pairs:
        if not group.strip() or role.strip() not in ROLES:
            raise ValueError(f"is not such as ml-admins=admin,*=viewer; the roles are {', '.join(ROLES)}")
    return tuple((group.strip(), role.strip()) for group, _, role in pairs)


#: The roles that OIDC_ROLES can assign.
ROLES = ("viewer", "trainer", "admin")


def node_name(text: str) -> str:
    """Parse the name of a machine."""
    name = text.strip()
    if not name.isprintable() or len(name) > 255:
        raise ValueError("is no name of up to 255 printable characters")
    return name


def trainer_user(text: str) -> str:
    """Parse a user's name, or uid:gid."""
    name = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?|\d{1,10}:\d{1,10}", name, re.ASCII):
        raise ValueError("is neither the name of a user nor uid:gid")
    return name


def redis_url(text: str) -> str:
    """Parse the URL of a Redis server."""
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("is no URL of a Redis: redis://host:6379/0, rediss:// with TLS, or unix:// a socket")
    return text


def directories(text: str) -> tuple[Path, ...]:
    """Parse absolute paths separated by colons."""
    paths = tuple(Path(part) for part in text.split(":") if part)
    if not all(path.is_absolute() for path in paths):
        raise ValueError("holds a path that does not begin with /")
    return paths


def slurm_url(text: str) -> str:
    """Parse the address of slurmrestd: by HTTP, or a socket of the file system."""
    if text.startswith("unix:///") and len(text) > len("unix:///"):
        return text
    if _is_http(text):
        address = urlsplit(text)
        if address.username is not None or address.password is not None:
            raise ValueError("holds a password: the token belongs in SLURM_TOKEN_FILE")
        return text.rstrip("/")
    raise ValueError("is no address such as http://127.0.0.1:6820 or unix:///run/slurmrestd/socket")

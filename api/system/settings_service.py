"""Settings that can be changed without a restart. The environment wins; the database has the others.

All servers on the database read it again every few seconds. Settings that start programs or open the service to others
(`CAPTION_COMMAND`, `AUTH`, …) are not among them.
"""

import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.access.readable_paths import ReadablePaths
from api.config import SETTINGS, Config
from api.db.rows import to_time
from api.db.sealing import Sealer, SecretUnreadable
from api.domain.access.read_scope import WHOLE
from api.errors import DatabaseUnavailable, Finding, Invalid, SettingFixed
from api.system.settings_store import SettingsStore, StoredSetting
from api.system.views import (
    RunTimeSettingKind,
    RunTimeSettingList,
    RunTimeSettingView,
    SettingSource,
    SettingValue,
)
from api.util.clock import Clock
from api.util.files.reached_paths import UnknownTarget, reach
from api.util.http.validation import ONE_LINE
from api.util.periodic import LoopOwner, PeriodicThread
from api.util.text.suggestions import nearest

logger = logging.getLogger(__name__)

#: Seconds between two readings of the database, so that every server has a change within 5 s.
REREAD_SECONDS = 2.0

#: The most characters of a value, and the most paths of a list.
_MOST_CHARACTERS, _MOST_PATHS = 4096, 64

_ONE_LINE = re.compile(ONE_LINE)
_MASK = "***"

#: The endpoint's key; the environment names a file with it instead.
CAPTION_KEY = "CAPTION_KEY"


@dataclass(frozen=True, slots=True)
class RunTimeSetting:
    """A setting that can be changed at run time: the name of its field, and the fields that prevent that if given."""

    field: str
    kind: RunTimeSettingKind
    fixed_with: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name in the environment."""
        return CAPTION_KEY if self.field == "caption_key" else str(SETTINGS[self.field].metadata["env"])

    def fixed_by(self, config: Config) -> str | None:
        """Return the name of the setting of the environment that prevents changes, or None."""
        own = () if self.field == "caption_key" else (self.field,)
        return next((SETTINGS[name].metadata["env"] for name in (*own, *self.fixed_with) if config.fixes(name)), None)

    def parse(self, text: str) -> Any:
        """Return the value of a text as in the environment. Raises ValueError."""
        return text if self.field == "caption_key" else SETTINGS[self.field].metadata["parse"](text)

    def show(self, value: Any) -> SettingValue:
        """Return a value as JSON."""
        if self.kind is RunTimeSettingKind.SECRET:
            return _MASK if value else None
        if self.kind is RunTimeSettingKind.DIRECTORIES:
            return [str(path) for path in value]
        if isinstance(value, Path):
            return str(value)
        return None if value == "" else value


_CAPTIONS = ("caption_command", "caption_key_file")

#: In the order of the answer.
RUN_TIME_SETTINGS = (
    RunTimeSetting("diffusion_pipe_root", RunTimeSettingKind.DIRECTORY),
    RunTimeSetting("diffusion_pipe_python", RunTimeSettingKind.FILE),
    RunTimeSetting("models_directories", RunTimeSettingKind.DIRECTORIES),
    RunTimeSetting("dataset_directories", RunTimeSettingKind.DIRECTORIES),
    # A key of the environment is only sent to the address of the environment.
    RunTimeSetting("caption_endpoint", RunTimeSettingKind.ADDRESS, _CAPTIONS),
    RunTimeSetting("caption_model", RunTimeSettingKind.TEXT),
    RunTimeSetting("caption_key", RunTimeSettingKind.SECRET, _CAPTIONS),
    RunTimeSetting("caption_per_minute", RunTimeSettingKind.WHOLE_NUMBER),
    RunTimeSetting("caption_price", RunTimeSettingKind.NUMBER),
    RunTimeSetting("notify_url", RunTimeSettingKind.SECRET),
    RunTimeSetting("public_url", RunTimeSettingKind.ADDRESS),
    RunTimeSetting("max_concurrent_tasks", RunTimeSettingKind.WHOLE_NUMBER),
    RunTimeSetting("stop_checkpoint_seconds", RunTimeSettingKind.NUMBER),
    RunTimeSetting("stop_terminate_seconds", RunTimeSettingKind.NUMBER),
    RunTimeSetting("hang_step_seconds", RunTimeSettingKind.NUMBER),
    RunTimeSetting("hang_quiet_seconds", RunTimeSettingKind.NUMBER),
    RunTimeSetting("retention_keep_last", RunTimeSettingKind.WHOLE_NUMBER),
    RunTimeSetting("retention_keep_every", RunTimeSettingKind.WHOLE_NUMBER),
    RunTimeSetting("retention_keep_rated", RunTimeSettingKind.WHOLE_NUMBER),
    RunTimeSetting("neighbour_rule", RunTimeSettingKind.TEXT),
    RunTimeSetting("neighbour_idle_minutes", RunTimeSettingKind.NUMBER),
    RunTimeSetting("log_level", RunTimeSettingKind.TEXT),
)

_BY_KEY = {each.key: each for each in RUN_TIME_SETTINGS}


class RunTimeSettings(LoopOwner):
    """The present settings. `current` is replaced as a whole, so that readers need no lock."""

    def __init__(
        self,
        config: Config,
        store: SettingsStore,
        sealer: Sealer,
        paths: ReadablePaths,
        clock: Clock,
        check_notify_url: Callable[[str], None],
        check_python: Callable[[str], None],
    ) -> None:
        """`config` has the settings of the environment.

        `check_notify_url` and `check_python` raise ValueError for a rejected address or program.
        """
        self.current = config
        self._environment = config
        self._store = store
        self._sealer = sealer
        self._paths = paths
        self._clock = clock
        self._check_notify_url = check_notify_url
        self._check_python = check_python
        self._stored: Mapping[str, StoredSetting] = {}
        self._problems: Mapping[str, str] = {}
        self._subscribers: list[Callable[[Config], None]] = []
        self._lock = threading.Lock()
        self._thread = PeriodicThread("settings", REREAD_SECONDS, self.reread)

    def subscribe(self, apply: Callable[[Config], None]) -> None:
        """Have `apply` called with the settings after each change, one call at a time."""
        self._subscribers.append(apply)

    def reread(self) -> None:
        """Apply the stored settings if they have changed. Without a database, the previous ones stay."""
        with self._lock:
            try:
                stored = self._store.read()
            except DatabaseUnavailable as error:
                logger.debug("the settings cannot be read", extra={"problem": error.detail})
                return
            if stored == self._stored:
                return
            self._stored = stored
            before, self.current = self.current, self._merge(stored)
            if self.current != before:
                for apply in self._subscribers:
                    apply(self.current)

    def _merge(self, stored: Mapping[str, StoredSetting]) -> Config:
        values: dict[str, Any] = {}
        problems: dict[str, str] = {}
        for key, one in stored.items():
            setting = _BY_KEY.get(key)
            # Another version of the service may have stored a key that this one does not have.
            if setting is None or setting.fixed_by(self._environment) is not None:
                continue
            try:
                text = self._sealer.open_text(one.sealed) if one.sealed is not None else one.value or ""
                values[setting.field] = setting.parse(text)
            except (ValueError, OSError, SecretUnreadable) as error:
                problems[key] = str(error)
                logger.warning("a stored setting cannot be used", extra={"setting": key, "problem": str(error)})
        self._problems = problems
        return replace(self._environment, **values)

    def for_nodes(self) -> dict[str, str]:
        """Return the stored settings that concern machines without a database, as in the environment."""
        level = self._stored.get("LOG_LEVEL")
        return {} if level is None or level.value is None else {"LOG_LEVEL": level.value}

    # -- requests ----------------------------------------------------------------------------------------------------

    def list(self) -> RunTimeSettingList:
        """Return every setting."""
        return RunTimeSettingList(tuple(self._view(each) for each in RUN_TIME_SETTINGS))

    def _view(self, setting: RunTimeSetting) -> RunTimeSettingView:
        key, stored = setting.key, self._stored.get(setting.key)
        is_given = setting.field != "caption_key" and self._environment.fixes(setting.field)
        is_stored = not is_given and stored is not None
        if setting.field == "caption_key":
            default, description = "none: it needs no key", "API key for CAPTION_ENDPOINT"
        else:
            default, description = (str(SETTINGS[setting.field].metadata[name]) for name in ("shown", "help"))
        return RunTimeSettingView(
            key=key,
            kind=setting.kind,
            value=setting.show(getattr(self.current, setting.field)),
            source=SettingSource.ENVIRONMENT
            if is_given
            else SettingSource.DATABASE
            if is_stored
            else SettingSource.DEFAULT,
            default=default,
            description=description,
            fixed_by=setting.fixed_by(self._environment),
            problem=self._problems.get(key),
            restart_needed=False,
            updated_at=None if stored is None else to_time(stored.updated_at),
            updated_by=None if stored is None else stored.updated_by,
        )

    def change(self, values: Mapping[str, SettingValue], actor: str) -> RunTimeSettingList:
        """Store these values; None removes one. All or none are changed. Raises Invalid, SettingFixed, Conflict.

        A new CAPTION_ENDPOINT removes the stored key unless the request has one: the key belongs to the old address.
        """
        texts, mistakes = self._read_texts(values)
        if mistakes:
            raise Invalid(mistakes=mistakes)
        for key in texts:
            if (by := _BY_KEY[key].fixed_by(self._environment)) is not None:
                raise SettingFixed(
                    f"{key} cannot be changed here, because the environment sets {by}. Change it there, and restart.",
                    data={"key": key, "fixed_by": by},
                )
        # Another server may have changed the address since the last reading.
        self.reread()
        endpoint = "CAPTION_ENDPOINT"
        stored = self._stored.get(endpoint)
        if endpoint in texts and texts[endpoint] != (None if stored is None else stored.value):
            texts.setdefault(CAPTION_KEY, None)
        now = self._clock.now().timestamp()
        self._store.change({key: self._seal(key, text, now, actor) for key, text in texts.items()})
        logger.info("settings changed", extra={"settings": ", ".join(texts), "by": actor})
        self.reread()
        return self.list()

    def _read_texts(self, values: Mapping[str, SettingValue]) -> tuple[dict[str, str | None], Sequence[Finding]]:
        texts: dict[str, str | None] = {}
        mistakes = []
        for key, value in values.items():
            setting = _BY_KEY.get(key)
            try:
                if setting is None:
                    raise ValueError(_describe_unknown(key))
                texts[key] = None if value is None or value == [] else self._check(setting, value)
            except ValueError as error:
                mistakes.append(Finding(f"/values/{key[:80].replace('~', '~0').replace('/', '~1')}", str(error)))
        return texts, mistakes

    def _seal(self, key: str, text: str | None, now: float, actor: str) -> StoredSetting | None:
        if text is None:
            return None
        if _BY_KEY[key].kind is RunTimeSettingKind.SECRET:
            return StoredSetting(None, self._sealer.seal_text(text), now, actor[:64])
        return StoredSetting(text, None, now, actor[:64])

    def _check(self, setting: RunTimeSetting, value: SettingValue) -> str:
        """Return the text of a valid value. Raises ValueError."""
        text = _as_text(setting.kind, value)
        setting.parse(text)
        if setting.kind is RunTimeSettingKind.DIRECTORIES:
            for path in text.split(":"):
                self._require_directory(path)
        if setting.kind is RunTimeSettingKind.DIRECTORY:
            real = self._require_directory(text)
            if not os.path.isfile(f"{real}/train.py"):
                raise ValueError("is not a checkout of diffusion-pipe: it has no train.py")
            self._require_owner(text, real)
        if setting.kind is RunTimeSettingKind.FILE:
            real = self._require_path(text)
            if not os.path.isfile(real) or not os.access(real, os.X_OK):
                raise ValueError("is not a program that this service may execute")
            self._require_owner(text, real)
            self._check_python(text)
        if setting.field == "caption_key" and not text.isascii():
            raise ValueError("must consist of ASCII characters, because it is sent in a header")
        if setting.field == "notify_url":
            self._check_notify_url(text)
        return text

    def _require_directory(self, path: str) -> str:
        real = self._require_path(path)
        if not os.path.isdir(real):
            raise ValueError(f"names {path}, which is not a directory")
        if not os.access(real, os.R_OK | os.X_OK):
            raise ValueError(f"names {path}, which this service may not read")
        return real

    def _require_path(self, path: str) -> str:
        """Return the resolved path, which must not lead to or contain files of the service. Raises ValueError."""
        if not path.startswith("/"):
            raise ValueError("must be a path that begins with /")
        if ".." in path.split("/"):
            raise ValueError("must be a path without ..")
        try:
            real = reach(path)
        except UnknownTarget:
            real = None
        if real is None:
            raise ValueError(f"names {path}, which cannot be resolved")
        if real.startswith("/dev/") or real == "/" or not self._paths.may_register(Path(real), WHOLE):
            raise ValueError(f"names {path}, which leads to or contains the service's own files")
        return real

    def _require_owner(self, *paths: str) -> None:
        """Raise ValueError for a program that others can replace, if every user of this machine may set it."""
        if self._environment.needs_keys:
            return
        for path in {above for each in map(Path, paths) for above in (each, *each.parents)}:
            status = path.lstat()
            is_open = status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode)
            if status.st_uid not in (0, os.geteuid()) or (is_open and not status.st_mode & stat.S_ISVTX):
                raise ValueError(f"can be replaced by other users ({path}): without keys, set it in the environment")


def _describe_unknown(key: str) -> str:
    close = nearest(key, list(_BY_KEY))
    return "is not a setting that can be changed at run time" + (f"; did you mean {close}?" if close else "")


def _as_text(kind: RunTimeSettingKind, value: SettingValue) -> str:
    """Return a JSON value as the environment has it. Raises ValueError."""
    parts: Sequence[Any] = [value]
    if kind is RunTimeSettingKind.DIRECTORIES:
        if not isinstance(value, list) or len(value) > _MOST_PATHS:
            raise ValueError(f"must be a list of up to {_MOST_PATHS} paths")
        parts = value
    elif kind in (RunTimeSettingKind.NUMBER, RunTimeSettingKind.WHOLE_NUMBER):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("must be a number")
        is_whole = isinstance(value, float) and value.is_integer() and kind is RunTimeSettingKind.WHOLE_NUMBER
        return str(int(value) if is_whole else value)
    for part in parts:
        if not isinstance(part, str) or not part.strip():
            raise ValueError("must be text; null removes the value")
        if len(part) > _MOST_CHARACTERS or _ONE_LINE.match(part) is None:
            raise ValueError(f"must be one line of up to {_MOST_CHARACTERS} characters without control characters")
        if kind is RunTimeSettingKind.DIRECTORIES and ":" in part:
            raise ValueError("must hold no path with a colon")
    return ":".join(parts)

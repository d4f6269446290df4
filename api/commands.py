"""What an operator has the service do at the machine instead of serving: make a backup, and restore it."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from api.config import Config, ConfigError, program
from api.runtime.backups import make_backup, restore_backup
from api.storage.backup_file import BackupError
from api.storage.database import DatabaseError
from api.storage.privacy import UMASK

_USAGE = """\
usage: {program} backup [FILE] [--force] [settings]
       {program} restore FILE [--force] [settings]

backup writes the database and the machine's name into FILE, by default one under STORAGE_ROOT/backups; servers may run.
restore puts them back while no server runs. The database that was there is kept beside it.
--force lets them replace what is there. Of the files of tasks (logs, checkpoints, secrets) a backup has none.
Settings, such as --storage-root and --database-url: {program} --help lists them."""


def find_command(arguments: Sequence[str]) -> Callable[[Sequence[str]], int] | None:
    """The command that these arguments begin with; None where the service shall serve."""
    return _COMMANDS.get(arguments[0]) if arguments else None


def run_command(command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Runs a command with the arguments behind its name. Returns the exit code: 0 when it did what it was told, 1 when
    it could not, 2 when it was told wrongly.
    """
    os.umask(UMASK)
    if "-h" in arguments or "--help" in arguments:
        print(_USAGE.format(program=program()))
        return 0
    try:
        return command(arguments)
    except ConfigError as error:
        return _refuse(error, 2)
    except (BackupError, DatabaseError) as error:
        return _refuse(error, 1)


def _backup(arguments: Sequence[str]) -> int:
    file, replaces, config = _read(arguments)
    made = make_backup(config, file, replaces)
    print(f"The backup is {made} ({made.stat().st_size:,} bytes).")
    return 0


def _restore(arguments: Sequence[str]) -> int:
    file, replaces, config = _read(arguments)
    if file is None:
        raise ConfigError("restore needs the FILE of a backup")
    restored = restore_backup(config, file, replaces)
    print(f"What was kept at {restored.made_at} is back; the next start of a server takes up what runs.")
    if restored.kept is not None:
        print(f"The former database is kept: {restored.kept}.")
    if restored.former_root != str(config.storage_root.absolute()):
        print(f"The files of tasks lay under {restored.former_root}: trainings look for them there.")
    return 0


def _read(arguments: Sequence[str]) -> tuple[Path | None, bool, Config]:
    """The file, whether something may be replaced, and the settings. Raises ConfigError."""
    rest = list(arguments)
    file = Path(rest.pop(0)) if rest and not rest[0].startswith("-") else None
    replaces = "--force" in rest
    return file, replaces, Config.from_env(argv=[argument for argument in rest if argument != "--force"])


def _refuse(why: object, code: int) -> int:
    print(f"{program()}: {why}", file=sys.stderr)
    return code


_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {"backup": _backup, "restore": _restore}

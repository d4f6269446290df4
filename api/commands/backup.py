"""The commands `backup` and `restore`: at the machine itself, while the service runs and while it does not."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from api.composition.backups import make_backup, restore_backup
from api.config import Config, ConfigError, program, read_config
from api.db.backup_file import BackupError
from api.db.database_url import DatabaseError
from api.db.privacy import UMASK

_USAGE = """\
usage: {program} backup [FILE] [--force] [settings]
       {program} restore FILE [--force] [settings]
FILE stands first or last.

backup writes the database and the machine's name into FILE, by default one under STORAGE_ROOT/backups; servers may run.
restore puts them back while no server runs. The database that was there is kept beside it.
--force lets them replace what is there. Of the files of tasks (logs, checkpoints, secrets) a backup has none.
Settings, such as --storage-root and --database-url: {program} --help lists them."""


def run_backup_command(argv: Sequence[str]) -> int:
    """Does what `backup` or `restore` and what follows say. Returns the exit code: 0, 1 when it cannot be done,
    2 for wrong arguments.
    """
    os.umask(UMASK)
    name, *arguments = argv
    if "-h" in arguments or "--help" in arguments:
        print(_USAGE.format(program=program()))
        return 0
    try:
        return _backup(arguments) if name == "backup" else _restore(arguments)
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
    if restored.revived:
        since = (
            "did not hold before and hold now"
            if restored.is_former_known
            else ("hold now; which of them had been revoked since the backup is not known")
        )
        print(f"These keys {since}: revoke those that should not, by `{program()} key revoke KEY_ID`.")
        for key in restored.revived:
            print(f"  {key}")
    return 0


def _read(arguments: Sequence[str]) -> tuple[Path | None, bool, Config]:
    """Return the file, whether something may be replaced, and the settings. Raises ConfigError."""
    rest = [argument for argument in arguments if argument != "--force"]
    file = None
    for at in (0, -1):
        # After a setting's flag the last word is its value.
        is_value = at == -1 and len(rest) > 1 and rest[-2].startswith("-") and "=" not in rest[-2]
        if file is None and rest and not rest[at].startswith("-") and not is_value:
            file = Path(rest.pop(at))
    return file, "--force" in arguments, read_config(argv=rest)


def _refuse(why: object, code: int) -> int:
    print(f"{program()}: {why}", file=sys.stderr)
    return code

"""The commands `backup` and `restore`. A backup can be made while the service runs."""

import os
from collections.abc import Sequence
from pathlib import Path

from api.composition.backups import make_backup, restore_backup
from api.config import Config, ConfigError, program, read_config, refuse
from api.db.backups.file import BackupError
from api.db.database_url import DatabaseError
from api.db.privacy import UMASK

_USAGE = """\
usage: {program} backup [FILE] [--force] [settings]
       {program} restore FILE [--force] [settings]
FILE is the first or the last argument.

backup writes the database and the machine's name into FILE, by default a new file in STORAGE_ROOT/backups. Servers may
run. restore replaces the database while no server runs; the previous database is kept beside it.
--force allows to replace existing files or databases. Files of tasks (logs, checkpoints, secrets) are not included.
Settings, such as --storage-root and --database-url: see {program} --help."""


def run_backup_command(argv: Sequence[str]) -> int:
    """Run `backup` or `restore`, the first argument.

    Returns the exit code: 0, 1 if it fails, 2 for invalid arguments.
    """
    os.umask(UMASK)
    name, *arguments = argv
    if "-h" in arguments or "--help" in arguments:
        print(_USAGE.format(program=program()))
        return 0
    try:
        return _backup(arguments) if name == "backup" else _restore(arguments)
    except ConfigError as error:
        return refuse(error, 2)
    except (BackupError, DatabaseError) as error:
        return refuse(error, 1)


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
    print(f"The backup of {restored.made_at} is restored. The next start of a server adopts running tasks.")
    if restored.previous is not None:
        print(f"The previous database is kept: {restored.previous}.")
    if restored.former_root != str(config.storage_root.absolute()):
        print(f"The files of tasks were in {restored.former_root}; trainings still refer to that path.")
    if restored.revived:
        since = (
            "were not active before and are active now"
            if restored.is_former_known
            else ("are active now; it is unknown which of them were revoked since the backup")
        )
        print(f"These keys {since}. Revoke unwanted ones with `{program()} key revoke KEY_ID`.")
        for key in restored.revived:
            print(f"  {key}")
    return 0


def _read(arguments: Sequence[str]) -> tuple[Path | None, bool, Config]:
    """Return the file, whether something may be replaced, and the settings. Raises ConfigError."""
    rest = [argument for argument in arguments if argument != "--force"]
    file = None
    for at in (0, -1):
        # After an option, the last argument is its value.
        is_value = at == -1 and len(rest) > 1 and rest[-2].startswith("-") and "=" not in rest[-2]
        if file is None and rest and not rest[at].startswith("-") and not is_value:
            file = Path(rest.pop(at))
    return file, "--force" in arguments, read_config(argv=rest)

"""Starts the service: configuration, runtime, server. The only place that starts anything."""

import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from api import __version__
from api.app import create_app
from api.audit_command import AUDIT_COMMAND, run_audit_command
from api.backup_command import BACKUP_COMMANDS, run_backup_command
from api.config import Config, ConfigError, program
from api.errors import ServiceError
from api.key_command import KEY_COMMAND, run_key_command
from api.routes.allowed_methods import AllowedMethods
from api.runtime.composition import Runtime, StorageError
from api.server import Shell
from api.services.access.first_key import MAKE_ONE
from api.shell.auditing import Auditing
from api.shell.form_upload import FORM_UPLOAD, FormUpload
from api.shell.gate import Gate
from api.shell.pouring import DiskThreads, Pourer
from api.shell.protocol import listen
from api.shell.serving import Server
from api.shell.tus import Tus
from api.storage.database import DatabaseError
from api.storage.privacy import UMASK
from api.utils.logs import set_up_logging
from api.worker_command import WORKER_COMMAND, run_worker_command

logger = logging.getLogger("api")

#: Files and sockets that the service may hold; the usual soft limit of 1,024 is too few for 1,000 live clients.
OPEN_FILES = 65_536


_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    KEY_COMMAND: run_key_command,
    AUDIT_COMMAND: run_audit_command,
    WORKER_COMMAND: run_worker_command,
}


def main(argv: Sequence[str]) -> int:
    """Serves until told to end. Returns the exit code: 0 then, 1 when it cannot start, 2 when a setting is wrong.

    With `key`, `backup`, `restore`, `audit-verify` or `worker` as the first argument it does what the command of that
    name does.
    """
    if argv and argv[0] in BACKUP_COMMANDS:
        return run_backup_command(argv)
    command = _COMMANDS.get(argv[0]) if argv else None
    if command is not None:
        return command(argv[1:])
    os.umask(UMASK)
    try:
        config = Config.from_env(argv=argv)
        set_up_logging(config.log_level, config.logs_json)
        runtime = Runtime(config)
    except (ConfigError, DatabaseError) as error:
        return _refuse(error, 2)
    except StorageError as error:
        return _refuse(error)
    try:
        listener = listen(config.host, config.port)
    except (OSError, UnicodeError) as error:
        why = f"{config.host}:{config.port} cannot be listened on ({getattr(error, 'strerror', None) or error})"
        return _refuse(f"{why}: stop what listens there, or choose another with --port")
    _set_limits()
    try:
        runtime.prepare()
        _show_first_key(runtime.access.provide_first_key())
    except ConfigError as error:
        return _refuse(error, 2)
    except (DatabaseError, StorageError, ServiceError) as error:
        return _refuse(error)
    port = listener.getsockname()[1]
    shell = create_shell(runtime)
    server = Server(
        shell,
        shell.unread,
        runtime.live,
        on_started=lambda: _announce(runtime, port),
        trusted_proxies=config.trusted_proxies,
    )
    try:
        runtime.start()
    except ServiceError as error:
        return _refuse(error)
    # What is loaded by now stays: without this, each full collection walks over it, for 70 ms. One such walk before it
    # would find 0.2 MB, and keep the first client waiting.
    gc.freeze()
    gc.enable()
    try:
        server.run(sockets=[listener])
    finally:
        runtime.stop()
    logger.info("ended")
    return 0


def _refuse(why: object, code: int = 1) -> int:
    print(f"{program()}: {why}", file=sys.stderr)
    return code


def _show_first_key(key: str | None) -> None:
    """Shows a new administrator's key to whoever started the service, and to no log of it."""
    if key is not None:
        line = "=" * 78
        print(
            f"\n{line}\n  The administrator's key. It is shown this once, as only its hash is kept:\n\n    {key}\n\n"
            f"  Should it be lost: {MAKE_ONE}\n{line}\n",
            file=sys.stderr,
            flush=True,
        )


def create_shell(runtime: Runtime, serves_documents: bool = True) -> Shell:
    """The ASGI application built from the runtime's parts, for the server and for tests."""
    gpus, system = runtime.services.gpus, runtime.services.system
    app, uploads = create_app(runtime.services), runtime.services.uploads
    pourer = Pourer(DiskThreads())
    tus = Tus(uploads, pourer, uploads.limits.most)
    takers = {**tus.takers, FORM_UPLOAD: FormUpload(uploads, pourer)}
    return Shell(
        app,
        AllowedMethods(app.url_map),
        runtime.policy,
        Gate(runtime.access.authority, runtime.access.rates, runtime.live.serving.has),
        Auditing(runtime.access.audit, runtime.services.clock),
        runtime.access_log,
        runtime.live.serving,
        lambda: gpus.documents,
        {"/health": system.get_health, "/health/ready": system.get_readiness},
        runtime.services.clock,
        runtime.config.max_body_bytes,
        serves_documents,
        tus,
        takers,
    )


def _announce(runtime: Runtime, port: int) -> None:
    config = runtime.config
    status = runtime.services.gpus.get_status()
    host = f"[{config.host.strip('[]')}]" if ":" in config.host else config.host
    address = f"http://{host}:{port}"
    names = sorted({gpu.name or "unknown" for gpu in status.gpus})
    facts = {
        "version": __version__,
        "docs": f"{address}/docs",
        "gpus": f"{status.source}: {len(status.gpus)} ({', '.join(names)})" if names else f"{status.source}: none",
        "gpu_problem": status.source_problem,
        "database": runtime.database.shown,
        "storage": _describe_storage(config),
        "trainer_user": config.trainer_user or None,
        "log_level": config.log_level,
    }
    logger.info("listening on %s", address, extra={k: v for k, v in facts.items() if v is not None})
    if config.gpu_status_check_timeout < config.gpu_monitor_interval:
        logger.warning("GPU_STATUS_CHECK_TIMEOUT is below GPU_MONITOR_INTERVAL: readings turn stale between sweeps")
    if not config.is_loopback and not config.needs_keys:
        logger.warning("everybody who reaches this address can use it: no keys are asked for")


def _describe_storage(config: Config) -> str:
    root = config.storage_root
    # A relative one is another one wherever the service is started.
    hint = "" if root.is_absolute() else " (under the current directory; STORAGE_ROOT names another)"
    return f"{root.absolute()}{hint}"


def _set_limits() -> None:
    # A core holds the keys and tokens that were in memory; where one is wanted, `ulimit -c` of a process says so.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run() -> NoReturn:
    """Runs `main` with this process's arguments and exits with its code."""
    # Until the server takes over the signals: to be told to end is no failure at any time.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    sys.exit(main(sys.argv[1:]))

"""Start the service: configuration, runtime, server. Only this module starts threads and servers."""

import contextlib
import ctypes
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence

from api import __version__
from api.access.first_key import MAKE_ONE
from api.app import create_app
from api.commands.audit import run_audit_command
from api.commands.backup import run_backup_command
from api.commands.check_trainer import run_check_trainer_command
from api.commands.key import run_key_command
from api.commands.worker import run_worker_command
from api.composition.composition import Runtime
from api.composition.storage_root import StorageError
from api.config import Config, ConfigError, read_config, refuse
from api.db.database_url import DatabaseError
from api.db.privacy import UMASK
from api.errors import ServiceError
from api.util.logs import set_up_logging
from api.web.auditing import Auditing
from api.web.bodies.body_streamer import BodyStreamer, DiskThreads
from api.web.bodies.form_upload import FORM_UPLOADS, FormUpload
from api.web.bodies.tus import Tus
from api.web.gate import Gate
from api.web.operations import AllowedMethods, OperationTable
from api.web.protocol import ListenError, listen
from api.web.serving import Server
from api.web.shell import Shell, ShellParts

logger = logging.getLogger("api")

#: Open files and sockets of the service; the usual soft limit of 1,024 is too low for 1,000 live clients.
OPEN_FILES = 65_536

#: The command that is the default.
SERVE = "serve"

#: glibc's mallopt parameter for the number of heaps (malloc.h).
_M_ARENA_MAX = -8

_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "key": run_key_command,
    "audit-verify": run_audit_command,
    "check-trainer": run_check_trainer_command,
    "worker": run_worker_command,
    "backup": lambda arguments: run_backup_command(["backup", *arguments]),
    "restore": lambda arguments: run_backup_command(["restore", *arguments]),
}


def main(argv: Sequence[str]) -> int:
    """Run the service until it is stopped, or the command that the first argument names.

    Returns the exit code: 0 after a normal stop, 1 if the service cannot start, 2 for an invalid setting. Commands:
    `serve` (the default), `key`, `backup`, `restore`, `audit-verify`, `check-trainer`, `worker`.
    """
    command = _COMMANDS.get(argv[0]) if argv else None
    if command is not None:
        gc.enable()
        return command(argv[1:])
    os.umask(UMASK)
    _share_one_heap()
    try:
        config = read_config(argv=argv[1:] if argv[:1] == [SERVE] else argv)
    except ConfigError as error:
        return refuse(error, 2)
    set_up_logging(config.log_level, config.logs_json)
    _set_limits()
    return _run_node(config) if config.role == "node" else _serve(config)


def _serve(config: Config) -> int:
    """Create all parts and bind the port before changing anything in the storage."""
    try:
        runtime = Runtime(config)
    except (ConfigError, DatabaseError) as error:
        return refuse(error, 2)
    except StorageError as error:
        return refuse(error)
    try:
        listener = listen(config.host, config.port)
        runtime.prepare()
        _show_first_key(runtime.access.provide_first_key())
    except ConfigError as error:
        return refuse(error, 2)
    except (ListenError, DatabaseError, StorageError, ServiceError) as error:
        return refuse(error)
    return _run_server(runtime, listener)


def _run_server(runtime: Runtime, listener: socket.socket) -> int:
    port = listener.getsockname()[1]
    shell = create_shell(runtime)
    server = Server(
        shell,
        runtime.live,
        on_started=lambda: _announce(runtime, port),
        trusted_proxies=runtime.config.trusted_proxies,
    )
    try:
        runtime.start()
    except ServiceError as error:
        return refuse(error)
    # The objects of the start are permanent. Without freezing, each full collection would scan them for 70 ms; one
    # collection before it would free 0.2 MB and delay the first client.
    gc.freeze()
    gc.enable()
    _give_back_memory()
    try:
        server.run(sockets=[listener])
    finally:
        runtime.stop()
    logger.info("ended")
    return 0


def _run_node(config: Config) -> int:
    # httpx is heavy, and only a node uses it.
    from api.commands.node import run_node  # noqa: PLC0415

    # run.py disables the collector while modules load.
    gc.enable()
    return run_node(config)


def _show_first_key(key: str | None) -> None:
    """Print a new administrator's key to the terminal of the user who started the service, not to a log."""
    if key is not None:
        line = "=" * 78
        print(
            f"\n{line}\n  The administrator's key, shown only once, because only its hash is stored:\n\n    {key}\n\n"
            f"  If you lose it: {MAKE_ONE}\n{line}\n",
            file=sys.stderr,
            flush=True,
        )


def create_shell(runtime: Runtime, serves_documents: bool = True) -> Shell:
    """Create the ASGI application from the runtime's parts, for the server and for tests."""
    gpus, system = runtime.services.gpus.service, runtime.services.system.service
    uploads, largest = runtime.services.datasets.uploads, runtime.config.max_upload_bytes
    body_streamer = BodyStreamer(DiskThreads())
    tus = Tus(uploads, body_streamer, largest)
    forms = {operation: FormUpload(uploads, body_streamer, file) for operation, file in FORM_UPLOADS.items()}
    body_handlers = {**tus.body_handlers, **forms}
    parts = ShellParts(
        flask_app=create_app(runtime.services),
        paths=AllowedMethods(OperationTable().all),
        policy=runtime.policy,
        gate=Gate(runtime.access.authority, runtime.access.rates, runtime.live.serving.has),
        auditing=Auditing(runtime.access.audit, runtime.services.clock),
        access_log=runtime.access_log,
        live=runtime.live.serving,
        documents=lambda: gpus.documents,
        instant={"/health": system.get_health, "/health/ready": system.get_readiness},
        clock=runtime.services.clock,
        max_body_bytes=runtime.config.max_body_bytes,
        serves_documents=serves_documents,
        tus=tus,
        body_handlers=body_handlers,
    )
    return Shell(parts)


def _announce(runtime: Runtime, port: int) -> None:
    config = runtime.config
    status = runtime.services.gpus.service.get_status()
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
        logger.warning("no keys are required: everyone who can reach this address can use the service")


def _describe_storage(config: Config) -> str:
    root = config.storage_root
    # A relative path depends on the directory in which the service is started.
    hint = "" if root.is_absolute() else " (relative to the current directory; set STORAGE_ROOT to change it)"
    return f"{root.absolute()}{hint}"


def _share_one_heap() -> None:
    """Make all threads use one heap of the C library. Must run before the first thread starts."""
    # Separate heaps of some thirty threads, most of them waiting, take 1.5 MB. A libc without this call (musl) has one
    # heap anyway.
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _give_back_memory() -> None:
    """Return memory that only the start needed to the system: 0.5 MB, in a millisecond."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set_limits() -> None:
    # Core dumps would contain keys and tokens from memory; set `ulimit -c` of the process to get one.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

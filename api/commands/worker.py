"""The command `worker`: delivers alerts that servers queue through CELERY_BROKER_URL."""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from api.composition.alerts import build_courier
from api.composition.observability.celery_transport import run_worker
from api.composition.observability.tracing import Tracing
from api.config import ConfigError, program, read_config, refuse
from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.db.privacy import UMASK
from api.errors import ServiceError
from api.nodes.server_store import ServerStore
from api.util.clock import SystemClock
from api.util.extras import describe_missing
from api.util.logs import set_up_logging
from api.util.periodic import PeriodicThread

_USAGE = """\
usage: {program} worker [settings]

Delivers alerts that servers queue through CELERY_BROKER_URL (redis://...). It needs the servers' DATABASE_URL or
STORAGE_ROOT, and the file of CHANNEL_KEY_FILE. Any number of workers may run; without one, servers deliver themselves.
Settings: see {program} --help."""


def run_worker_command(argv: Sequence[str]) -> int:
    """Deliver until stopped. Returns the exit code: 0, 2 for invalid settings."""
    os.umask(UMASK)
    if "-h" in argv or "--help" in argv:
        print(_USAGE.format(program=program()))
        return 0
    try:
        config = read_config(argv=argv)
        if not config.celery_broker_url:
            raise ConfigError(
                "CELERY_BROKER_URL is required: set it to the broker of the servers, such as redis://127.0.0.1:6379/1"
            )
        if missing := describe_missing("celery", "The worker"):
            raise ConfigError(missing)
        tracing = Tracing(config, config.node_name or socket.gethostname())
        root = config.storage_root.absolute()
        database = Database(
            config.database_url or sqlite_url(root / "database.sqlite"), root, config.database_pool_size
        )
    except (ConfigError, DatabaseError) as error:
        return refuse(error, 2)
    set_up_logging(config.log_level, config.logs_json)
    clock = SystemClock()
    with suppress(ServiceError):  # no delivery is possible before the database is available
        if steady := ServerStore(database).last_steady(config.node_name or socket.gethostname()):
            clock.steady.resume(steady)
    courier = build_courier(config, database, clock)
    overdue = PeriodicThread("alert-overdue", 1.0, courier.end_overdue)
    overdue.start()
    tracing.start()
    try:
        return run_worker(config.celery_broker_url, courier.deliver, config.log_level)
    finally:
        overdue.stop()
        tracing.stop()
        database.close()

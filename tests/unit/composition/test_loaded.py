"""What a start loads: what takes megabytes and is seldom needed comes when it is wanted."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

#: Beside each import is what it takes.
SELDOM = (
    "flask",
    "pydantic",
    "prometheus_client",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "PIL",
    "tomlkit",
    "alembic",
    "google.protobuf",
    "redis",
    "av",
    "re2",
    "numpy",
    "pynvml",
    "starlette.responses",
    "anyio",
    "opentelemetry",
    "http.client",
    "asyncinotify",
    "dotenv",
    "api.alerts.notifiers.webhook",
    "api.trainers.protocol.hints",
    "api.trainers.diffusion_pipe.checking",
    "api.app",
    "api.executors.slurm",
    "api.composition.library",
    "api.catalog.service",
    "api.events.stream",
)

CODE = """
import sys
import api.main
from api.config import read_config
from api.composition.composition import Runtime
from api.db.database import Database
runtime = Runtime(read_config(environ={"STORAGE_ROOT": sys.argv[1], "GPU_SOURCE": "simulated"}, dotenv_path=None))
runtime.prepare()
api.main.create_shell(runtime)
runtime.start()
print(*[name for name in sys.argv[2:] if name in sys.modules])
Database("postgresql://nobody@127.0.0.1:1/none")
print(*[name for name in sys.argv[2:] if name in sys.modules])
runtime.stop()
"""


def test_start_on_sqlite_loads_nothing_that_is_seldom_needed(tmp_path: Path):
    command = [sys.executable, "-c", CODE, str(tmp_path), *SELDOM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    on_sqlite, on_postgresql = done.stdout.split("\n")[:2]
    assert on_sqlite == ""
    assert on_postgresql.split() == ["psycopg", "sqlalchemy.dialects.postgresql"]

"""The settings: each with its name in the environment, its default, how its text is read, and what it is for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from api.util.setting_texts import (
    DEFAULT_RATES,
    caption_command,
    choice,
    directories,
    endpoint,
    flag,
    head_url,
    issuer,
    names,
    networks,
    node_name,
    number,
    operator_command,
    origins,
    otlp_endpoint,
    page_url,
    rates,
    redis_url,
    roles,
    show_rates,
    slurm_url,
    trainer_user,
)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def _setting(env: str, default: Any, parse: Callable[[str], Any], text: str, shown: str | None = None) -> Any:
    metadata = {"env": env, "parse": parse, "help": text, "shown": shown if shown is not None else str(default)}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked. Times are in seconds."""

    host: str = _setting("API_HOST", "127.0.0.1", str, "address to listen on")
    port: int = _setting("API_PORT", 8080, number(0, 65535), "port to listen on; 0 takes a free one")
    storage_root: Path = _setting("STORAGE_ROOT", Path("data"), Path, "directory for everything that is kept", "./data")
    datasets_root: Path | None = _setting(
        "DATASETS_ROOT", None, Path, "directory for the files of datasets", "datasets/ under STORAGE_ROOT"
    )
    dataset_directories: tuple[Path, ...] = _setting(
        "DATASET_DIRECTORIES",
        (),
        directories,
        "directories, separated by colons, below which directories may be registered as datasets",
        "none",
    )
    models_root: Path | None = _setting(
        "MODELS_ROOT", None, Path, "directory that models are downloaded to and found in", "models/ under STORAGE_ROOT"
    )
    models_directories: tuple[Path, ...] = _setting(
        "MODELS_DIRECTORIES",
        (),
        directories,
        "directories, separated by colons, in which models are found too, and used in place",
        "none",
    )
    hf_endpoint: str = _setting("HF_ENDPOINT", "https://huggingface.co", str, "the hub that models come from")
    comfyui_loras: Path | None = _setting(
        "COMFYUI_LORAS", None, Path, "directory that versions of models with an alias are linked into", "none"
    )
    database_url: str = _setting(
        "DATABASE_URL",
        "",
        str,
        "postgresql://user:password@host/name, with host1,host2 for a replica; or sqlite:///file",
        "SQLite under STORAGE_ROOT",
    )
    database_pool_size: int = _setting(
        "DATABASE_POOL_SIZE", 24, number(2, 1000), "most connections to the database; fewer where servers share it"
    )
    node_name: str = _setting(
        "NODE_NAME", "", node_name, "what this machine is called where several share a database", "the host's name"
    )
    executor: str = _setting(
        "EXECUTOR",
        "local",
        choice("local", "slurm"),
        "where trainings run: local, this machine; slurm, a cluster with this STORAGE_ROOT on each of its machines",
    )
    slurmrestd_url: str = _setting(
        "SLURMRESTD_URL", "", slurm_url, "address of slurmrestd, as http://127.0.0.1:6820 or unix:///path", "none"
    )
    slurm_token_file: Path | None = _setting(
        "SLURM_TOKEN_FILE", None, Path, "file with the token for it, read again when it changes", "none"
    )
    slurm_window: int = _setting(
        "SLURM_WINDOW",
        2,
        number(0, 100),
        "how many tasks that are next and wait for GPUs wait in Slurm's queue, too; 0: none before it has its GPUs",
        "2",
    )
    role: str = _setting(
        "ROLE",
        "all",
        choice("all", "node"),
        "all: serves the API; node: reads this machine's GPUs and tells the head at HEAD_URL of them, and no more",
    )
    head_url: str = _setting(
        "HEAD_URL",
        "",
        head_url,
        "address of the head that a node tells of its GPUs; of several on one database, with commas, it tells one",
        "none",
    )
    node_key_file: Path | None = _setting(
        "NODE_KEY_FILE", None, Path, "file with the node's key, where the head asks for one", "none"
    )
    diffusion_pipe_root: Path | None = _setting(
        "DIFFUSION_PIPE_ROOT", None, Path, "the checkout of tdrussell/diffusion-pipe", "none"
    )
    diffusion_pipe_python: str | None = _setting(
        "DIFFUSION_PIPE_PYTHON", None, str, "the Python of the environment that diffusion-pipe is installed in", "none"
    )
    allow_pickled_weights: bool = _setting(
        "ALLOW_PICKLED_WEIGHTS",
        False,
        flag,
        "1 lets trainings load weights that can hold code (.ckpt, .pt, .bin)",
        "0",
    )
    trainer_cache_roots: tuple[Path, ...] = _setting(
        "TRAINER_CACHE_ROOTS",
        (),
        directories,
        "directories, separated by colons, below which trainers may cache, besides STORAGE_ROOT/caches",
        "the service's own caches",
    )
    trainer_user: str = _setting(
        "TRAINER_USER", "", trainer_user, "user that trainings run as (a name, or uid:gid)", "the service's own"
    )
    max_concurrent_tasks: int = _setting(
        "MAX_CONCURRENT_TASKS", 0, number(0, 10_000), "trainings at a time; 0: as many as the GPUs allow"
    )
    preprocess_parallel: int = _setting(
        "PREPROCESS_PARALLEL", 0, number(0, 1000), "preprocessing tasks at a time; 0: half as many as cores"
    )
    transfers_parallel: int = _setting(
        "TRANSFERS_PARALLEL", 4, number(1, 1000), "downloads and pushes at a time; a host that has none gets one more"
    )
    caption_endpoint: str = _setting(
        "CAPTION_ENDPOINT", "", endpoint, "address of an OpenAI-compatible API that writes captions, as …/v1", "none"
    )
    caption_model: str = _setting("CAPTION_MODEL", "", str, "the vision model there that is asked by default", "none")
    caption_key_file: Path | None = _setting(
        "CAPTION_KEY_FILE", None, Path, "file with the key for that address", "none: it needs no key"
    )
    caption_command: tuple[str, ...] = _setting(
        "CAPTION_COMMAND",
        (),
        caption_command,
        "program that writes captions in place of an endpoint, with its arguments, of which one has {file}",
        "none",
    )
    caption_command_seconds: float = _setting(
        "CAPTION_COMMAND_SECONDS", 300.0, number(1, 86_400, float), "how long it may take for one file", "300"
    )
    caption_per_minute: int = _setting(
        "CAPTION_PER_MINUTE", 0, number(0, 10**6), "questions a minute to it at most, for each task; 0: any number"
    )
    caption_price: float | None = _setting(
        "CAPTION_PRICE", None, number(0, 10**6, float), "what 1,000 captions cost, to be told before", "not known"
    )
    stop_checkpoint_seconds: float = _setting(
        "STOP_CHECKPOINT_SECONDS", 300.0, number(0, 86_400, float), "how long a stop waits for a checkpoint", "300"
    )
    stop_terminate_seconds: float = _setting(
        "STOP_TERMINATE_SECONDS", 30.0, number(0, 3600, float), "and then for the end after SIGTERM", "30"
    )
    hang_step_seconds: float = _setting(
        "HANG_STEP_SECONDS", 300.0, number(1, 86_400, float), "no step for so long, at least, counts as a hang", "300"
    )
    hang_quiet_seconds: float = _setting(
        "HANG_QUIET_SECONDS", 1800.0, number(1, 86_400, float), "and no output while it loads or caches", "1800"
    )
    min_free_disk_mb: int = _setting(
        "MIN_FREE_DISK_MB", 2048, number(0, 2**40), "free disk in MB below which no training is started"
    )
    log_max_bytes: int = _setting(
        "LOG_MAX_BYTES", 2**30, number(2**20, 2**50), "most bytes of a task's log; the oldest part goes", "1 GiB"
    )
    server_log_max_bytes: int = _setting(
        "SERVER_LOG_MAX_BYTES",
        2**26,
        number(2**20, 2**50),
        "most bytes of the server's own log; the oldest part goes",
        "64 MiB",
    )
    gpu_source: str = _setting(
        "GPU_SOURCE",
        "auto",
        choice("auto", "nvml", "simulated", "none"),
        "auto: NVML, or simulated GPUs when its library is absent; nvml; simulated; none: a head without GPUs",
    )
    simulated_gpus: str = _setting(
        "SIMULATED_GPUS",
        "4x NVIDIA GeForce RTX 4090",
        str,
        'which GPUs to simulate, such as "8x NVIDIA H100 80GB HBM3, 2x NVIDIA L40S"',
    )
    simulated_seed: int = _setting("SIMULATED_SEED", 0, number(0, 2**32), "the same seed gives the same readings")
    simulated_events: str = _setting(
        "SIMULATED_EVENTS",
        "",
        str,
        'what happens to simulated GPUs, such as "30s gpu0 overheats 5m; 1m gpu1 xid 79"',
        "nothing",
    )
    gpu_monitor_interval: float = _setting(
        "GPU_MONITOR_INTERVAL", 5.0, number(0.1, 3600, float), "seconds between two sweeps of the GPUs", "5"
    )
    gpu_status_check_timeout: float = _setting(
        "GPU_STATUS_CHECK_TIMEOUT", 10.0, number(0.1, 86400, float), "seconds after which a reading is stale", "10"
    )
    dcgm_aliases: bool = _setting(
        "METRICS_DCGM_ALIASES", False, flag, "1 adds the DCGM_FI_DEV_* names to /metrics", "0"
    )
    cors_origins: tuple[str, ...] = _setting(
        "CORS_ORIGINS", (), origins, "origins whose pages may use the API, by comma", "none but its own"
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "ALLOWED_HOSTS", (), names, "names that requests may address, by comma, besides loopback", "loopback only"
    )
    allow_unauthenticated: bool = _setting(
        "ALLOW_UNAUTHENTICATED", False, flag, "1 permits an address beyond loopback although there are no keys", "0"
    )
    auth: str = _setting(
        "AUTH",
        "off",
        choice("off", "required"),
        "required: every request needs a key; off: everybody who reaches the address may do everything",
    )
    admin_key_file: Path | None = _setting(
        "ADMIN_KEY_FILE",
        None,
        Path,
        "file with the administrator's key, for a service that shall not print one",
        "none",
    )
    visibility: str = _setting(
        "VISIBILITY", "team", choice("team", "own"), "team: everybody sees all tasks; own: one's own tasks only"
    )
    oidc_issuer: str = _setting(
        "OIDC_ISSUER", "", issuer, "address of an OpenID Connect provider at which people sign in to the page", "none"
    )
    oidc_client_id: str = _setting("OIDC_CLIENT_ID", "", str, "what that provider calls this service", "none")
    oidc_client_secret_file: Path | None = _setting(
        "OIDC_CLIENT_SECRET_FILE", None, Path, "file with the secret that it gave", "none: a public client"
    )
    oidc_scopes: str = _setting(
        "OIDC_SCOPES", "openid profile email", str, "what it is asked for; some want another one to tell groups"
    )
    oidc_user_claim: str = _setting("OIDC_USER_CLAIM", "email", str, "its claim that names a user here")
    oidc_groups_claim: str = _setting("OIDC_GROUPS_CLAIM", "groups", str, "its claim with the user's groups")
    oidc_roles: tuple[tuple[str, str], ...] = _setting(
        "OIDC_ROLES", (), roles, "group=role by comma, as in ml-admins=admin,ml-team=trainer,*=viewer", "nobody"
    )
    rate_limits: tuple[tuple[str, str], ...] = _setting(
        "RATE_LIMITS",
        DEFAULT_RATES,
        rates,
        "how often a key may ask, by group, with AUTH=required; off: as often as it likes",
        show_rates(DEFAULT_RATES),
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "TRUSTED_PROXIES",
        (),
        networks,
        "addresses and networks, by comma, whose X-Forwarded-For and X-Forwarded-Proto are believed",
        "none",
    )
    quota_gpus: int | None = _setting(
        "QUOTA_GPUS", None, number(0, 10**5), "GPUs at a time for each user whose own quota does not say", "no bound"
    )
    quota_queued_tasks: int | None = _setting(
        "QUOTA_QUEUED_TASKS", None, number(0, 10**6), "and tasks in the queue", "no bound"
    )
    quota_gpu_hours_per_day: float | None = _setting(
        "QUOTA_GPU_HOURS_PER_DAY", None, number(0, 10**6, float), "and GPU hours within the last 24 h", "no bound"
    )
    quota_storage_gb: float | None = _setting(
        "QUOTA_STORAGE_GB", None, number(0, 10**9, float), "and GB of disk for the files of their tasks", "no bound"
    )
    audit_retention_days: int = _setting(
        "AUDIT_RETENTION_DAYS", 365, number(0, 36_500), "days for which the audit is kept; 0: for ever"
    )
    private_hosts_allowed: tuple[str, ...] = _setting(
        "PRIVATE_HOSTS_ALLOWED",
        (),
        names,
        "hosts, addresses and networks, by comma, for alerts and downloads although they are private",
        "none",
    )
    channel_key_file: Path | None = _setting(
        "CHANNEL_KEY_FILE", None, Path, "file with the key for channels' addresses", "STORAGE_ROOT/channels.key"
    )
    public_url: str = _setting(
        "PUBLIC_URL", "", page_url, "address of the page, https://gpu.example.org: messages link to it", "none"
    )
    notify_url: str = _setting(
        "NOTIFY_URL", "", str.strip, "Apprise address that alerts and finished trainings are sent to", "none"
    )
    max_body_bytes: int = _setting(
        "MAX_BODY_BYTES", 1024 * 1024, number(1024, 2**30), "largest JSON body that is taken, in bytes"
    )
    max_upload_bytes: int = _setting(
        "MAX_UPLOAD_BYTES", 2**40, number(1024, 2**60), "most bytes of an upload, and of what an archive holds", "1 TiB"
    )
    upload_hours: float = _setting(
        "UPLOAD_HOURS", 24.0, number(0.01, 8760, float), "hours that an upload may wait for its next part", "24"
    )
    sign_of_life_url: str = _setting(
        "SIGN_OF_LIFE_URL",
        "",
        endpoint,
        "address that is asked for once a minute while the rules are evaluated: who misses it, tells",
        "none",
    )
    idle_command: tuple[str, ...] = _setting(
        "IDLE_COMMAND",
        (),
        operator_command,
        "command that a rule may have run when the machine is idle, as in /usr/bin/systemctl poweroff",
        "none",
    )
    celery_broker_url: str = _setting(
        "CELERY_BROKER_URL",
        "",
        redis_url,
        "redis://host:6379/1, to have alerts delivered by workers (`make worker`)",
        "none: the servers deliver themselves",
    )
    otel_endpoint: str = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        otlp_endpoint,
        "receiver of traces by OTLP over HTTP, as in http://127.0.0.1:4318 (needs `make install EXTRAS=otel`)",
        "none: no traces are made",
    )
    redis_url: str = _setting(
        "REDIS_URL", "", redis_url, "redis://host:6379/0, to share live messages between servers", "none"
    )
    max_streams: int = _setting("MAX_STREAMS", 5_000, number(1, 1_000_000), "live streams in all")
    max_streams_per_client: int = _setting(
        "MAX_STREAMS_PER_CLIENT",
        2_000,
        number(1, 1_000_000),
        "live streams of one user, or without keys of one address",
    )
    log_level: str = _setting("LOG_LEVEL", "INFO", choice("DEBUG", "INFO", "WARNING", "ERROR"), "how much is logged")
    log_format: str = _setting(
        "LOG_FORMAT", "auto", choice("auto", "text", "json"), "text, json, or auto: text on a terminal, else json"
    )

    @property
    def needs_keys(self) -> bool:
        """Whether every request must show a key."""
        return self.auth == "required"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON."""
        return self.log_format == "json" or (self.log_format == "auto" and not sys.stderr.isatty())

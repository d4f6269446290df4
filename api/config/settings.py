"""The settings: name in the environment, default, parser and help text of each."""

import os
import sys
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from api.util.text.setting_texts import (
    DEFAULT_RATES,
    caption_command,
    choice,
    comfyui_url,
    directories,
    endpoint,
    flag,
    gpu_names,
    head_url,
    hub_repository,
    issuer,
    listed,
    names,
    networks,
    node_name,
    number,
    ollama_url,
    operator_command,
    origins,
    otlp_endpoint,
    page_url,
    paths,
    rates,
    redis_url,
    roles,
    show_rates,
    slurm_url,
    trackers,
    trainer_user,
)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def _setting(env: str, default: Any, parse: Callable[[str], Any], text: str, shown: str | None = None) -> Any:
    metadata = {"env": env, "parse": parse, "help": text, "shown": shown if shown is not None else str(default)}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked. Times are in seconds."""

    host: str = _setting("API_HOST", "127.0.0.1", str, "address to listen on")
    port: int = _setting("API_PORT", 8080, number(0, 65535), "port to listen on; 0 chooses a free port")
    storage_root: Path = _setting("STORAGE_ROOT", Path("data"), Path, "directory for all stored data", "./data")
    datasets_root: Path | None = _setting(
        "DATASETS_ROOT", None, Path, "directory for the files of datasets", "datasets/ under STORAGE_ROOT"
    )
    dataset_directories: tuple[Path, ...] = _setting(
        "DATASET_DIRECTORIES",
        (),
        directories,
        "directories (separated by colons) whose subdirectories may be registered as datasets",
        "none",
    )
    models_root: Path | None = _setting(
        "MODELS_ROOT", None, Path, "directory of downloaded models", "models/ under STORAGE_ROOT"
    )
    models_directories: tuple[Path, ...] = _setting(
        "MODELS_DIRECTORIES",
        (),
        directories,
        "further directories with models (separated by colons), which are used in place",
        "none",
    )
    hf_endpoint: str = _setting("HF_ENDPOINT", "https://huggingface.co", str, "address of the model hub")
    browse_directories: tuple[Path, ...] | None = _setting(
        "BROWSE_DIRECTORIES",
        None,
        directories,
        "directories (separated by colons) that the page's file browser shows to administrators, besides those of"
        " datasets and models",
        "the home directory of the service's user",
    )
    comfyui_url: str = _setting(
        "COMFYUI_URL",
        "",
        comfyui_url,
        "address of the ComfyUI that renders samples, as http://127.0.0.1:8188, or several by comma",
        "none",
    )
    comfyui_loras: tuple[Path, ...] = _setting(
        "COMFYUI_LORAS",
        (),
        paths,
        "its directory models/loras, as this machine sees it, for samples and for model versions with an alias (in the"
        " first one); one for each address, in the same order, or one for all",
        "none",
    )
    comfyui_gpus: tuple[str, ...] = _setting(
        "COMFYUI_GPUS",
        (),
        gpu_names,
        "GPUs of this machine on which it renders (indexes or UUIDs, by comma): samples wait while a task has one of"
        " them, and no task gets them while samples are rendered",
        "none: it runs elsewhere, or may share its GPU",
    )
    comfyui_extensions: tuple[str, ...] = _setting(
        "COMFYUI_EXTENSIONS",
        (),
        listed,
        "extensions of ComfyUI (directories in custom_nodes, by comma) whose nodes workflows may use",
        "none",
    )
    ollama_url: str = _setting(
        "OLLAMA_URL",
        "",
        ollama_url,
        "address of an Ollama on this machine, whose idle models give way to trainings",
        "none",
    )
    neighbour_rule: str = _setting(
        "NEIGHBOUR_RULE",
        "free_idle",
        choice("training_waits", "free_idle", "neighbour_first"),
        "who gets a GPU that ComfyUI, Ollama or a claim uses, too. training_waits: a training starts when it is free;"
        " free_idle: idle neighbours are asked to free memory before; neighbour_first: trainings also leave busy ones",
    )
    neighbour_idle_minutes: float = _setting(
        "NEIGHBOUR_IDLE_MINUTES",
        5.0,
        number(0, 1440, float),
        "minutes without work after which a neighbour is idle",
        "5",
    )
    sample_command: tuple[str, ...] = _setting(
        "SAMPLE_COMMAND",
        (),
        operator_command,
        "program that renders samples instead of ComfyUI; it gets two more arguments, a JSON file with the request and"
        " the directory for its picture",
        "none",
    )
    sample_seconds: float = _setting(
        "SAMPLE_SECONDS", 1800.0, number(1, 86_400, float), "maximum seconds for one sample", "1800"
    )
    trackers: tuple[str, ...] = _setting(
        "TRACKERS",
        (),
        trackers,
        "trackers that receive trainings, by comma: wandb, mlflow, trackio (each needs `make install EXTRAS=…`); keys"
        " and addresses are in the libraries' own variables of the service's environment",
        "none",
    )
    tracker_project: str = _setting(
        "TRACKER_PROJECT", "diffusion-pipe", str, "their project, or experiment, for trainings"
    )
    database_url: str = _setting(
        "DATABASE_URL",
        "",
        str,
        "postgresql://user:password@host/name, host1,host2 with a replica; or sqlite:///file",
        "SQLite under STORAGE_ROOT",
    )
    database_pool_size: int = _setting(
        "DATABASE_POOL_SIZE", 24, number(2, 1000), "maximum database connections; set fewer if servers share it"
    )
    node_name: str = _setting(
        "NODE_NAME", "", node_name, "name of this machine where several share a database", "the host's name"
    )
    executor: str = _setting(
        "EXECUTOR",
        "local",
        choice("local", "slurm"),
        "where trainings run: local (this machine) or slurm (a cluster whose machines all mount STORAGE_ROOT)",
    )
    slurmrestd_url: str = _setting(
        "SLURMRESTD_URL", "", slurm_url, "address of slurmrestd, such as http://127.0.0.1:6820 or unix:///path", "none"
    )
    slurm_token_file: Path | None = _setting(
        "SLURM_TOKEN_FILE", None, Path, "file with the token for slurmrestd, read again when it changes", "none"
    )
    slurm_window: int = _setting(
        "SLURM_WINDOW",
        2,
        number(0, 100),
        "how many waiting tasks are submitted to Slurm in advance; 0: each only when its GPUs are free",
        "2",
    )
    role: str = _setting(
        "ROLE",
        "all",
        choice("all", "node"),
        "all: serves the API; node: only reads this machine's GPUs and reports them to the head at HEAD_URL",
    )
    head_url: str = _setting(
        "HEAD_URL",
        "",
        head_url,
        "address of the head to which a node reports; several heads on one database, by comma: it reports to one",
        "none",
    )
    node_key_file: Path | None = _setting(
        "NODE_KEY_FILE", None, Path, "file with the node's key, if the head requires keys", "none"
    )
    diffusion_pipe_root: Path | None = _setting(
        "DIFFUSION_PIPE_ROOT", None, Path, "checkout of tdrussell/diffusion-pipe", "none"
    )
    diffusion_pipe_python: str | None = _setting(
        "DIFFUSION_PIPE_PYTHON", None, str, "Python of the environment with diffusion-pipe", "none"
    )
    trainer_check: bool = _setting(
        "TRAINER_CHECK",
        True,
        flag,
        "0: the trainer's environment is checked on request only, and its errors refuse no training",
        "1",
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
        "directories (separated by colons) below which trainers may cache, besides STORAGE_ROOT/caches",
        "the service's own caches",
    )
    trainer_user: str = _setting(
        "TRAINER_USER", "", trainer_user, "user as which trainings run (a name, or uid:gid)", "the service's own"
    )
    max_concurrent_tasks: int = _setting(
        "MAX_CONCURRENT_TASKS", 0, number(0, 10_000), "maximum trainings at a time; 0: as many as the GPUs allow"
    )
    preempt_after_seconds: float = _setting(
        "PREEMPT_AFTER_SECONDS",
        600.0,
        number(0, 86_400, float),
        "seconds for which no urgent training makes a background training stop that was started or resumed",
        "600",
    )
    preprocess_parallel: int = _setting(
        "PREPROCESS_PARALLEL", 0, number(0, 1000), "maximum preprocessing tasks at a time; 0: half the number of cores"
    )
    transfers_parallel: int = _setting(
        "TRANSFERS_PARALLEL",
        4,
        number(1, 1000),
        "maximum downloads and pushes at a time; an idle host may start one more",
    )
    caption_endpoint: str = _setting(
        "CAPTION_ENDPOINT", "", endpoint, "address of an OpenAI-compatible API for captions, as https://host/v1", "none"
    )
    caption_model: str = _setting("CAPTION_MODEL", "", str, "default vision model at that address", "none")
    caption_key_file: Path | None = _setting(
        "CAPTION_KEY_FILE", None, Path, "file with the API key for CAPTION_ENDPOINT", "none: it needs no key"
    )
    caption_command: tuple[str, ...] = _setting(
        "CAPTION_COMMAND",
        (),
        caption_command,
        "program that writes captions instead of an endpoint, with arguments; one must contain {file}",
        "none",
    )
    caption_command_seconds: float = _setting(
        "CAPTION_COMMAND_SECONDS", 300.0, number(1, 86_400, float), "seconds of CAPTION_COMMAND for one file", "300"
    )
    caption_per_minute: int = _setting(
        "CAPTION_PER_MINUTE", 0, number(0, 10**6), "maximum caption requests per minute and task; 0: no limit"
    )
    caption_price: float | None = _setting(
        "CAPTION_PRICE", None, number(0, 10**6, float), "price of 1,000 captions, shown before a start", "not known"
    )
    stop_checkpoint_seconds: float = _setting(
        "STOP_CHECKPOINT_SECONDS", 300.0, number(0, 86_400, float), "seconds that a stop waits for a checkpoint", "300"
    )
    stop_terminate_seconds: float = _setting(
        "STOP_TERMINATE_SECONDS", 30.0, number(0, 3600, float), "seconds that a stop then waits after SIGTERM", "30"
    )
    retention_keep_last: int = _setting(
        "RETENTION_KEEP_LAST",
        0,
        number(0, 10_000),
        "how many of the newest models and checkpoints of a training stay, unless it has its own rule; 0: all",
        "0",
    )
    retention_keep_every: int = _setting(
        "RETENTION_KEEP_EVERY", 0, number(0, 2**31), "models whose epoch or step is a multiple of this stay, too", "0"
    )
    retention_keep_rated: int = _setting(
        "RETENTION_KEEP_RATED", 0, number(0, 5), "models with a sample of at least this rating stay, too", "0"
    )
    hang_step_seconds: float = _setting(
        "HANG_STEP_SECONDS",
        300.0,
        number(1, 86_400, float),
        "minimum seconds without a step after which a training counts as hanging",
        "300",
    )
    hang_quiet_seconds: float = _setting(
        "HANG_QUIET_SECONDS",
        1800.0,
        number(1, 86_400, float),
        "seconds without output after which loading or caching counts as hanging",
        "1800",
    )
    rehearsal_seconds: float = _setting(
        "REHEARSAL_SECONDS", 1800.0, number(1, 86_400, float), "seconds after which a rehearsal is ended", "1800"
    )
    min_free_disk_mb: int = _setting(
        "MIN_FREE_DISK_MB", 2048, number(0, 2**40), "free disk space in MB below which no training starts"
    )
    log_max_bytes: int = _setting(
        "LOG_MAX_BYTES",
        2**30,
        number(2**20, 2**50),
        "maximum bytes of a task's log; the oldest part is deleted",
        "1 GiB",
    )
    server_log_max_bytes: int = _setting(
        "SERVER_LOG_MAX_BYTES",
        2**26,
        number(2**20, 2**50),
        "maximum bytes of the server's log; the oldest part is deleted",
        "64 MiB",
    )
    gpu_source: str = _setting(
        "GPU_SOURCE",
        "auto",
        choice("auto", "nvml", "simulated", "none"),
        "auto: NVML, or simulated GPUs if its library is missing; nvml; simulated; none: a head without GPUs",
    )
    simulated_gpus: str = _setting(
        "SIMULATED_GPUS",
        "4x NVIDIA GeForce RTX 4090",
        str,
        'the simulated GPUs, such as "8x NVIDIA H100 80GB HBM3, 2x NVIDIA L40S"',
    )
    simulated_seed: int = _setting("SIMULATED_SEED", 0, number(0, 2**32), "seed of the simulated readings")
    simulated_events: str = _setting(
        "SIMULATED_EVENTS",
        "",
        str,
        'events of simulated GPUs, such as "30s gpu0 overheats 5m; 1m gpu1 xid 79"',
        "nothing",
    )
    gpu_monitor_interval: float = _setting(
        "GPU_MONITOR_INTERVAL", 5.0, number(0.1, 3600, float), "seconds between two readings of the GPUs", "5"
    )
    gpu_status_check_timeout: float = _setting(
        "GPU_STATUS_CHECK_TIMEOUT", 10.0, number(0.1, 86400, float), "seconds after which a reading is stale", "10"
    )
    dcgm_aliases: bool = _setting(
        "METRICS_DCGM_ALIASES", False, flag, "1 adds the DCGM_FI_DEV_* names to /metrics", "0"
    )
    cors_origins: tuple[str, ...] = _setting(
        "CORS_ORIGINS", (), origins, "origins (by comma) whose pages may use the API", "none but its own"
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "ALLOWED_HOSTS", (), names, "host names (by comma) that requests may use, besides loopback", "loopback only"
    )
    allow_unauthenticated: bool = _setting(
        "ALLOW_UNAUTHENTICATED", False, flag, "1 permits to listen beyond loopback without keys", "0"
    )
    auth: str = _setting(
        "AUTH",
        "off",
        choice("off", "required"),
        "required: every request needs a key; off: every client that reaches the address may do everything",
    )
    admin_key_file: Path | None = _setting(
        "ADMIN_KEY_FILE",
        None,
        Path,
        "file with the administrator's key, so that the service does not print one",
        "none",
    )
    visibility: str = _setting(
        "VISIBILITY", "team", choice("team", "own"), "team: all users see all tasks; own: users see only their own"
    )
    oidc_issuer: str = _setting(
        "OIDC_ISSUER", "", issuer, "address of an OpenID Connect provider for sign-in to the page", "none"
    )
    oidc_client_id: str = _setting("OIDC_CLIENT_ID", "", str, "client id of this service at the provider", "none")
    oidc_client_secret_file: Path | None = _setting(
        "OIDC_CLIENT_SECRET_FILE", None, Path, "file with the client secret of the provider", "none: a public client"
    )
    oidc_scopes: str = _setting(
        "OIDC_SCOPES", "openid profile email", str, "requested scopes; some providers need another one for groups"
    )
    oidc_user_claim: str = _setting("OIDC_USER_CLAIM", "email", str, "claim with the user name")
    oidc_groups_claim: str = _setting("OIDC_GROUPS_CLAIM", "groups", str, "claim with the user's groups")
    oidc_roles: tuple[tuple[str, str], ...] = _setting(
        "OIDC_ROLES", (), roles, "group=role, by comma, such as ml-admins=admin,ml-team=trainer,*=viewer", "no user"
    )
    rate_limits: tuple[tuple[str, str], ...] = _setting(
        "RATE_LIMITS",
        DEFAULT_RATES,
        rates,
        "maximum requests of a key, by group, with AUTH=required; off: no limit",
        show_rates(DEFAULT_RATES),
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "TRUSTED_PROXIES",
        (),
        networks,
        "addresses and networks (by comma) of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted",
        "none",
    )
    quota_gpus: int | None = _setting(
        "QUOTA_GPUS", None, number(0, 10**5), "maximum GPUs at a time of a user without a quota", "no bound"
    )
    quota_queued_tasks: int | None = _setting(
        "QUOTA_QUEUED_TASKS", None, number(0, 10**6), "maximum queued tasks of such a user", "no bound"
    )
    quota_gpu_hours_per_day: float | None = _setting(
        "QUOTA_GPU_HOURS_PER_DAY", None, number(0, 10**6, float), "maximum GPU hours of such a user in 24 h", "no bound"
    )
    quota_storage_gb: float | None = _setting(
        "QUOTA_STORAGE_GB", None, number(0, 10**9, float), "maximum GB of disk for the tasks of such a user", "no bound"
    )
    audit_retention_days: int = _setting(
        "AUDIT_RETENTION_DAYS", 365, number(0, 36_500), "days for which the audit is stored; 0: forever"
    )
    private_hosts_allowed: tuple[str, ...] = _setting(
        "PRIVATE_HOSTS_ALLOWED",
        (),
        names,
        "private hosts, addresses and networks (by comma) that alerts and downloads may use",
        "none",
    )
    channel_key_file: Path | None = _setting(
        "CHANNEL_KEY_FILE", None, Path, "file with the key that encrypts channels", "STORAGE_ROOT/channels.key"
    )
    public_url: str = _setting(
        "PUBLIC_URL", "", page_url, "address of the page for links in messages, as https://gpu.example.org", "none"
    )
    notify_url: str = _setting(
        "NOTIFY_URL", "", str.strip, "Apprise address to which alerts and finished trainings are sent", "none"
    )
    max_body_bytes: int = _setting("MAX_BODY_BYTES", 1024 * 1024, number(1024, 2**30), "maximum bytes of a JSON body")
    max_upload_bytes: int = _setting(
        "MAX_UPLOAD_BYTES",
        2**40,
        number(1024, 2**60),
        "maximum bytes of an upload, and of an archive's content",
        "1 TiB",
    )
    upload_hours: float = _setting(
        "UPLOAD_HOURS", 24.0, number(0.01, 8760, float), "hours after which an idle upload expires", "24"
    )
    sign_of_life_url: str = _setting(
        "SIGN_OF_LIFE_URL",
        "",
        endpoint,
        "address requested once a minute while rules are evaluated, for a monitor that notifies when this stops",
        "none",
    )
    idle_command: tuple[str, ...] = _setting(
        "IDLE_COMMAND",
        (),
        operator_command,
        "command of WHEN_IDLE=command, which a rule may run, too, such as /usr/bin/systemctl poweroff",
        "none",
    )
    when_idle_minutes: float | None = _setting(
        "WHEN_IDLE_MINUTES",
        None,
        number(1, 10_000, float),
        "minutes without work after which WHEN_IDLE happens to this machine",
        "none: nothing happens",
    )
    when_idle: str | None = _setting(
        "WHEN_IDLE",
        None,
        choice("webhook", "command", "power_off"),
        "what happens to an idle machine: webhook, command or power_off",
        "none",
    )
    when_idle_countdown_seconds: float = _setting(
        "WHEN_IDLE_COUNTDOWN_SECONDS",
        600.0,
        number(10, 86_400, float),
        "seconds in which the end of an idle machine is announced and can be held",
        "600",
    )
    when_idle_url: str = _setting(
        "WHEN_IDLE_URL", "", endpoint, "address that WHEN_IDLE=webhook posts to, such as the provider's", "none"
    )
    when_idle_power_off_command: tuple[str, ...] = _setting(
        "WHEN_IDLE_POWER_OFF_COMMAND",
        ("/usr/bin/systemctl", "poweroff"),
        operator_command,
        "command of WHEN_IDLE=power_off",
        "/usr/bin/systemctl poweroff",
    )
    when_idle_copy_to: Path | None = _setting(
        "WHEN_IDLE_COPY_TO",
        None,
        Path,
        "existing directory to which the chosen model of each training is copied, and checked, before a machine ends",
        "none: nothing is copied",
    )
    when_idle_push_to: str | None = _setting(
        "WHEN_IDLE_PUSH_TO",
        None,
        hub_repository,
        "hub repository to which the chosen model of each training is pushed, and checked, before a machine ends",
        "none: nothing is pushed",
    )
    price_per_kwh: float | None = _setting(
        "PRICE_PER_KWH", None, number(0, 1_000_000, float), "price of a kWh, for the cost of trainings", "none"
    )
    price_currency: str = _setting("PRICE_CURRENCY", "", str.strip, "currency of PRICE_PER_KWH, such as EUR", "none")
    celery_broker_url: str = _setting(
        "CELERY_BROKER_URL",
        "",
        redis_url,
        "redis://host:6379/1, to deliver alerts by workers (`make worker`)",
        "none: the servers deliver themselves",
    )
    otel_endpoint: str = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        otlp_endpoint,
        "receiver of traces by OTLP over HTTP, such as http://127.0.0.1:4318 (needs `make install EXTRAS=otel`)",
        "none: no traces",
    )
    redis_url: str = _setting(
        "REDIS_URL", "", redis_url, "redis://host:6379/0, to share live messages among servers", "none"
    )
    max_streams: int = _setting("MAX_STREAMS", 5_000, number(1, 1_000_000), "maximum live streams")
    max_streams_per_client: int = _setting(
        "MAX_STREAMS_PER_CLIENT",
        2_000,
        number(1, 1_000_000),
        "maximum live streams of one user (without keys: of one address)",
    )
    log_level: str = _setting("LOG_LEVEL", "INFO", choice("DEBUG", "INFO", "WARNING", "ERROR"), "lowest logged level")
    log_format: str = _setting(
        "LOG_FORMAT", "auto", choice("auto", "text", "json"), "text, json, or auto: text on a terminal, else json"
    )

    #: The key of CAPTION_ENDPOINT that was set at run time; the environment names a file instead.
    caption_key: str | None = field(default=None, repr=False)
    #: The names of the fields that flags, the environment or `.env` set.
    given: frozenset[str] = frozenset()

    def fixes(self, name: str) -> bool:
        """Return whether the environment determines this field, so that it cannot be changed at run time."""
        return name in self.given or getattr(self, name) != SETTINGS[name].default

    @property
    def browse_roots(self) -> tuple[Path, ...]:
        """The directories that administrators may browse besides those of datasets and models."""
        if self.browse_directories is not None:
            return self.browse_directories
        home = Path(os.path.expanduser("~"))
        return (home,) if home.is_absolute() and home != Path("/") else ()

    @property
    def needs_keys(self) -> bool:
        """Whether every request needs a key."""
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


#: The settings by the names of their fields; the metadata has the name in the environment, the parser and texts.
SETTINGS: dict[str, "Field[Any]"] = {each.name: each for each in fields(Config) if each.metadata}

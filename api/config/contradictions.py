"""Settings that are right by themselves and cannot be together."""

from collections.abc import Iterator

from api.config.settings import Config


def find_contradictions(config: Config) -> Iterator[str]:
    """Which settings, each right by itself, cannot be together, in words that name them and what to do."""
    if config.role == "node" and not config.head_url:
        yield "ROLE=node needs HEAD_URL, the address of the server that is to know of its GPUs"
    if config.caption_endpoint and config.caption_command:
        yield "CAPTION_ENDPOINT and CAPTION_COMMAND: only one of them writes captions, so set one"
    if not config.is_loopback and not config.needs_keys and not config.allow_unauthenticated:
        yield (
            f"API_HOST={config.host} can be reached by other machines, and no keys are asked for: anyone there could "
            "use this service. Set AUTH=required, which prints an administrator's key at the first start; or "
            "listen on 127.0.0.1 and use an SSH tunnel; or set ALLOW_UNAUTHENTICATED=1 if the network is trusted"
        )
    if config.executor == "slurm" and not (config.slurmrestd_url and config.slurm_token_file):
        yield "EXECUTOR=slurm needs SLURMRESTD_URL and SLURM_TOKEN_FILE: where Slurm is asked, and by which token"
    if config.executor == "slurm" and config.trainer_user:
        yield "TRAINER_USER: on a cluster trainings run as the user of the token in SLURM_TOKEN_FILE; leave it out"
    if config.oidc_issuer and not (config.oidc_client_id and config.oidc_roles):
        yield "OIDC_ISSUER needs OIDC_CLIENT_ID, and OIDC_ROLES, without which nobody may sign in"
    if config.visibility == "own" and not config.needs_keys:
        yield "VISIBILITY=own needs AUTH=required: without keys nobody knows whose a task is"
    bounds = (config.quota_gpus, config.quota_queued_tasks, config.quota_gpu_hours_per_day, config.quota_storage_gb)
    if any(bound is not None for bound in bounds) and not config.needs_keys:
        yield "QUOTA_* needs AUTH=required: without keys nobody knows who uses what"

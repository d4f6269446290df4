"""Health, overview, servers, orphans, holds, metrics for Prometheus, files, settings, and the setup checklist."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.access.principal import current_principal
from api.domain.access.read_scope import current_scope
from api.domain.machines.hold import Hold
from api.domain.machines.installation import TrainerInstallation
from api.domain.machines.system import Health, Readiness, SystemOverview
from api.domain.tasks.orphan import Orphan
from api.nodes.schemas import ServerListing
from api.system.schemas import ChangeSettings, FileQuery
from api.system.views import FileListing, RunTimeSettingList, SetupChecklist
from api.training.schemas import CreateHold, HoldList
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, answer_document, body_is_optional, services
from api.web.schemas import OrphanList, StopOrphan, envelope_of

system = APIBlueprint("system", __name__, tag="System")

_METRICS: dict[int | str, Any] = {
    200: {
        "description": "Prometheus text, or OpenMetrics if Accept requests it",
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "application/openmetrics-text": {"schema": {"type": "string"}},
        },
    },
    304: "Not changed since the ETag in If-None-Match.",
}


@system.get("/health")
@system.output(envelope_of(Health))
@system.doc(responses=[503])
def get_health() -> Response:
    """Check that the service is alive.

    Requires no key, and reads neither GPUs nor trainings. `/health/ready` reports whether responses can be relied on.
    `degraded` lists what does not work at present, such as an unavailable database. 503 (`storage_gone`,
    `database_damaged`) means that the service can store nothing until someone fixes it; the message has the remedy.
    """
    return answer(services().system.service.get_health())


@system.get("/health/ready")
@system.output(envelope_of(Readiness))
@system.doc(responses=[503])
def get_readiness() -> Response:
    """Check that GPU readings are current.

    503 with the reasons if readings are older than 3 sweeps, if NVML fails on a machine that has it, or if nothing can
    be stored: the database is unavailable, damaged, or another one than at the start.
    """
    return answer(services().system.service.get_readiness())


@system.get(f"{BASE_PATH}/system/overview")
@system.output(envelope_of(SystemOverview))
def get_overview() -> Response:
    """Get an overview of the machine, its GPUs and tasks.

    CPU, memory and disks, GPU totals, tasks by status, and the service's uptime.
    """
    return answer(services().system.service.get_overview())


@system.get(f"{BASE_PATH}/system/trainer")
@system.output(envelope_of(TrainerInstallation))
def get_trainer() -> Response:
    """Get what the last check of the trainer's environment found.

    Versions, submodules, and each problem with the command that fixes it. The check runs in the trainer's own Python
    when the service starts, when its files change, and on request. `checked_at` is null before the first check.
    """
    return answer(services().system.service.get_trainer())


@system.post(f"{BASE_PATH}/system/trainer/check")
@system.output(envelope_of(TrainerInstallation), status_code=202)
def check_trainer() -> Response:
    """Check the trainer's environment again.

    Answers at once with what is known; `is_checking` becomes false in `GET /system/trainer` when the check has ended.
    """
    location = {"Location": f"{BASE_PATH}/system/trainer"}
    return answer(services().system.service.check_trainer(), 202, "checking", location)


@system.get(f"{BASE_PATH}/system/servers")
@system.output(envelope_of(ServerListing, "ServerList"))
@system.doc(responses=[503])
def list_servers() -> Response:
    """List the servers that share this database, oldest first.

    Each with its host, version, status and leases: the server with the lease `queue` schedules tasks. A server
    without a report for 35 s is `unknown`, because it may still run; after a day it is removed from the list.
    """
    return answer({"servers": services().nodes.servers.list()})


@system.get(f"{BASE_PATH}/system/strays")
@system.output(envelope_of(OrphanList))
@system.doc(responses=[503])
def list_strays() -> Response:
    """List attempts that run on this machine but are not in the database.

    They exist after a database was restored or replaced. Their GPUs are `busy` until they end. Attempts of a queued
    task are adopted again and are not in this list.
    """
    return answer({"strays": services().training.orphans.list()})


@system.post(f"{BASE_PATH}/system/strays/<attempt_uid>/stop")
@system.input(StopOrphan)
@system.output(envelope_of(Orphan), status_code=202)
@system.doc(responses=[400, 404, 415, 503])
@body_is_optional
def stop_stray(attempt_uid: str, json_data: StopOrphan) -> Response:
    """Stop an attempt that is not in the database.

    It saves a checkpoint first if its trainer can; `force` skips that. Its GPUs become free soon after it has ended.
    """
    location = {"Location": f"{BASE_PATH}/system/strays"}
    return answer(services().training.orphans.stop(attempt_uid, json_data.force), 202, "stopping", location)


@system.get(f"{BASE_PATH}/system/holds")
@system.output(envelope_of(HoldList))
@system.doc(responses=[503])
def list_holds() -> Response:
    """List holds, oldest first.

    Holds on the queue, which then starts no task, and on GPUs, which are then not assigned. Running tasks continue.
    """
    return answer({"holds": services().training.holds.list()})


@system.post(f"{BASE_PATH}/system/holds")
@system.input(CreateHold)
@system.output(envelope_of(Hold), status_code=201)
@system.doc(responses=[400, 404, 409, 415, 422, 503])
@idempotent
def create_hold(json_data: CreateHold) -> Response:
    """Hold the queue or a GPU.

    Until the hold ends, the queue starts no task, or the GPU is not assigned. Running tasks continue.
    """
    holds, by = services().training.holds, current_principal.get().actor
    location = {"Location": f"{BASE_PATH}/system/holds"}
    if before := earlier_result():
        return answer(holds.get(before.about), 201, "held", location)
    if json_data.gpu_id is None:
        return answer(holds.hold_queue(json_data.reason, by), 201, "held", location)
    return answer(holds.hold_gpu(str(json_data.gpu_id), json_data.reason, by), 201, "held", location)


@system.delete(f"{BASE_PATH}/system/holds/<hold_id>")
@system.output(envelope_of(Hold))
@system.doc(responses=[404, 503])
def end_hold(hold_id: str) -> Response:
    """End a hold.

    Also one that an alert's rule created. Other holds on the same queue or GPU remain in force.
    """
    return answer(services().training.holds.end(hold_id), message="ended")


@system.get(f"{BASE_PATH}/metrics")
@system.doc(responses=_METRICS)
def get_metrics() -> Response:
    """Get metrics for Prometheus.

    The names of the GPU series match Grafana dashboards 14574 and 25547. The values are those of the last sweep.
    """
    return answer_document(request.path)


@system.get("/metrics")
@system.doc(responses=_METRICS)
def get_metrics_at_root() -> Response:
    """Get metrics for Prometheus at its default path.

    The same as `/api/v1/metrics`.
    """
    return answer_document(request.path)


@system.get(f"{BASE_PATH}/files")
@system.input(FileQuery, location="query")
@system.output(envelope_of(FileListing))
@system.doc(responses=[404, 422])
def list_files(query_data: FileQuery) -> Response:
    """List a directory of the server, to choose a path.

    Directories first, then files, each by name. Without `path`, the directories in which to start: those of datasets
    and models, and for administrators those of `BROWSE_DIRECTORIES`. Nothing outside of them is listed, no hidden file,
    no file of the service, and no link that leads elsewhere.
    """
    principal, scope, page = current_principal.get(), current_scope.get(), query_data.page()
    only_directories = query_data.only_directories
    return answer(
        services().system.files.list(query_data.path, principal, scope, page, only_directories=only_directories)
    )


@system.get(f"{BASE_PATH}/system/setup")
@system.output(envelope_of(SetupChecklist, "Setup"))
@system.doc(responses=[503])
def get_setup() -> Response:
    """Get the checklist of a new installation.

    Trainer, models, captions, a first dataset and training, notifications and keys: each with its state and the fix,
    and the settings that `PATCH /settings` can change for it. Paths and suggestions are for administrators.
    """
    return answer(services().system.setup.get(current_principal.get()))


@system.get(f"{BASE_PATH}/settings")
@system.output(envelope_of(RunTimeSettingList))
def list_settings() -> Response:
    """List the settings that can be changed without a restart.

    Each has its value and the `source` of it: the `environment` wins over the `database`, which wins over the
    `default`. Secrets are masked. `fixed_by` names the setting of the environment that prevents a change.
    """
    return answer(services().system.settings.list())


@system.patch(f"{BASE_PATH}/settings")
@system.input(ChangeSettings)
@system.output(envelope_of(RunTimeSettingList))
@system.doc(responses=[400, 409, 415, 422, 503])
def change_settings(json_data: ChangeSettings) -> Response:
    """Change settings without a restart.

    All values are checked like those of the environment, and all or none are stored. null removes a value. Every server
    on the database uses the new values within 5 s. 409 `setting_fixed`: the environment sets one of them. A new
    `CAPTION_ENDPOINT` removes the stored `CAPTION_KEY` unless the request has one.
    """
    changed = services().system.settings.change(json_data.values, current_principal.get().actor)
    return answer(changed, message="changed")

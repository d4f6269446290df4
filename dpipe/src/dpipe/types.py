"""Types of answers. Generated from the OpenAPI document by tools/dpipe_types.py; do not edit."""
# ruff: noqa: UP013
# fmt: off

from typing import Any, NotRequired, TypedDict

TrainingPlan = TypedDict("TrainingPlan", {
    "trainer": str, "model_type": str, "gpu_count": int, "epochs": int | None, "steps_per_epoch": int | None,
    "total_steps": int | None, "max_steps": int | None, "global_batch_size": int | None, "dataset_items": int | None,
    "estimated_memory_mb": int | None, "memory_basis": str | None, "memory_basis_code": dict[str, Any] | None,
    "weights_mb": int | None, "memory": dict[str, Any] | None, "files": dict[str, Any], "command": list[str],
    "caches": list[str], "evaluates": bool, "evaluations": dict[str, Any] | None, "saved_models": dict[str, Any] | None,
    "checkpoints": dict[str, Any] | None, "notes": list[str], "note_codes": list[dict[str, Any]],
    "datasets": list[dict[str, Any]], "cache": dict[str, Any] | None, "rehearsal": dict[str, Any] | None,
    "export": dict[str, Any] | None})
Cause = TypedDict("Cause", {
    "code": str, "detail": str, "remedy": str, "last_lines": list[str], "said": str | None,
    "detail_code": dict[str, Any] | None, "remedy_code": dict[str, Any] | None})
ProgressView = TypedDict("ProgressView", {
    "stage": str | None, "current_epoch": int | None, "total_epochs": int | None, "current_step": int | None,
    "total_steps": int | None, "steps_per_epoch": int | None, "epoch_progress": float | None,
    "overall_progress": float | None, "eta_seconds": float | None, "eta_formatted": str | None,
    "training_time": float | None, "training_time_formatted": str | None, "activity": str | None,
    "items_cached": int | None})
MetricsView = TypedDict("MetricsView", {
    "current_loss": float | None, "best_loss": float | None, "learning_rate": float | None, "grad_norm": float | None,
    "epoch_loss": float | None, "best_epoch": int | None, "nan_steps": int | None})
SpeedView = TypedDict("SpeedView", {
    "steps_per_second": float | None, "samples_per_second": float | None, "time_per_step": float | None})
Checkpoint = TypedDict("Checkpoint", {
    "name": str, "step": int | None, "size_bytes": int, "created_at": str, "is_complete": bool, "is_latest": bool})
TaskDetails = TypedDict("TaskDetails", {
    "name": str | None, "description": str | None, "tags": list[str], "priority": int, "priority_class": str,
    "not_before": str | None, "notes": NotRequired[str | None], "trigger_word": NotRequired[str | None], "task_id": str,
    "kind": str, "owner": str | None, "model_type": str, "trainer": str, "status": str, "gpu_count": int,
    "gpu_id": int | None, "gpu_name": str | None, "gpu_ids": list[int | None], "gpu_uuids": list[str],
    "waiting_reason": str | None, "waiting_reason_code": dict[str, Any] | None, "queue_position": int | None,
    "estimated_start": str | None, "warning": str | None, "warning_code": dict[str, Any] | None,
    "failure": Cause | None, "stop": dict[str, Any] | None, "created_at": str, "started_at": str | None,
    "finished_at": str | None, "updated_at": str, "attempt_count": int, "retries": int, "restarted_from": str | None,
    "chosen": str | None, "sweep_id": str | None, "sweep_values": dict[str, Any] | None, "progress": ProgressView,
    "metrics": MetricsView, "speed": SpeedView, "energy": dict[str, Any] | None, "request": NotRequired[dict[str, Any]],
    "config": NotRequired[dict[str, Any]], "plan": NotRequired[TrainingPlan],
    "estimated_duration": NotRequired[float | None], "system_stats": NotRequired[list[dict[str, Any]]],
    "checkpoints": NotRequired[list[Checkpoint]], "attempts": NotRequired[list[dict[str, Any]]],
    "warnings": NotRequired[list[str]], "output_dir": NotRequired[str], "logs_path": NotRequired[str],
    "log_lost_bytes": NotRequired[int | None], "run_dir": NotRequired[str | None],
    "export": NotRequired[dict[str, Any] | None], "sampling": NotRequired[dict[str, Any] | None],
    "samples": NotRequired[dict[str, Any] | None], "rehearsal": NotRequired[dict[str, Any] | None],
    "stop_seconds": NotRequired[float | None]})
LogLine = TypedDict("LogLine", {
    "offset": int, "line_number": int, "timestamp": str | None, "level": str, "type": str, "message": str,
    "epoch": int | None, "step": int | None, "is_complete": bool, "truncated": bool})
Artifact = TypedDict("Artifact", {
    "path": str, "download_name": str, "kind": str, "size_bytes": int, "modified_at": str, "is_complete": bool})
TrainingSample = TypedDict("TrainingSample", {
    "sample_id": str, "task_id": str, "sampling_id": str, "checkpoint": str | None, "prompt": str, "prompt_index": int,
    "negative": str | None, "seed": int, "strength": float, "settings": str, "url": str | None, "thumbnail": str | None,
    "media_type": str | None, "width": int | None, "height": int | None, "frames": int | None, "sha256": str | None,
    "rating": int | None, "keys_missing": int | None, "comfyui_version": str | None, "workflow_hash": str | None,
    "problem": str | None, "created_at": str})
Validation = TypedDict("Validation", {
    "valid": bool, "errors": list[dict[str, Any]], "warnings": list[dict[str, Any]], "plan": TrainingPlan | None,
    "gpus": dict[str, Any] | None, "estimated_duration": float | None})
ComparedSeries = TypedDict("ComparedSeries", {
    "task_id": str, "metric": str, "x": list[float], "values": list[float | None], "total": int, "nan_count": int,
    "is_downsampled": bool, "is_placed": bool})
ComparedTrainings = TypedDict("ComparedTrainings", {
    "axis": str, "trainings": list[dict[str, Any]], "series": list[ComparedSeries], "available": list[str],
    "settings": list[dict[str, Any]], "settings_total": int, "prompts": list[dict[str, Any]], "prompts_total": int})
DatasetRow = TypedDict("DatasetRow", {
    "name": str, "owner": str | None, "description": str | None, "tags": list[str], "directory": str | None,
    "created_at": str, "updated_at": str, "latest": int | None, "items": int | None, "stored_bytes": int,
    "watch": dict[str, Any] | None})
ItemView = TypedDict("ItemView", {
    "item_id": str, "name": str, "kind": str | None, "format": str | None, "width": int | None, "height": int | None,
    "duration": float | None, "fps": float | None, "frame_count": int | None, "size_bytes": int, "sha256": str,
    "caption": str | None, "has_mask": bool, "has_control": bool, "problems": list[str], "problem_text": str | None,
    "excluded": bool})
GPUMemory = TypedDict("GPUMemory", {
    "total": int | None, "used": int | None, "free": int | None, "reserved": int | None, "utilization": float | None,
    "total_gb": float | None, "free_gb": float | None, "unified": bool})
GPUInfo = TypedDict("GPUInfo", {
    "gpu_id": int | None, "uuid": str | None, "name": str | None, "memory": GPUMemory, "utilization_gpu": int | None,
    "utilization_memory": int | None, "temperature": dict[str, Any], "power_usage": float | None,
    "power_limit": float | None, "power_utilization": float | None, "status": str, "status_reason": str | None,
    "status_reason_code": dict[str, Any] | None, "is_available": bool, "current_task": dict[str, Any] | None,
    "paused_until": str | None, "claims": list[dict[str, Any]], "driver_version": str | None,
    "cuda_version": str | None, "stale": bool, "read_at": str | None})

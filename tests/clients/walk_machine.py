"""The service, its machine and its GPUs, through the generated client."""

from tests.clients.walking import Walk


def read_the_machine(walk: Walk) -> None:
    for name in ("get_health", "get_readiness", "get_overview"):
        walk.call(name)
    for name in ("get_gpu_summary", "list_gpu_events", "get_server_logs", "list_strays"):
        walk.call(name)
    assert [each.is_this_server for each in walk.call("list_servers").servers] == [True]
    assert walk.call("get_trainer").ready is False
    assert walk.call("check_trainer", expected=202).problems
    assert {each.id for each in walk.call("get_setup").steps} >= {"trainer", "models"}
    changes = {"values": {"MAX_CONCURRENT_TASKS": 50}}
    changed = walk.call("change_settings", body=walk.body("ChangeSettings", changes)).settings
    assert [each.value for each in changed if each.key == "MAX_CONCURRENT_TASKS"] == [50]
    assert walk.call("list_settings").settings
    walk.call("list_files")
    walk.call("list_files", path="/proc", expected=404)
    # There is no orphan here.
    walk.call("stop_stray", "nobody.1", body=walk.body("StopOrphan", {}), expected=404)
    hold = walk.call("create_hold", body=walk.body("CreateHold", {"reason": "a look"}), expected=201)
    assert [each.hold_id for each in walk.call("list_holds").holds] == [hold.hold_id]
    walk.call("end_hold", hold.hold_id)
    hours = {"windows": [{"days": ["sat", "sun"], "begins": "00:00", "ends": "00:00", "gpus": ["7"]}]}
    walk.call("replace_schedule", body=walk.body("ReplaceSchedule", hours))
    assert walk.call("get_schedule").windows[0].days
    walk.call("replace_schedule", body=walk.body("ReplaceSchedule", {"windows": []}))
    pause = walk.call("pause_gpu", "0", body=walk.body("PauseGPU", {"seconds": 60}))
    assert pause.paused_until
    assert walk.call("unpause_gpu", "0").paused_until is None
    claim = walk.body("ClaimGPU", {"name": "a game", "memory_mb": 2000, "ttl_seconds": 60})
    assert [each.name for each in walk.call("claim_gpu", "0", body=claim).claims] == ["a game"]
    assert walk.call("release_gpu_claim", "0", "a game").claims == []
    limit = walk.call("set_power_limit", "0", body=walk.body("SetPowerLimit", {"watts": 300}))
    assert (limit.watts, walk.call("get_power_limit", "0").watts) == (300, 300)
    assert walk.call("remove_power_limit", "0").watts is None
    # Without WHEN_IDLE this machine never ends.
    assert walk.call("get_idle").ends_at is None
    walk.call("hold_idle", body=walk.body("HoldIdle", {"seconds": 60}), expected=409)
    walk.call("release_idle")
    (node,) = walk.call("list_nodes").nodes
    drained = walk.call("drain_node", node.name, body=walk.body("DrainNode", {"reason": "a look"}))
    assert (drained.state, drained.drain.reason) == ("draining", "a look")
    assert walk.call("undrain_node", node.name).state == "up"
    assert walk.call("get_node", node.name).is_this_server
    walk.call("forget_node", node.name, expected=409)
    walk.call("report_node", "gpu2", body=walk.body("SendReport", {"report": {"format": 9}}), expected=422)
    assert "nvidia_smi" in walk.call("get_metrics")
    assert "nvidia_smi" in walk.call("get_metrics_at_root")
    assert len(walk.call("get_gpu_status").gpus) == 8
    assert len(walk.call("list_available_gpus", count=2).available_gpus) == 2
    walk.call("search_server_logs", keyword="listening")
    for name in ("get_gpu", "get_gpu_details", "list_gpu_processes", "get_gpu_history"):
        walk.call(name, "0")


def hold_a_gpu(walk: Walk) -> None:
    body = walk.body("RegisterTask", {"gpu_ids": [7], "task_type": "training", "task_id": "mine"})
    assert walk.call("register_gpu_task", body=body, expected=201, idempotency_key="once").task_id == "mine"
    assert walk.call("list_gpu_tasks").tasks
    walk.call("get_gpu_task", "mine")
    walk.call("update_gpu_task", "mine", body=walk.body("TaskProgress", {"progress": 5.5}))
    walk.call("release_gpu_task", "mine")

"""The service, its machine and its GPUs, through the made client."""

from tests.clients.walking import Walk


def ask_about_the_machine(walk: Walk) -> None:
    for name in ("get_health_get_health", "get_health_get_readiness", "get_system_get_overview"):
        walk.call(name)
    for name in ("get_gpu_get_summary", "get_gpu_get_events", "get_logs_get_own_logs", "get_system_list_strays"):
        walk.call(name)
    assert [each.is_this_server for each in walk.call("get_system_list_servers").servers] == [True]
    # None has strayed here.
    walk.call("post_system_stop_stray", "nobody.1", body=walk.body("StopStray", {}), expected=404)
    hold = walk.call("post_system_make_hold", body=walk.body("MakeHold", {"reason": "a look"}), expected=201)
    assert [each.hold_id for each in walk.call("get_system_list_holds").holds] == [hold.hold_id]
    walk.call("delete_system_end_hold", hold.hold_id)
    (node,) = walk.call("get_nodes_list_nodes").nodes
    drained = walk.call("post_nodes_drain_node", node.name, body=walk.body("DrainNode", {"reason": "a look"}))
    assert (drained.state, drained.drain.reason) == ("draining", "a look")
    assert walk.call("post_nodes_undrain_node", node.name).state == "up"
    assert walk.call("get_nodes_get_node", node.name).is_this_server
    walk.call("delete_nodes_forget_node", node.name, expected=409)
    walk.call("post_nodes_tell_report", "gpu2", body=walk.body("TellReport", {"report": {"format": 9}}), expected=422)
    assert "nvidia_smi" in walk.call("get_system_get_metrics")
    assert "nvidia_smi" in walk.call("get_system_get_metrics_at_root")
    assert len(walk.call("get_gpu_get_status").gpus) == 8
    assert len(walk.call("get_gpu_get_available", count=2).available_gpus) == 2
    walk.call("get_logs_search_own", keyword="listening")
    for name in ("get_gpu_get_gpu", "get_gpu_get_details", "get_gpu_get_processes", "get_gpu_get_history"):
        walk.call(name, "0")


def hold_a_gpu(walk: Walk) -> None:
    body = walk.body("RegisterTask", {"gpu_ids": [7], "task_type": "training", "task_id": "mine"})
    assert walk.call("post_gpu_register_task", body=body, expected=201, idempotency_key="once").task_id == "mine"
    assert walk.call("get_gpu_get_tasks").tasks
    walk.call("get_gpu_get_task", "mine")
    walk.call("patch_gpu_update_task", "mine", body=walk.body("TaskProgress", {"progress": 5.5}))
    walk.call("delete_gpu_release_task", "mine")

"""Alerts, their rules and their channels, through the generated client."""

from datetime import UTC, datetime, timedelta

from tests.clients.walking import Walk


def handle_alerts(walk: Walk) -> None:
    bound = {"metric": "temperature_gpu", "comparison": "above", "value": 200}
    rule = {"rule_id": "hot", "title": "hot", "scope": "gpu", "summary": "{gpu}", **bound}
    made = walk.call("create_rule", body=walk.body("CreateRule", rule), expected=201).rule
    assert made.when == ["temperature_gpu > 200"]
    assert walk.call("get_rule", "hot").severity.value == "warning"
    change = walk.body("ChangeRule", {"enabled": False})
    assert not walk.call("change_rule", "hot", body=change).rule.enabled
    assert "gpu_lost" in [each.rule_id for each in walk.call("list_rules").rules]
    walk.call("delete_rule", "hot")
    assert walk.call("list_rule_metrics").metrics
    wanted = {"name": "hook", "kind": "webhook", "url": "https://8.8.8.8/x", "enabled": False}
    channel = walk.call("create_channel", body=walk.body("CreateChannel", wanted), expected=201).channel_id
    assert walk.call("get_channel", channel).address == "https://8.8.8.8/…"
    walk.call("change_channel", channel, body=walk.body("ChangeChannel", {"per_hour": 7}))
    walk.call("test_channel", channel, expected=409)
    assert [each.per_hour for each in walk.call("list_channels").channels] == [7]
    walk.call("delete_channel", channel)
    until_ = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    quiet = {"matchers": [{"label": "rule", "value": "hot"}], "until": until_, "comment": "x"}
    silence = walk.call("create_silence", body=walk.body("CreateSilence", quiet), expected=201).silence_id
    assert [each.silence_id for each in walk.call("list_silences").silences] == [silence]
    walk.call("end_silence", silence)
    assert walk.call("list_alerts").counts.firing >= 0
    walk.call("list_deliveries")
    # No rule of this name has fired here.
    walk.call("get_alert", "alert_none", expected=404)
    walk.call("acknowledge_alert", "alert_none", body=walk.body("Acknowledge", {}), expected=404)
    walk.call("withdraw_acknowledgement", "alert_none", expected=404)

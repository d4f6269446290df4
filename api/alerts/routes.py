"""Alerts: what fires, by which rules, who is told, and what became of it."""

from apiflask import APIBlueprint
from flask import Response

from api.alerts.channel_schemas import (
    ChangeChannel,
    ChannelAnswer,
    ChannelListAnswer,
    DeliveryListAnswer,
    DeliveryQuery,
    MakeChannel,
    TestedChannelAnswer,
)
from api.alerts.metrics import METRICS
from api.alerts.rule_schemas import (
    ChangeRule,
    MakeRule,
    MetricListAnswer,
    RuleAnswer,
    RuleListAnswer,
    RuleQuery,
    RuleResultAnswer,
)
from api.alerts.schemas import (
    Acknowledge,
    AlertAnswer,
    AlertDetailAnswer,
    AlertListAnswer,
    AlertQuery,
    MakeSilence,
    SilenceAnswer,
    SilenceListAnswer,
    SilenceQuery,
)
from api.domain.access import current_principal
from api.domain.sight import current_sight
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import services
from api.web.idempotency_routes import idempotent, made_before
from api.web.optional_body import body_is_optional
from api.web.schemas import PageQuery, utc

alerts = APIBlueprint("alerts", __name__, url_prefix=f"{BASE_PATH}/alerts", tag="Alerts")


@alerts.get("")
@alerts.input(AlertQuery, location="query")
@alerts.output(AlertListAnswer)
@alerts.doc(responses=[422, 503])
def list_alerts(query_data: AlertQuery) -> Response:
    """What fires, and what has fired; newest first

    `counts` says how many are open, for a bell. Filters are joined by and; an alert that is acknowledged or silenced
    fires all the same, and stands under that state.
    """
    service = services().alerts
    page = service.get_page(query_data.wanted(current_sight.get().only_of, services().clock.now()), query_data.page())
    return answer({"alerts": page.rows, "counts": service.count(), "pagination": page.pagination})


@alerts.get("/<alert_id>")
@alerts.output(AlertDetailAnswer)
@alerts.doc(responses=[404, 503])
def get_alert(alert_id: str) -> Response:
    """One alert

    With its history, and for who manages channels with what was told of it and what became of that.
    """
    return answer(services().alerts.get(alert_id, current_principal.get()))


@alerts.post("/<alert_id>/acknowledge")
@alerts.input(Acknowledge)
@alerts.output(AlertAnswer)
@alerts.doc(responses=[400, 403, 404, 409, 415, 422, 503])
@body_is_optional
def acknowledge_alert(alert_id: str, json_data: Acknowledge) -> Response:
    """Say that one knows of an alert

    It is not repeated until it ends, `until` is over, or it becomes graver. Its end is told. Without
    `alerts:manage` only alerts about your own tasks, keys and quotas can be acknowledged.
    """
    until = None if json_data.until is None else utc(json_data.until)
    acknowledged = services().alerts.acknowledge(alert_id, until, json_data.comment, current_principal.get())
    return answer(acknowledged, message="acknowledged")


@alerts.delete("/<alert_id>/acknowledge")
@alerts.output(AlertAnswer)
@alerts.doc(responses=[403, 404, 409, 503])
def withdraw_acknowledgement(alert_id: str) -> Response:
    """Take an acknowledgement back

    The alert is repeated again.
    """
    return answer(services().alerts.withdraw(alert_id, current_principal.get()))


@alerts.get("/silences")
@alerts.input(SilenceQuery, location="query")
@alerts.output(SilenceListAnswer)
@alerts.doc(responses=[422, 503])
def list_silences(query_data: SilenceQuery) -> Response:
    """Silences, newest first

    Those that have ended only with `ended=true`. Where other people's tasks are hidden, only your own.
    """
    page = services().alerts.get_silences(query_data.ended, query_data.page())
    return answer({"silences": page.rows, "pagination": page.pagination})


@alerts.post("/silences")
@alerts.input(MakeSilence)
@alerts.output(SilenceAnswer, status_code=201)
@alerts.doc(responses=[400, 403, 409, 415, 422, 503])
@idempotent
def make_silence(json_data: MakeSilence) -> Response:
    """Silence alerts for a while

    They are evaluated, shown and kept, and nobody is told; of what still fires at its end people are told then. Without
    `alerts:manage` only alerts about your own tasks can be silenced: one matcher must be your `owner` name or the
    `task_id` of a task of yours.
    """
    if before := made_before():
        return answer(services().alerts.get_silence(before.about), 201, "created")
    return answer(services().alerts.silence(json_data.request(), current_principal.get()), 201, "created")


@alerts.delete("/silences/<silence_id>")
@alerts.output(SilenceAnswer)
@alerts.doc(responses=[403, 404, 503])
def end_silence(silence_id: str) -> Response:
    """End a silence now

    One that has ended stays as it is. Without `alerts:manage` only your own silences can be ended.
    """
    return answer(services().alerts.end_silence(silence_id, current_principal.get()), message="ended")


@alerts.get("/rules")
@alerts.input(RuleQuery, location="query")
@alerts.output(RuleListAnswer)
@alerts.doc(responses=[422, 503])
def list_rules(query_data: RuleQuery) -> Response:
    """The rules

    Those that are built in, then people's own.
    """
    page = services().rules.get_page(query_data.scope, query_data.enabled, query_data.page())
    return answer({"rules": page.rows, "pagination": page.pagination})


@alerts.post("/rules")
@alerts.input(MakeRule)
@alerts.output(RuleResultAnswer, status_code=201)
@alerts.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def make_rule(json_data: MakeRule) -> Response:
    """Make a rule

    It holds at once.
    """
    rules = services().rules
    if before := made_before():
        return answer({"rule": rules.get(before.about)}, 201, "created")
    return answer({"rule": rules.add(json_data.rule(), current_principal.get())}, 201, "created")


@alerts.get("/rules/<rule_id>")
@alerts.output(RuleAnswer)
@alerts.doc(responses=[404, 503])
def get_rule(rule_id: str) -> Response:
    """One rule

    As it holds: of one that is built in with what was changed of it.
    """
    return answer(services().rules.get(rule_id))


@alerts.patch("/rules/<rule_id>")
@alerts.input(ChangeRule)
@alerts.output(RuleResultAnswer)
@alerts.doc(responses=[400, 404, 415, 422, 503])
def change_rule(rule_id: str, json_data: ChangeRule) -> Response:
    """Change a rule

    Of one that is built in `enabled`, `value` (its threshold), `for_seconds`, `clear_seconds`, `severity`, `labels` and
    `actions` can be changed.
    """
    changed = services().rules.change(rule_id, json_data.changes(), current_principal.get())
    return answer({"rule": changed})


@alerts.delete("/rules/<rule_id>")
@alerts.output(RuleAnswer)
@alerts.doc(responses=[404, 503])
def delete_rule(rule_id: str) -> Response:
    """Delete a rule of one's own, or what was changed of one that is built in

    What it fired ends.
    """
    return answer(services().rules.delete(rule_id), message="deleted")


@alerts.get("/metrics")
@alerts.output(MetricListAnswer)
def list_metrics() -> Response:
    """What rules may be about

    Every metric with its scope and unit, and whether its last 24 h are known.
    """
    return answer({"metrics": METRICS})


@alerts.get("/channels")
@alerts.input(PageQuery, location="query")
@alerts.output(ChannelListAnswer)
@alerts.doc(responses=[422, 503])
def list_channels(query_data: PageQuery) -> Response:
    """The ways to people, newest first

    Their addresses are masked.
    """
    page = services().channels.get_page(query_data.page(), current_principal.get())
    return answer({"channels": page.rows, "pagination": page.pagination})


@alerts.post("/channels")
@alerts.input(MakeChannel)
@alerts.output(ChannelAnswer, status_code=201)
@alerts.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def make_channel(json_data: MakeChannel) -> Response:
    """Make a way to people

    E-mail, SMS gateways and chats by an address as Apprise has them; or a webhook of our own, signed, in Alertmanager's
    JSON. An address that leads to a private host is refused unless PRIVATE_HOSTS_ALLOWED lists it.
    """
    if before := made_before():
        return answer(services().channels.get(before.about, current_principal.get()), 201, "created")
    return answer(services().channels.add(json_data.request(), current_principal.get()), 201, "created")


@alerts.get("/channels/<channel_id>")
@alerts.output(ChannelAnswer)
@alerts.doc(responses=[404, 503])
def get_channel(channel_id: str) -> Response:
    """One channel

    How it fares, and for who manages channels why it fails.
    """
    return answer(services().channels.get(channel_id, current_principal.get()))


@alerts.patch("/channels/<channel_id>")
@alerts.input(ChangeChannel)
@alerts.output(ChannelAnswer)
@alerts.doc(responses=[400, 404, 409, 415, 422, 503])
def change_channel(channel_id: str, json_data: ChangeChannel) -> Response:
    """Change a channel

    A new `url` replaces the old one. To enable one that was put aside forgets its failures.
    """
    changes, settings = json_data.changes(), json_data.settings()
    return answer(services().channels.change(channel_id, changes, settings, current_principal.get()))


@alerts.delete("/channels/<channel_id>")
@alerts.output(ChannelAnswer)
@alerts.doc(responses=[404, 503])
def delete_channel(channel_id: str) -> Response:
    """Delete a channel

    With its address. What is on its way through it is not sent any more.
    """
    return answer(services().channels.delete(channel_id, current_principal.get()), message="deleted")


@alerts.post("/channels/<channel_id>/test")
@alerts.output(TestedChannelAnswer, status_code=202)
@alerts.doc(responses=[404, 409, 429, 503])
def test_channel(channel_id: str) -> Response:
    """Send a message to try a channel

    Once a minute at most; `GET /alerts/deliveries?channel_id=` says what became of it. It takes no body.
    """
    delivery_id = services().channels.test(channel_id)
    location = {"Location": f"{BASE_PATH}/alerts/deliveries?channel_id={channel_id}"}
    return answer({"delivery_id": delivery_id}, 202, "on its way", location)


@alerts.get("/deliveries")
@alerts.input(DeliveryQuery, location="query")
@alerts.output(DeliveryListAnswer)
@alerts.doc(responses=[422, 503])
def list_deliveries(query_data: DeliveryQuery) -> Response:
    """What became of each message, newest first

    How often it was tried, what the receiver answered, and when it is tried again.
    """
    page = services().channels.get_deliveries(query_data.wanted(), query_data.page())
    return answer({"deliveries": page.rows, "pagination": page.pagination})

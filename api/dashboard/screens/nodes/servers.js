// Servers that share a database, and the duties that each one leads.

import { has } from "../../app/access.js";
import { api } from "../../app/api.js";
import { labelFor, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { UNKNOWN } from "../../ui/format.js";
import { stackedTable } from "../../ui/states.js";
import { statusChip } from "../../ui/status.js";
import { time } from "../../ui/time.js";

/** The panel; hidden while there is only one server. */
export function servers() {
  const body = h("div", {});
  const element = h(
    "section",
    { class: "panel nodes-list", hidden: true, "aria-label": t("servers") },
    h("header", {}, h("h2", {}, t("servers"))),
    body,
  );
  return {
    element,
    async refetch() {
      if (!has("system:read")) return;
      const { servers: found } = await api.servers();
      element.hidden = found.filter(({ state }) => state !== "down").length < 2;
      fill(body, stackedTable(heads(), found.map(row), "nodes-table"));
    },
  };
}

const heads = () => [
  { label: t("servers.server") },
  { label: t("node.state") },
  { label: t("servers.leads") },
  { label: t("node.last_report") },
  { label: t("node.version") },
  { label: t("servers.since") },
];

/** @param {API.Server} server */
function row(server) {
  const chip = statusChip("node");
  chip.update(server.state);
  const leads = server.leads.map((scope) => labelFor("servers.leads", scope)).join(", ");
  return h(
    "tr",
    {},
    h(
      "td",
      { class: "foreign" },
      server.port ? `${server.host}:${server.port}` : server.host,
      server.is_this_server && h("span", { class: "faint small" }, ` ${t("node.here")}`),
      h("p", { class: "faint small" }, t("servers.process", { node: server.node, pid: server.pid })),
    ),
    h("td", {}, chip.element),
    h("td", {}, leads || UNKNOWN),
    h("td", { class: "nowrap" }, server.is_this_server ? UNKNOWN : time(server.last_seen)),
    h("td", { class: "nowrap" }, server.version),
    h("td", { class: "nowrap" }, time(server.started_at)),
  );
}

// The machines screen: state, GPUs and tasks of each, and draining.

import { has } from "../../app/access.js";
import { api } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { nodeAddress, taskAddress } from "../../app/router.js";
import { askWhich } from "../../ui/dialog.js";
import { fill, h, reconcile, setText } from "../../ui/dom.js";
import { askFields } from "../../ui/form_dialog.js";
import { duration, UNKNOWN } from "../../ui/format.js";
import { prose } from "../../ui/prose.js";
import { sections } from "../../ui/sections.js";
import { loading, stackedTable } from "../../ui/states.js";
import { statusChip } from "../../ui/status.js";
import { headings } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";
import { isUnreachable } from "./state.js";
import { trainerPanel } from "./trainer.js";

const PAUSE_MS = 500;
const AGAIN_MS = 5000;

/** The data of a row. @typedef {{node: API.Node, nodes: API.Node[]}} Shown */

/** @param {import("../../app/main.js").App} app @returns {import("../../app/main.js").Screen} */
export function open(app) {
  const body = h("div", loading());
  const heads = servers();
  const environment = trainerPanel();
  const counts = h("p.soft.small", { "aria-live": "polite" });
  /** @type {ReturnType<typeof list>|null} */
  let rows = null;

  async function refetch() {
    const { nodes } = await api.nodes();
    setText(counts, showCounts(nodes));
    const isCluster = nodes.some((node) => node.slurm);
    if (rows?.isCluster !== isCluster) {
      rows = list(isCluster, () => attempt(refetch));
      fill(body, rows.element);
    }
    rows.update(nodes);
    await Promise.all([heads.refetch(), environment.refetch()]);
  }

  const refetchSoon = soon(() => refetch().catch(() => app.stream.retry()), PAUSE_MS);
  let states = "";
  const unwatch = machine.watch((snapshot) => {
    const now = (snapshot?.nodes ?? []).map(({ name, state }) => `${name} ${state}`).join();
    if (now !== states) refetchSoon();
    states = now;
  });
  const ticking = setInterval(refetchSoon, AGAIN_MS);
  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("gpus")), sections("gpus", "#/gpus/machines"), counts),
      h("section.panel.nodes-list", { "aria-label": t("nodes") }, body),
      heads.element,
      environment.element,
    ),
    title: () => t("nodes"),
    topics: "gpu,system",
    on: {},
    refetch,
    close() {
      unwatch();
      clearInterval(ticking);
      refetchSoon.cancel();
    },
  };
}

/**
 * The table. Rows are reused, so that the keyboard focus stays.
 * @param {boolean} isCluster @param {() => void} changed
 */
function list(isCluster, changed) {
  const alone = h("p.none.faint.small", { hidden: true }, t("nodes.alone"));
  const labels = heads(isCluster);
  const content = stackedTable(labels, [], "nodes-table");
  const rows = /** @type {HTMLElement} */ (content.querySelector("tbody"));
  /** @type {Map<string, import("../../ui/dom.js").Part<Shown>>} */
  const parts = new Map();
  return {
    isCluster,
    element: h("div", content, alone),
    /** @param {API.Node[]} nodes */
    update(nodes) {
      const shown = problemsFirst(nodes).map((node) => ({ node, nodes }));
      reconcile(
        rows,
        parts,
        shown,
        ({ node }) => node.name,
        () => row(labels, isCluster, changed),
      );
      alone.hidden = nodes.length > 1;
    },
  };
}

/** Machines with problems first. @param {API.Node[]} nodes */
function problemsFirst(nodes) {
  const rank = (/** @type {API.Node} */ { state }) => (state === "unknown" ? 0 : state === "down" ? 1 : 2);
  return [...nodes].sort((one, other) => rank(one) - rank(other));
}

/** @param {API.Node[]} nodes */
function showCounts(nodes) {
  const states = /** @type {const} */ (["up", "draining", "unknown", "down"]);
  return states
    .map((state) => ({ state, n: nodes.filter((node) => node.state === state).length }))
    .filter(({ n }) => n > 0)
    .map(({ state, n }) => `${n} ${t(`node.${state}`)}`)
    .join(" · ");
}

/** @param {boolean} isCluster */
const heads = (isCluster) => [
  ...headings("name", "node.state"),
  ...(isCluster ? ["Slurm"] : []),
  ...headings("node.gpus", "node.tasks", "node.last_report", "node.version", "node.where", "actions"),
];

/** @param {string[]} labels @param {boolean} isCluster @param {() => void} changed */
function row(labels, isCluster, changed) {
  const chip = statusChip("node");
  const stateBox = h("div");
  const cells = labels.map((label) => h("td", { data: { label } }));
  const [name, state, ...others] = cells;
  const [slurm, [gpus, tasks, reported, version, where, actions]] = isCluster
    ? [others[0], others.slice(1)]
    : [null, others];
  for (const cell of [gpus, reported, version]) cell.classList.add("nowrap");
  where.classList.add("foreign");
  state.append(chip.element, stateBox);
  return {
    element: h("tr", cells),
    /** @param {Shown} shown */
    update({ node, nodes }) {
      chip.update(node.state);
      put(name, [
        h("a", { href: nodeAddress(node.name) }, node.name),
        node.is_this_server && h("p.faint.small", t("node.here")),
      ]);
      put(stateBox, stateDetails(node));
      if (slurm) put(slurm, slurmOf(node.slurm));
      setText(gpus, t("node.free", { free: node.gpus.available, all: node.gpus.total }));
      put(tasks, tasksOf(node, nodes));
      put(reported, lastReport(node));
      setText(version, node.version ?? UNKNOWN);
      setText(where, node.host ?? UNKNOWN);
      put(actions, actionButtons(node, changed));
    },
  };
}

/**
 * Fills a cell if its content differs; if a focused button disappears, focus the first new one.
 * @param {HTMLElement} cell @param {Child} content
 */
function put(cell, content) {
  const next = h("div", content).childNodes;
  const isSame = (/** @type {Node} */ child, /** @type {number} */ i) => child.isEqualNode(cell.childNodes[i] ?? null);
  if (next.length === cell.childNodes.length && [...next].every(isSame)) return;
  const isHere = cell.contains(document.activeElement);
  cell.replaceChildren(...next);
  if (isHere) cell.querySelector("button")?.focus();
}

/** The reason of its state, and problems to check. @param {API.Node} node @returns {Child} */
function stateDetails(node) {
  const problems = [node.source_problem, ...node.warnings.map((one) => translate(one.message, one.message_code))];
  return [
    node.reason && h("p.soft.small.foreign", prose(translate(node.reason, node.reason_code))),
    // Problems of a machine that is up must be visible among many machines.
    problems.map((message) => message && h("p.warn.small.foreign", prose(message))),
  ];
}

/** @param {API.Node["slurm"]} slurm @returns {Child} */
function slurmOf(slurm) {
  if (!slurm) return h("span.faint", t("node.slurm.none"));
  const slurmText = [slurm.says.join(" + "), slurm.partitions.join(", ")].filter(Boolean).join(" · ");
  return [
    t(`node.slurm.${slurm.state}`),
    h("p.faint.small.foreign", slurmText),
    slurm.reason && h("p.soft.small.foreign", slurm.reason),
  ];
}

/** @param {API.Node} node @param {API.Node[]} nodes @returns {Child} */
function tasksOf(node, nodes) {
  if (!node.tasks.length) return h("span.faint", UNKNOWN);
  const otherNode = (/** @type {string} */ id) =>
    nodes.find((other) => other !== node && other.tasks.some((task) => task.task_id === id) && !isUnreachable(other));
  return [
    node.tasks.map(({ task_id: id, task_type: type, has_ended: hasEnded }) => {
      const other = isUnreachable(node) && otherNode(id);
      return h(
        "p.clip",
        type === "training" ? h("a", { href: taskAddress(id) }, id) : id,
        other && h("span.soft.small", " ", t("node.task.elsewhere", { node: other.name })),
        !other && isUnreachable(node) && hasEnded && h("span.soft.small", " ", t("node.task.again")),
      );
    }),
    isUnreachable(node) &&
      node.tasks.some(({ task_id: id, has_ended: hasEnded }) => !hasEnded && !otherNode(id)) &&
      h("p.warn.small", t("node.tasks.unknown")),
  ];
}

/** @param {API.Node} node @returns {Child} */
function lastReport(node) {
  if (node.is_this_server || !node.last_seen) return UNKNOWN;
  const age = t("node.ago", { age: duration(node.silent_seconds) });
  return isUnreachable(node) && node.silent_seconds !== null
    ? [time(node.last_seen), h("p.soft.small", age)]
    : time(node.last_seen);
}

/** @param {API.Node} node @param {() => void} changed @returns {Child} */
function actionButtons(node, changed) {
  if (!has("system:write")) return null;
  const { name } = node;
  const button = (/** @type {string} */ label, /** @type {() => Promise<unknown>} */ act) =>
    h("button.button.small", { on: { click: () => attempt(act) } }, label);
  const undrain = async () => {
    await api.undrainNode(name);
    toast("ok", t("node.undrained", { node: name }));
    changed();
  };
  return h(
    "div.tools",
    node.drain ? button(t("node.undrain"), undrain) : button(t("node.drain"), () => drain(name, changed)),
    isUnreachable(node) && button(t("node.remove"), () => forget(name, changed)),
  );
}

/** @param {string} name @param {() => void} changed */
async function drain(name, changed) {
  const why = { name: "reason", label: t("node.drain.why"), value: "", required: true };
  const isDone = await askFields(
    t("node.drain.title", { node: name }),
    [why],
    t("node.drain"),
    ({ reason }) => api.drainNode(name, reason),
    t("node.drain.text"),
  );
  if (!isDone) return;
  toast("ok", t("node.drained", { node: name }));
  changed();
}

/** @param {string} name @param {() => void} changed */
async function forget(name, changed) {
  const choices = [{ label: t("node.remove"), value: "forget", kind: "danger" }];
  const title = t("node.remove.title", { node: name });
  if (!(await askWhich({ title, text: t("node.remove.text"), choices }))) return;
  await api.forgetNode(name);
  toast("ok", t("node.removed", { node: name }));
  changed();
}

/** The panel; hidden while there is only one server. */
function servers() {
  const body = h("div");
  const element = h(
    "section.panel.nodes-list",
    { hidden: true, "aria-label": t("servers") },
    h("header", h("h2", t("servers"))),
    body,
  );
  return {
    element,
    async refetch() {
      if (!has("system:read")) return;
      const { servers: found } = await api.servers();
      element.hidden = found.filter(({ state }) => state !== "down").length < 2;
      fill(
        body,
        stackedTable(
          headings(
            "servers.server",
            "node.state",
            "servers.leads",
            "node.last_report",
            "node.version",
            "servers.since",
          ),
          found.map(serverRow),
          "nodes-table",
        ),
      );
    },
  };
}

/** @param {API.Server} server */
function serverRow(server) {
  const chip = statusChip("node");
  chip.update(server.state);
  const leads = server.leads.map((scope) => labelFor("servers.leads", scope)).join(", ");
  return h(
    "tr",
    h(
      "td.foreign",
      server.port ? `${server.host}:${server.port}` : server.host,
      server.is_this_server && h("span.faint.small", ` ${t("node.here")}`),
      h("p.faint.small", t("servers.process", { node: server.node, pid: server.pid })),
    ),
    h("td", chip.element),
    h("td", leads || UNKNOWN),
    h("td.nowrap", server.is_this_server ? UNKNOWN : time(server.last_seen)),
    h("td.nowrap", server.version),
    h("td.nowrap", time(server.started_at)),
  );
}

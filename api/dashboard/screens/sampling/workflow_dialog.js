// The form that registers a workflow: it shows the nodes that were found, and asks for those that are missing.

import { newKey } from "../../app/api_data.js";
import { samplingApi } from "../../app/api_sampling.js";
import { labelFor, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { field, selectInput, textInput } from "../../ui/fields.js";
import { askForm } from "../../ui/form_dialog.js";
import { note } from "../../ui/status.js";
import { attempt } from "../../ui/toast.js";

/** What samples set, in the order in which it is shown. */
const FIELDS = /** @type {const} */ ([
  "lora",
  "prompt",
  "negative",
  "seed",
  "width",
  "height",
  "frames",
  "steps",
  "output",
]);
/** Fields without which nothing can be rendered. @type {readonly string[]} */
const REQUIRED = ["lora", "prompt", "seed", "output"];
const MOST_BYTES = 512 * 1024;

/** @typedef {Record<string, {class_type?: string, inputs?: Record<string, unknown>, _meta?: {title?: string}}>} Graph */

/** Resolves to the registered workflow, or null. @param {string} modelType */
export function askWorkflow(modelType) {
  const key = newKey();
  const file = h("input.file-input", {
    id: "workflow-file",
    type: "file",
    accept: ".json,application/json",
    required: true,
  });
  const name = textInput({ id: "workflow-name", required: true, maxlength: 100 });
  const type = textInput({ id: "workflow-type", required: true, pattern: "[A-Za-z0-9_.\\-]{1,64}", value: modelType });
  const shared = h("input", { id: "workflow-shared", type: "checkbox" });
  const nodes = h("div.stack", { role: "status" });
  /** @type {Graph} */
  let graph = {};
  /** The user's choices, by field. @type {Map<string, HTMLSelectElement>} */
  const choices = new Map();

  /** @param {string} id */
  const nodeName = (id) => `${graph[id]?._meta?.title || graph[id]?.class_type || "?"} (${id})`;

  /** The inputs that a field may be, as `node` or as `node input`. @param {string} what @returns {[string, string][]} */
  function candidates(what) {
    const ids = Object.keys(graph);
    if (what === "lora")
      return ids.filter((id) => "lora_name" in (graph[id]?.inputs ?? {})).map((id) => [id, nodeName(id)]);
    if (what === "output")
      return ids.filter((id) => "filename_prefix" in (graph[id]?.inputs ?? {})).map((id) => [id, nodeName(id)]);
    const isText = what === "prompt" || what === "negative";
    return ids.flatMap((id) =>
      Object.entries(graph[id]?.inputs ?? {})
        .filter(([, value]) => typeof value === (isText ? "string" : "number"))
        .map(([input]) => /** @type {[string, string]} */ ([JSON.stringify([id, input]), `${nodeName(id)}: ${input}`])),
    );
  }

  async function look() {
    choices.clear();
    fill(nodes);
    const [chosen] = file.files ?? [];
    if (!chosen) return;
    if (!name.value) name.value = chosen.name.replace(/\.json$/i, "");
    file.setCustomValidity("");
    try {
      if (chosen.size > MOST_BYTES) throw new SyntaxError();
      graph = JSON.parse(await chosen.text());
    } catch {
      file.setCustomValidity(t("workflow.no.json"));
      fill(nodes, note("bad", h("p", t("workflow.no.json"))));
      return;
    }
    const found = await samplingApi.findNodes({ workflow: graph });
    const missing = new Set(found.missing.map((each) => each.field));
    fill(
      nodes,
      h("p.small", t(missing.size ? "workflow.missing" : "workflow.found")),
      FIELDS.map((what) => row(what, found.nodes[what], missing.has(what))),
    );
  }

  /** @param {(typeof FIELDS)[number]} what @param {API.FoundNodes["nodes"][(typeof FIELDS)[number]]} found @param {boolean} isMissing */
  function row(what, found, isMissing) {
    const offered = candidates(what);
    const list = Array.isArray(found) ? found : found === null ? [] : [found];
    const shown = list.map((each) =>
      typeof each === "string" ? nodeName(each) : `${nodeName(each.node)}: ${each.input}`,
    );
    const first = shown.length ? shown.join(", ") : t(REQUIRED.includes(what) ? "workflow.choose" : "workflow.keep");
    const select = selectInput([["", first], ...offered], { id: `workflow-${what}` });
    select.required = isMissing;
    choices.set(what, select);
    return field(
      labelFor("workflow_node", what),
      select,
      isMissing && h("p.bad.tiny", labelFor("workflow_missing", what)),
    );
  }

  function given() {
    /** @type {Record<string, unknown>} */
    const named = {};
    for (const [what, { value }] of choices) {
      if (!value) continue;
      if (what === "output") named[what] = value;
      else if (what === "lora") named[what] = [value];
      else {
        const [node, input] = JSON.parse(value);
        named[what] = [{ node, input }];
      }
    }
    return Object.keys(named).length ? named : null;
  }

  file.addEventListener("change", () => attempt(look));
  return askForm({
    title: t("workflow.new"),
    content: [
      field(t("grid.workflow"), file, t("workflow.file.hint")),
      h("div.two", field(t("name"), name), field(t("make.model_type"), type)),
      nodes,
      h("label.check", shared, t("preset.share")),
    ],
    action: t("workflow.save"),
    run: () =>
      samplingApi.saveWorkflow(
        { name: name.value, model_type: type.value, workflow: graph, nodes: given(), shared: shared.checked },
        key,
      ),
    isSticky: true,
  });
}

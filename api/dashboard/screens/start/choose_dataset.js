// Step 2: the datasets, by name and version or as directories on the server, and their settings.

import { data } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { numberInput, selectInput, textInput } from "../../ui/fields.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { withBrowser } from "../../ui/path_input.js";
import { segments } from "../../ui/segments.js";
import { toast } from "../../ui/toast.js";
import { keyLabel, showValue } from "./draft.js";
import { formField } from "./fields.js";
import { findingItem, placeFindings } from "./findings.js";
import { newDataset } from "./new_dataset.js";
import { settingField } from "./setting_field.js";
import { helpOf } from "./settings_form.js";

const MAX_COUNT = 500;

/** @param {API.Dataset} dataset */
const hasVersion = ({ latest }) => latest !== null;

/** @typedef {{dataset?: string, path?: string, num_repeats?: number, [name: string]: unknown}} Directory */

/** @param {import("./draft.js").Draft} draft @param {() => void} changed called when the dataset has changed */
export function datasetChoice(draft, changed) {
  /** @type {readonly API.Dataset[]} */
  let known = [];
  const rows = h("div.stack");
  const settings = h("div.form-grid");
  const rest = h("div.form-grid");
  const cutText = h("span.small.soft.foreign");
  const more = h("details", { hidden: true }, h("summary.small.soft", t("settings.all")), rest);
  const add = h(
    "button.text-button",
    { type: "button", on: { click: () => append({ path: "" }) } },
    icon("plus"),
    " ",
    t("dataset.more"),
  );
  const cut = h("details.fold", { hidden: true }, h("summary", t("dataset.settings"), " ", cutText), settings, more);
  const wrong = h("ul.findings");
  const made = newDataset(async (name) => {
    const { latest } = (await data.get(name)).dataset;
    if (latest === null) return;
    known = (await data.list({ limit: MAX_COUNT })).datasets.filter(hasVersion);
    choose(name, `${name}@${latest}`);
    toast("ok", t("dataset.ready", { name }));
  });
  const element = h(
    "div.stack.dataset-choice",
    rows,
    wrong,
    h("div.choice-line", add, made.button, h("span.faint.small.drop-hint", t("dataset.drop"))),
    made.element,
    cut,
  );
  /** @type {ReturnType<typeof settingField>[]} */
  let fields = [];
  /** @type {ReturnType<typeof directoryRow>[]} */
  let parts = [];
  /** @type {API.ModelSettings|null} */
  let model = null;

  /** @returns {Directory[]} */
  const directories = () => {
    const found = draft.get(["dataset", "directories"]) ?? draft.get(["dataset", "directory"]);
    return Array.isArray(found) ? found : [];
  };
  /** @param {Directory[]} next */
  function put(next) {
    if (draft.get(["dataset", "directory"]) !== undefined) draft.set(["dataset", "directory"], undefined);
    draft.set(["dataset", "directories"], next.length ? next : undefined);
    changed();
  }
  /** @param {Directory} directory */
  function append(directory) {
    put([...directories(), directory]);
    draw();
  }

  /** Names a dataset in its own row, else in the first empty one, else in another. @param {string} name @param {string} reference */
  function choose(name, reference) {
    const now = directories();
    const own = now.findIndex(({ dataset }) => dataset?.split("@")[0] === name);
    const free = now.findIndex(({ dataset, path }) => !dataset && !path);
    const at = own >= 0 ? own : free >= 0 ? free : now.length;
    const { path: _path, ...rest } = now[at] ?? {};
    put([...now.slice(0, at), { ...rest, dataset: reference }, ...now.slice(at + 1)]);
    draw();
  }

  function draw() {
    const focused = rows.contains(document.activeElement) ? document.activeElement?.id : "";
    const here = directories();
    const shown = here.length ? here : [{}];
    parts = shown.map((each, place) => {
      const set = (/** @type {Directory|null} */ next) => {
        const now = directories();
        const isFilled = next && Object.keys(next).length > 0;
        put(isFilled ? [...now.slice(0, place), next, ...now.slice(place + 1)] : now.filter((_, i) => i !== place));
        draw();
      };
      return directoryRow(each, place, known, shown.length > 1, set, model, draft);
    });
    fill(
      rows,
      parts.map((part) => part.element),
    );
    if (focused) document.getElementById(focused)?.focus();
    add.hidden = !here.length;
    for (const field of fields) field.update();
    showCut();
  }

  /** What the folded settings say. */
  function showCut() {
    const said = ["resolutions", "frame_buckets"].map((name) => [name, draft.get(["dataset", name])]);
    fill(
      cutText,
      said
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${keyLabel(String(name))}: ${showValue(value)}`)
        .join(" · "),
    );
  }

  data.list({ limit: MAX_COUNT }).then(
    ({ datasets }) => {
      known = datasets.filter(hasVersion);
      draw();
    },
    () => {},
  );
  draw();
  return {
    element,
    update: draw,
    close: made.close,
    /** The reference of the only named dataset, or null. @returns {string|null} */
    get reference() {
      const [first, ...others] = directories();
      return others.length ? null : (first?.dataset ?? null);
    },
    /** Shows the keys of a dataset as fields. @param {API.ModelSettings|null} found */
    describe(found) {
      model = found;
      const table = found?.tables.find(({ name, file }) => file === "dataset" && !name);
      const own = (table?.settings ?? []).filter(({ name }) => name !== "num_repeats");
      const field = (/** @type {API.Setting} */ each) =>
        settingField(each, ["dataset", each.name], draft, table ? helpOf(table, each) : each.help);
      const [common, others] = [
        own.filter((each) => each.is_common).map(field),
        own.filter((each) => !each.is_common).map(field),
      ];
      fields = [...common, ...others];
      fill(
        settings,
        common.map((each) => each.element),
      );
      fill(
        rest,
        others.map((each) => each.element),
      );
      more.hidden = !others.length;
      cut.hidden = !fields.length;
      draw();
    },
    /** Says of a missing dataset what to do here; the service names the key. @param {SeverityFinding} finding */
    explain: (finding) =>
      finding.message_code?.code === "directories_missing"
        ? { ...finding, message: t("dataset.missing"), message_code: null, remedy: t("dataset.missing.remedy") }
        : finding,
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const whole = findings.filter(({ pointer }) => /^\/dataset(\/director(y|ies))?$/.test(pointer));
      fill(
        wrong,
        whole.map((finding) => findingItem(finding, "", null)),
      );
      return [
        ...placeFindings(whole, rows),
        ...parts.flatMap((part) => part.show(findings)),
        ...fields.flatMap((each) => each.show(findings)),
      ];
    },
  };
}

/**
 * One directory, or one named dataset.
 * @param {Directory} directory @param {number} place @param {readonly API.Dataset[]} known @param {boolean} isOneOfMany
 * @param {(next: Directory|null) => void} set @param {API.ModelSettings|null} model @param {import("./draft.js").Draft} draft
 */
function directoryRow(directory, place, known, isOneOfMany, set, model, draft) {
  const now = { ...directory };
  const at = [`/dataset/directories/${place}`, `/dataset/directory/${place}`, `/dataset_toml/directory/${place}`];
  const isPath = "path" in directory;
  const kinds = segments(
    t("dataset.kind"),
    /** @type {const} */ ([
      { value: "named", label: t("dataset.named") },
      { value: "path", label: t("dataset.path") },
    ]),
    isPath ? "path" : "named",
    (kind) => {
      const { path: _path, dataset: _dataset, ...rest } = now;
      set(kind === "path" ? { ...rest, path: "" } : rest);
    },
  );
  const source = isPath ? pathField(now, place, at, set) : namedField(now, place, at, known, set);
  const repeats = formField({
    name: `repeats-${place}`,
    label: t("dataset.repeats"),
    pointers: at.map((each) => `${each}/num_repeats`),
    input: numberInput({ min: 1, step: "any", value: now.num_repeats ?? 1 }),
  });
  repeats.input.addEventListener("change", () => {
    now.num_repeats = repeats.input.valueAsNumber || 1;
    set(now);
  });
  const table = model?.tables.find(({ name }) => name === "directory");
  const own = Object.keys(directory).length
    ? (table?.settings ?? [])
        .filter(({ name }) => name !== "path" && name !== "num_repeats")
        .map((each) =>
          settingField(
            each,
            ["dataset", "directories", String(place), each.name],
            draft,
            table ? helpOf(table, each) : each.help,
          ),
        )
    : [];
  for (const each of own) each.update();
  return {
    element: h(
      "div.directory-row",
      h(
        "div.choice-line",
        kinds.element,
        isOneOfMany && h("button.button.small", { type: "button", on: { click: () => set(null) } }, t("remove")),
      ),
      h(
        "div.directory-fields",
        source.map((each) => each.element),
        // The toy supports no settings of a directory.
        table && Object.keys(directory).length > 0 && repeats.element,
      ),
      own.length > 0 &&
        h(
          "details",
          h("summary.small.soft", t("table.dataset.directory")),
          h(
            "div.form-grid",
            own.map((each) => each.element),
          ),
        ),
    ),
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const marked = [...(table ? [repeats] : []), ...own].flatMap((each) => each.show(findings));
      // Other findings of the directory are shown next to its name.
      const others = findings.filter((each) => !marked.includes(each));
      return [...marked, ...source.flatMap((each) => each.show(others))];
    },
  };
}

/** @param {Directory} now @param {number} place @param {string[]} at @param {(next: Directory) => void} set */
function pathField(now, place, at, set) {
  const field = formField({
    name: `path-${place}`,
    label: t("dataset.path.label"),
    pointers: at.map((each) => `${each}/path`),
    input: textInput({ class: "input mono", spellcheck: "false", placeholder: "/srv/cats", value: now.path ?? "" }),
    wide: true,
  });
  withBrowser(field.input, "directory");
  field.input.addEventListener("change", () => {
    now.path = field.input.value.trim();
    set(now);
  });
  return [field];
}

/** @param {Directory} now @param {number} place @param {string[]} at @param {readonly API.Dataset[]} known @param {(next: Directory) => void} set */
function namedField(now, place, at, known, set) {
  const [chosen = "", version = ""] = (now.dataset ?? "").split("@");
  const found = known.find(({ name }) => name === chosen);
  /** @type {[string, string][]} */
  const options = [["", t("dataset.none")], ...known.map(({ name }) => /** @type {[string, string]} */ ([name, name]))];
  if (chosen && !found) options.push([chosen, chosen]);
  const name = formField({
    name: `dataset-${place}`,
    label: t("dataset.choose"),
    pointers: [...at, ...at.map((each) => `${each}/dataset`)],
    input: selectInput(options),
  });
  name.input.value = chosen;
  const latest = found?.latest ?? null;
  const numbers = latest === null ? [] : Array.from({ length: Math.min(latest, 100) }, (_, i) => latest - i);
  /** @type {[string, string][]} */
  const versions = numbers.map((n) => [String(n), n === latest ? t("dataset.latest", { n: count(n) }) : count(n)]);
  if (version && !versions.some(([value]) => value === version)) versions.push([version, version]);
  const pinned = formField({
    name: `version-${place}`,
    label: t("dataset.version"),
    pointers: [],
    input: selectInput(versions),
  });
  pinned.input.value = version || String(latest ?? "");
  pinned.element.hidden = !chosen;
  const put = () => {
    const own = known.find((each) => each.name === name.input.value);
    const number = name.input.value === chosen ? pinned.input.value : String(own?.latest ?? "");
    const { dataset: _old, ...rest } = now;
    set(name.input.value ? { ...rest, dataset: number ? `${name.input.value}@${number}` : name.input.value } : rest);
  };
  name.input.addEventListener("change", put);
  pinned.input.addEventListener("change", put);
  return [name, pinned];
}

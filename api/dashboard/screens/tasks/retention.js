// Which saved models and checkpoints of a training stay: a rule in words, tried before it is saved.

import { whyNot } from "../../app/access.js";
import { api } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { t, translate } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { askSure } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { textInput } from "../../ui/fields.js";
import { bytes } from "../../ui/format.js";
import { panel } from "../../ui/panel.js";
import { attempt, toast } from "../../ui/toast.js";

const TRY_MS = 400;
const MB = 2 ** 20;

/** @typedef {"keep_last"|"keep_every"|"keep_rated"} Key */

/** The inputs, in the order of the sentence. @type {readonly [key: Key, max: number][]} */
const NUMBERS = [
  ["keep_last", 10_000],
  ["keep_every", 1_000_000],
  ["keep_rated", 5],
];

/** @param {string} taskId @param {() => unknown} refetch loads checkpoints and files again */
export function retentionView(taskId, refetch) {
  const inputs = new Map(
    NUMBERS.map(([key, max]) => [
      key,
      textInput({ id: `retention-${key}`, name: key, type: "number", min: 1, max, step: 1, placeholder: "–" }),
    ]),
  );
  const source = h("p.soft.small");
  const tried = h("div", { role: "status" });
  const buttons = h("div.buttons");
  const form = h(
    "form.retention",
    NUMBERS.map(([key]) =>
      h("label.pair", { for: `retention-${key}` }, h("span", t(`retention.${key}`)), inputs.get(key)),
    ),
    h("p.soft.small", t("retention.always")),
    tried,
    buttons,
  );
  const element = panel("", t("retention"), null, h("div.body", source, form));
  /** @type {string|null} */
  let denied = null;
  let isLoaded = false;
  /** Number of changes by the user since the rule was loaded. */
  let typed = 0;

  /** The numbers of the form, or null while one of them is invalid. */
  function rule() {
    if (!form.checkValidity()) return null;
    return Object.fromEntries(NUMBERS.map(([key]) => [key, inputs.get(key)?.valueAsNumber || null]));
  }

  async function show() {
    const wanted = rule();
    if (!wanted) return;
    const isOff = Object.values(wanted).every((value) => value === null);
    const own = typed;
    const found = isOff ? null : await api.previewRetention(taskId, wanted);
    if (own !== typed) return;
    const size = bytes((found?.freed_mb ?? 0) * MB);
    const goes = found?.delete.length ?? 0;
    fill(tried, h("p", goes ? t("retention.goes", { n: goes, size }) : t("retention.all")), found && itemTable(found));
    const save = async () => {
      const question = { title: t("retention.sure", { n: goes }), text: t("retention.sure.text", { size }) };
      if (goes && !(await askSure({ ...question, action: label }))) return;
      const done = await api.setRetention(taskId, wanted);
      toast("ok", t("retention.saved", { n: done.deleted.length, size: bytes(done.freed_mb * MB) }));
      isLoaded = false;
      typed = 0;
      refetch();
    };
    const label = goes ? t("retention.save.delete", { n: goes, size }) : t("retention.save");
    fill(buttons, actionButton(goes ? "danger" : "primary", denied, save, label));
  }

  const later = soon(() => attempt(show), TRY_MS);
  form.addEventListener("input", () => {
    // The button would save the rule before this change.
    typed += 1;
    fill(buttons);
    later();
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  return {
    element,
    /** @param {API.Task} task */
    async update(task) {
      denied = whyNot("training:write", task.owner);
      // What is being typed stays.
      if (isLoaded || task.kind !== "training") return;
      isLoaded = true;
      const found = await api.retention(taskId);
      for (const [key] of NUMBERS) {
        const input = inputs.get(key);
        // What was typed meanwhile stays.
        if (input && typed === 0) input.value = String(found[key] ?? "");
      }
      fill(source, t(`retention.source.${found.source}`, { n: found.keep_last_checkpoints ?? 0 }));
      await show();
    },
  };
}

/** @param {API.RetentionPreview} found */
function itemTable({ keep, delete: goes }) {
  const row = (/** @type {API.RetainedItem} */ each, /** @type {boolean} */ stays) =>
    h(
      "li",
      h("span.mono", each.name),
      " ",
      h("span.soft", bytes(each.size_bytes)),
      " ",
      h("span", { class: stays ? "ok" : "bad" }, t(stays ? "retention.stays" : "retention.deleted")),
      " ",
      h("span.soft.small", translate(each.reason, each.reason_code)),
    );
  return h("ul.plain.retained", [...goes.map((each) => row(each, false)), ...keep.map((each) => row(each, true))]);
}

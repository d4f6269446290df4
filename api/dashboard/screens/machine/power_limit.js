// Limits the power of a GPU, always or at some hours.

import { whyNot } from "../../app/access.js";
import { power } from "../../app/api_power.js";
import { t, translate } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { askFields } from "../../ui/form_dialog.js";
import { unit } from "../../ui/format.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { prose } from "../../ui/prose.js";
import { note } from "../../ui/status.js";
import { attempt } from "../../ui/toast.js";

const TIME = "([01][0-9]|2[0-3]):[0-5][0-9]";
const DAYS = /** @type {API.Day[]} */ (["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);

export function powerLimit() {
  const button = h("button.button", { type: "button", on: { click: () => attempt(ask) } }, t("power.limit"));
  const problem = h("div");
  /** @type {API.GPU|null} */
  let gpu = null;

  async function ask() {
    if (!gpu) return;
    const id = gpuReference(gpu);
    const known = await power.limit(id);
    const range = { least: unit(known.min_watts, "W"), most: unit(known.max_watts, "W") };
    const [window] = known.windows;
    await askFields(
      t("power.title", { gpu: gpuName(gpu.gpu_id) }),
      [
        {
          name: "watts",
          label: t("power.watts"),
          value: known.watts === null ? "" : String(known.watts),
          hint: t("power.range", range),
          type: "number",
        },
        { name: "begins", label: t("power.from"), value: window?.begins ?? "", pattern: TIME, placeholder: "22:00" },
        {
          name: "ends",
          label: t("power.to"),
          value: window?.ends ?? "",
          pattern: TIME,
          placeholder: "07:00",
          hint: t("power.hours"),
        },
      ],
      t("save"),
      async ({ watts, begins, ends }) => show(await store(id, known, watts, begins, ends)),
      t("power.text"),
    );
  }

  /** @param {string|number|null} id @param {API.PowerLimit} known @param {string} watts @param {string} begins @param {string} ends */
  function store(id, known, watts, begins, ends) {
    if (watts === "") return power.removeLimit(id);
    const days = known.windows[0]?.days ?? DAYS;
    const windows = begins || ends ? [{ days, begins, ends }] : [];
    // Several windows come from a program: the dialog keeps all but the first.
    if (windows.length) windows.push(...known.windows.slice(1));
    const zone = known.windows.length ? known.time_zone : Intl.DateTimeFormat().resolvedOptions().timeZone;
    return power.setLimit(id, { watts: Number(watts), windows, time_zone: zone });
  }

  /** @param {API.PowerLimit} limit */
  function show(limit) {
    const why = limit.problem && prose(translate(limit.problem, limit.problem_code));
    fill(problem, why && note("bad", h("p.foreign", why)));
  }

  return {
    button,
    problem,
    /** @param {API.GPU} now */
    update(now) {
      gpu = now;
      const why = whyNot("system:write");
      button.disabled = why !== null;
      button.title = why ?? "";
    },
    /** @param {string} id */
    refetch: async (id) => show(await power.limit(id)),
  };
}

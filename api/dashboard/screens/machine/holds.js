// Holds on the queue and on GPUs, and orphaned processes, each with the action that ends it. Hidden while there is none.
// A button creates holds.

import { has, whyNot } from "../../app/access.js";
import { request } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { actionButton, guarded, setDenied } from "../../ui/buttons.js";
import { askWhich } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { askFields } from "../../ui/form_dialog.js";
import { gpuName, gpuNames } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { panel } from "../../ui/panel.js";
import { time } from "../../ui/time.js";
import { toast } from "../../ui/toast.js";

const AGAIN_MS = 10_000;

export function holdsPanel() {
  const rows = h("ul.holds");
  const element = panel("", t("holds"), null, h("div.body", rows));
  element.hidden = true;
  const ticking = setInterval(() => document.hidden || refetch().catch(() => {}), AGAIN_MS);
  let drawn = "";
  /** Whether the names of GPUs are known. */
  let isNamed = false;
  const unwatch = machine.watch((snapshot) => {
    if (isNamed || !snapshot) return;
    isNamed = true;
    if (drawn) refetch().catch(() => {});
  });

  async function refetch() {
    /** @type {[{holds: API.Hold[]}, {strays: API.Orphan[]}]} */
    const [{ holds: all }, { strays }] = await Promise.all([
      request("/system/holds"),
      has("system:read") ? request("/system/strays") : { strays: [] },
    ]);
    // A paused GPU shows its pause itself.
    const holds = all.filter(({ kind }) => kind !== "pause");
    const why = whyNot("system:write");
    setDenied(create, why);
    const key = JSON.stringify([holds, strays, why, isNamed]);
    if (key === drawn) return;
    drawn = key;
    element.hidden = !holds.length && !strays.length;
    fill(
      rows,
      holds.map((hold) =>
        row(
          holdText(hold),
          actionButton("small", why, () => end(hold), t("hold.end")),
        ),
      ),
      strays.map((orphan) =>
        row(
          orphanText(orphan),
          actionButton("small danger", why, () => stop(orphan), t("stop")),
        ),
      ),
    );
  }

  const create = h("button.button.small", {
    type: "button",
    on: { click: () => guarded(whyNot("system:write"), ask)() },
  });
  fill(create, icon("pause"), t("hold.create"));

  async function ask() {
    const gpus = machine.value?.gpus ?? [];
    const isDone = await askFields(
      t("hold.create.title"),
      [
        {
          name: "what",
          label: t("hold.what"),
          value: "",
          options: [["", t("hold.what.queue")], ...gpus.map(optionOf)],
        },
        { name: "reason", label: t("hold.reason"), value: "", required: true, hint: t("hold.reason.hint") },
      ],
      t("hold.create.do"),
      ({ what, reason }) =>
        request("/system/holds", { method: "POST", body: { ...(what && { gpu_id: what }), reason } }),
      t("hold.create.text"),
    );
    if (!isDone) return;
    toast("ok", t("hold.created"));
    await refetch();
  }

  /** @param {API.Hold} hold */
  async function end({ hold_id: id }) {
    await request(`/system/holds/${encodeURIComponent(id)}`, { method: "DELETE" });
    toast("ok", t("hold.ended"));
    await refetch();
  }

  /** @param {API.Orphan} orphan */
  async function stop({ attempt }) {
    const choice = await askWhich({
      title: t("stray.stop.title"),
      text: [h("p.foreign", attempt), h("p", t("stray.stop.text"))],
      choices: [
        { label: t("force.do"), value: "force", kind: "danger" },
        { label: t("stop.save"), value: "soft", kind: "primary" },
      ],
    });
    if (!choice) return;
    const body = { force: choice === "force" };
    await request(`/system/strays/${encodeURIComponent(attempt)}/stop`, { method: "POST", body });
    toast("ok", t("stop.started"));
  }

  return {
    element,
    create,
    refetch,
    close() {
      clearInterval(ticking);
      unwatch();
    },
  };
}

/** @param {API.GPU} gpu @returns {[value: string, label: string]} */
const optionOf = (gpu) => [gpu.uuid ?? String(gpu.gpu_id), `${gpuName(gpu.gpu_id)} · ${gpu.name ?? t("gpu.nameless")}`];

/** @param {Child} said @param {HTMLElement} button */
const row = (said, button) => h("li", h("div.grow", said), button);

/** @param {API.Hold} hold @returns {Child} */
function holdText({ kind, gpu_uuid: uuid, reason, made_by: by, created_at: at }) {
  const gpu = machine.value?.gpus.find((each) => each.uuid === uuid);
  const what = kind === "queue" ? t("hold.queue") : t("hold.gpu", { gpu: gpu ? gpuName(gpu.gpu_id) : (uuid ?? "") });
  return [
    h("strong", what),
    h("p.foreign", reason),
    h("p.faint.small", t("hold.by"), " ", h("span.foreign", by), " · ", time(at)),
  ];
}

/** @param {API.Orphan} orphan @returns {Child} */
const orphanText = ({ attempt, gpu_ids: gpus, pids }) => [
  h("strong", t("stray"), " ", h("span.mono.foreign", attempt)),
  h("p", t("stray.text")),
  h("p.faint.small", gpuNames(gpus), " · ", t("stray.pids", { pids: pids.join(", ") || "–" })),
];

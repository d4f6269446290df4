// The trainer's environment: what the last check found, and the command that fixes each problem.

import { has } from "../../app/access.js";
import { api } from "../../app/api.js";
import { t, translate } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { UNKNOWN } from "../../ui/format.js";
import { prose } from "../../ui/prose.js";
import { note } from "../../ui/status.js";
import { time } from "../../ui/time.js";
import { attempt } from "../../ui/toast.js";

/** The panel; hidden from users who may not see the system. */
export function trainerPanel() {
  const body = h("div.stack");
  const button = h("button.button.small", { on: { click: () => attempt(check) } }, t("environment.check"));
  const element = h(
    "section.panel.nodes-list",
    { hidden: true, "aria-label": t("environment") },
    h("header", h("h2", t("environment")), has("system:write") && button),
    body,
  );
  let shown = "";

  /** @param {API.Installation} found */
  function show(found) {
    element.hidden = false;
    button.disabled = found.is_checking;
    const now = JSON.stringify(found);
    // Not replaced without a change, so that a selected command stays selected.
    if (now !== shown) fill(body, facts(found), found.problems.map(problemNote), nothingFound(found));
    shown = now;
  }

  async function check() {
    show(await api.checkTrainer());
  }

  return {
    element,
    async refetch() {
      if (has("system:read")) show(await api.trainer());
    },
  };
}

/** @param {API.Installation} found */
function facts(found) {
  const { commit, python, torch, cuda, deepspeed, flash_attention: flash } = found;
  const state = found.is_checking
    ? t("environment.checking")
    : found.checked_at
      ? [t("environment.checked"), " ", time(found.checked_at)]
      : t("environment.unchecked");
  const versions = [
    ["commit", commit?.slice(0, 7)],
    ["Python", python],
    ["PyTorch", torch],
    ["CUDA", cuda],
    ["DeepSpeed", deepspeed],
    ["flash-attn", flash],
  ];
  return [
    h("p.soft.small", { "aria-live": "polite" }, state),
    h("p.foreign", versions.map(([name, value]) => `${name} ${value ?? UNKNOWN}`).join(" · ")),
  ];
}

/** @param {API.Installation["problems"][number]} problem */
function problemNote({ code, severity, message, command, model_types: types }) {
  return note(
    severity === "error" ? "bad" : "warn",
    h("p", prose(translate(message, { code, params: {} }))),
    command && h("pre.file", h("code", command)),
    types && h("p.soft.small", t("environment.types", { types: types.join(", ") })),
  );
}

/** @param {API.Installation} found */
const nothingFound = ({ ready, problems }) =>
  ready && !problems.length ? note("ok", h("p", t("environment.good"))) : null;

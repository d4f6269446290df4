// Downloads as they go on, and what can be done with each.

import { whyNot } from "../../access.js";
import { models } from "../../api_models.js";
import { meter } from "../../components/meter.js";
import { note } from "../../components/status.js";
import { attempt, toast } from "../../components/toast.js";
import { waitingWords } from "../../components/waiting.js";
import { fill, h, reconcile, setAttribute, setText } from "../../dom.js";
import { bytes, duration, percent } from "../../format.js";
import { t, tell, word } from "../../i18n.js";
import { icon } from "../../icons.js";
import { Store } from "../../store.js";

const LIST = 30;
/** How often they are asked for while one goes on. */
const LOOK_MS = 1500;

/** @type {Record<API.Download["status"], [string, import("../../icons.js").IconName]>} */
const LOOKS = {
  queued: ["idle", "clock"],
  downloading: ["run", "down"],
  verifying: ["run", "spin"],
  paused: ["warn", "pause"],
  completed: ["ok", "check"],
  failed: ["bad", "cross"],
  cancelled: ["idle", "stop"],
};
/** @type {Partial<Record<API.Download["status"], string>>} */
const LEVELS = { completed: "ok", failed: "bad", cancelled: "idle", paused: "warn" };

/** @param {API.Download} download */
export const isActive = ({ status }) => status === "queued" || status === "downloading" || status === "verifying";
/** @param {API.Download} download */
const isOver = ({ status }) => status === "completed" || status === "cancelled";

/**
 * Those that one may see, newest first; asked for again and again while one goes on.
 * @param {() => unknown} finished called when one has ended
 */
export function watchDownloads(finished) {
  const shown = new Store(/** @type {API.Download[]} */ ([]));
  let timer = 0;
  let isClosed = false;
  /** @type {Set<string>} */
  let active = new Set();

  async function refetch() {
    clearTimeout(timer);
    const { downloads } = await models.downloads({ limit: LIST });
    if (isClosed) return;
    shown.set(downloads);
    const now = new Set(downloads.filter(isActive).map(({ download_id: id }) => id));
    if ([...active].some((id) => !now.has(id))) finished();
    active = now;
    if (active.size) timer = setTimeout(again, LOOK_MS);
  }
  // A service that is away is asked again.
  const again = () => {
    refetch().catch(() => {
      if (!isClosed) timer = setTimeout(again, LOOK_MS);
    });
  };
  return {
    shown,
    refetch,
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** @typedef {ReturnType<typeof watchDownloads>} Downloads */

/**
 * @param {Downloads} downloads
 * @param {(download: API.Download) => boolean} [isShown]
 */
export function downloadList(downloads, isShown = () => true) {
  /** @type {Map<string, ReturnType<typeof downloadRow>>} */
  const parts = new Map();
  const element = h("ul", { class: "download-list" });
  const draw = (/** @type {API.Download[]} */ all) =>
    reconcile(
      element,
      parts,
      all.filter(isShown),
      ({ download_id: id }) => id,
      () => downloadRow(downloads.refetch),
    );
  return { element, close: downloads.shown.watch(draw), draw: () => draw(downloads.shown.value) };
}

/** @param {() => Promise<void>} refetch */
function downloadRow(refetch) {
  const [name, status, told] = [h("strong", { class: "foreign" }), h("span"), h("span", { class: "small soft" })];
  const chip = h("span", { class: "status chip" });
  const bar = meter(t("progress"));
  const share = h("b", { class: "small num" });
  const [buttons, problem, files] = [h("div", { class: "choices" }), h("div"), h("ul", { class: "download-files" })];
  const details = h("details", {}, h("summary", { class: "small soft" }, t("download.files")), files);
  /** @type {API.Download|null} */
  let download = null;
  let actions = "";

  /** @param {"pause"|"resume"|"cancel"} what @param {import("../../icons.js").IconName} sign */
  function button(what, sign) {
    const label = t(`download.${what}`);
    const denied = whyNot("models:write", download?.owner);
    const run = async () => {
      if (denied || !download) return toast("bad", denied ?? "");
      await models.change(download.download_id, what);
      await refetch();
    };
    return h(
      "button",
      {
        class: "icon-button small",
        type: "button",
        "aria-label": label,
        title: denied ?? label,
        "aria-disabled": denied ? "true" : null,
        on: { click: () => attempt(run) },
      },
      icon(sign),
    );
  }

  /** @param {API.Download} now */
  function showButtons(now) {
    const wanted = isOver(now) ? "" : isActive(now) ? "pause cancel" : "resume cancel";
    if (wanted === actions) return;
    actions = wanted;
    const goesOn = wanted.startsWith("pause") ? button("pause", "pause") : button("resume", "resume");
    fill(buttons, wanted && [goesOn, now.status !== "failed" && button("cancel", "close")]);
  }

  return {
    element: h(
      "li",
      { class: "download-row" },
      h("div", { class: "download-head" }, chip, h("div", { class: "grow" }, name, " ", told), share, buttons),
      bar.element,
      status,
      problem,
      details,
    ),
    /** @param {API.Download} now */
    update(now) {
      const isNew = download?.status !== now.status;
      download = now;
      setText(name, nameOf(now));
      setText(share, percent(now.progress));
      bar.update(now.progress ?? (isOver(now) ? 100 : null), LEVELS[now.status]);
      bar.element.hidden = now.status === "completed" || now.status === "cancelled";
      setText(told, progressWords(now));
      if (isNew) {
        const [tone, sign] = LOOKS[now.status];
        setAttribute(chip, "data-tone", tone);
        fill(chip, icon(sign, sign === "spin" ? "spin" : ""), word("download", now.status));
        fill(
          problem,
          now.failure &&
            note(
              "bad",
              h("p", { class: "foreign" }, tell(now.failure.detail, now.failure.detail_code)),
              h("p", { class: "what-to-do" }, tell(now.failure.remedy, now.failure.remedy_code)),
            ),
        );
      }
      fill(
        status,
        now.waiting_reason && h("p", { class: "small soft" }, waitingWords(now.waiting_reason, null)),
        now.warnings.map((text) => h("p", { class: "small warn foreign" }, text)),
      );
      showButtons(now);
      fill(files, now.components.map(fileRow));
      details.hidden = !now.components.length;
    },
  };
}

/** @param {API.Download["components"][number]} file */
const fileRow = ({ name, size, downloaded, path, status }) =>
  h(
    "li",
    { class: "small" },
    h("span", { class: "mono tiny foreign grow", title: path }, name),
    h(
      "span",
      { class: "soft num nowrap" },
      status === "completed" || path ? bytes(size) : `${bytes(downloaded)} / ${bytes(size)}`,
    ),
  );

/** @param {API.Download} download */
const nameOf = ({ name, model_id: model, version, download_id: id }) =>
  name ?? (model ? [model, version].filter(Boolean).join(" · ") : id);

/** 3.2 / 23.8 GB, 85 MB/s, 4 min left @param {API.Download} download */
function progressWords(download) {
  const { bytes_done: done, bytes_total: total, bytes_per_second: speed, eta_seconds: left } = download;
  if (isOver(download)) return bytes(total);
  return [
    total === null ? "" : t("download.done", { done: bytes(done), total: bytes(total) }),
    isActive(download) && speed ? t("download.speed", { speed: bytes(speed) }) : "",
    isActive(download) && left ? t("left", { time: duration(left) }) : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

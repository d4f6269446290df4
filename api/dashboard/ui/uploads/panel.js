// The upload panel of a target: progress, errors and actions.

import { t } from "../../app/i18n.js";
import { fill, h, setText } from "../dom.js";
import { bytes, count, duration } from "../format.js";
import { icon } from "../icons.js";
import { meter } from "../meter.js";
import { note } from "../status.js";
import { attempt } from "../toast.js";
import { clear, goOn, pause, retry, uploads } from "./uploads.js";

const SHOWN_PROBLEMS = 50;
/** Seconds over which the rate is measured. */
const RATE_SECONDS = 5;

/** @param {import("./uploads.js").Places} isMeant */
export function uploadsPanel(isMeant) {
  const summary = h("p.grow.small");
  const bar = meter(t("upload.progress"));
  const problems = h("div");
  const hold = h("button.button.small", { on: { click: () => (uploads.value.isPaused ? goOn() : pause()) } });
  const again = h("button.button.small", { on: { click: () => retry(isMeant) } }, icon("redo"), t("upload.retry"));
  const end = h("button.button.small", { on: { click: () => void attempt(() => clear(isMeant)) } });
  const element = h(
    "section.panel.uploads-panel",
    { "aria-label": t("uploads"), hidden: true },
    h("div.uploads-line", summary, hold, again, end),
    bar.element,
    problems,
  );
  /** Bytes sent by time. @type {[seconds: number, sent: number][]} */
  let past = [];
  let announced = "";

  /** The current rate in bytes per second; null: unknown. @param {number} sent */
  function rateAt(sent) {
    const now = performance.now() / 1000;
    past = [...past.filter(([time]) => now - time < RATE_SECONDS), [now, sent]];
    const [time, before] = past[0];
    return now - time < 1 ? null : (sent - before) / (now - time);
  }

  const forget = uploads.watch(({ jobs: all, isPaused }) => {
    const jobs = all.filter((job) => isMeant(job.place));
    element.hidden = jobs.length === 0;
    if (!jobs.length) {
      past = [];
      return;
    }
    const size = sum(jobs, ({ file }) => file.size);
    const sent = sum(jobs, (job) => (job.state === "sent" || job.state === "done" ? job.file.size : job.sent));
    const counted = (/** @type {import("./uploads.js").State} */ state) =>
      jobs.filter((job) => job.state === state).length;
    const leftOut = jobs.flatMap(({ result }) => result?.left_out_examples ?? []);
    const [failed, ended, processing] = [counted("failed"), counted("done"), counted("sent")];
    const done = ended - jobs.filter(({ result }) => result?.left_out && !(result.added + result.changed)).length;
    const isSending = counted("sending") + counted("waiting") > 0;
    const isOver = !isSending && !processing;
    const rate = isSending && !isPaused ? rateAt(sent) : null;
    const figures = { done: count(done), total: count(jobs.length), sent: bytes(sent), size: bytes(size) };
    const parts = [
      isOver ? t("upload.over", figures) : t("upload.under_way", figures),
      isPaused && isSending && t("upload.paused"),
      rate && t("upload.rate", { rate: bytes(rate), time: duration((size - sent) / rate) }),
      leftOut.length > 0 &&
        t("upload.skipped", {
          n: count(sum(jobs, ({ result }) => result?.left_out ?? 0)),
          names: leftOut.slice(0, 3).join(", "),
        }),
      !isSending && processing > 0 && t("upload.processing", { n: count(processing) }),
    ];
    setText(summary, parts.filter(Boolean).join(" · "));
    bar.update(size ? (100 * sent) / size : 100, failed ? "bad" : isOver ? "ok" : isPaused ? "idle" : null);
    hold.hidden = !isSending;
    fill(hold, icon(isPaused ? "play" : "pause"), t(isPaused ? "upload.resume" : "upload.pause"));
    again.hidden = !failed;
    fill(end, icon("close"), t(isOver ? "upload.dismiss" : "cancel"));
    showProblems(jobs.filter((job) => job.state === "failed"));
  });

  /** @param {import("./uploads.js").Job[]} failed */
  function showProblems(failed) {
    const key = failed.map(({ path, problem }) => path + problem).join();
    if (key === announced) return;
    announced = key;
    fill(
      problems,
      failed.length > 0 &&
        note(
          "bad",
          h("strong", t("upload.failed", { n: count(failed.length) })),
          h(
            "ul",
            failed.slice(0, SHOWN_PROBLEMS).map(({ path, problem }) => h("li.foreign", `${path}: ${problem}`)),
            failed.length > SHOWN_PROBLEMS && h("li", t("more", { n: count(failed.length - SHOWN_PROBLEMS) })),
          ),
        ),
    );
  }

  return { element, close: forget };
}

/** @template T @param {readonly T[]} all @param {(each: T) => number} of */
const sum = (all, of) => all.reduce((total, each) => total + of(each), 0);

// The page: its bar, its banners, and the screen that the address names.

import { api } from "./api.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { Keys } from "./keys.js";
import { ageOf, machine, take } from "./machine.js";
import { go, place } from "./router.js";
import { banners } from "./shell/banners.js";
import { bar } from "./shell/bar.js";
import { openHelp } from "./shell/help.js";
import { Stream } from "./stream.js";
import { openGPU } from "./views/machine/gpu.js";
import { openMachine } from "./views/machine/view.js";
import { openStart } from "./views/start/view.js";
import { openTask } from "./views/task/view.js";
import { openTasks } from "./views/tasks/view.js";

const SCREENS = { machine: openMachine, gpu: openGPU, tasks: openTasks, task: openTask, start: openStart };
const PRODUCT = "Diffusion-Pipe";

// Readings come every 5 s: after three that did not come, what is shown is old.
const OLD_SECONDS = 15;

/**
 * What a screen gives.
 * @typedef {object} Screen
 * @property {HTMLElement} element
 * @property {() => string} title
 * @property {() => string} [path] of its stream; the common one when it has none
 * @property {string} [topics] of the common stream
 * @property {Record<string, (data: any, message: any) => void>} on what it does with messages, by type
 * @property {() => Promise<void>} refetch
 * @property {Record<string, (event: KeyboardEvent) => void>} [keys]
 * @property {() => void} close
 */

export class App {
  constructor(root) {
    this.stream = new Stream();
    this.keys = new Keys();
    this.main = h("main", { id: "main" });
    this.bar = bar(this);
    this.banners = banners(this);
    /** @type {Screen|null} */
    this.screen = null;
    fill(
      root,
      h("a", { class: "skip", href: "#main", on: { click: (event) => this.#skip(event) } }, t("skip")),
      this.bar.element,
      this.banners.element,
      this.main,
    );
    this.keys.bind({
      "?": () => openHelp(),
      "g m": () => go("/"),
      "g t": () => go("/tasks"),
      "g n": () => go("/start"),
      "/": () => document.querySelector("[data-search]")?.focus(),
    });
    addEventListener("hashchange", () => this.#show());
    this.#show();
  }

  /** Whether the readings that are shown are old, because nothing new comes. */
  isStale() {
    const snapshot = machine.value;
    return Boolean(snapshot) && (snapshot.stale || ageOf(snapshot.timestamp) > OLD_SECONDS);
  }

  /** Tells the tab's title again. */
  retitle() {
    document.title = `${this.screen.title()} · ${PRODUCT}`;
  }

  /** Fetches everything anew and connects again: after something was done. */
  reload() {
    this.stream.watch(this.#watching(this.screen));
  }

  #show() {
    this.screen?.close();
    const here = place();
    const screen = SCREENS[here.name](this, here);
    this.screen = screen;
    fill(this.main, screen.element);
    this.keys.bindScreen(screen.keys);
    this.bar.mark(here.name);
    this.retitle();
    scrollTo(0, 0);
    this.stream.watch(this.#watching(screen));
  }

  #watching(screen) {
    const common = {
      snapshot: (data, message) => take(data, message.timestamp),
      // The service does not know what we heard last: everything may have changed.
      reset: () => this.#refetch(screen),
    };
    const on = { ...common, ...screen.on };
    return {
      path: screen.path ?? (() => `/events/stream?topics=${screen.topics}`),
      on,
      refetch: () => this.#refetch(screen),
    };
  }

  async #refetch(screen) {
    const [snapshot, rest] = await Promise.allSettled([api.gpus(), screen.refetch()]);
    if (screen !== this.screen) return;
    if (snapshot.status === "fulfilled") take(snapshot.value);
    for (const each of [snapshot, rest]) if (each.status === "rejected") throw each.reason;
  }

  #skip(event) {
    event.preventDefault();
    this.main.tabIndex = -1;
    this.main.focus();
  }
}

new App(document.getElementById("app"));

// The page: its bar, its banners, and the screen that the address names.

import { hearOfAlert, maySee, refetchFiring } from "../screens/alerts/state.js";
import { fill, h, setAttribute } from "../ui/dom.js";
import { toast, toastError } from "../ui/toast.js";
import { access, learnAccess, signIn } from "./access.js";
import { api, lives, Refused, SIGNED_OUT } from "./api.js";
import { t } from "./i18n.js";
import { Keys } from "./keys.js";
import { ageOfReadings, machine, take } from "./machine.js";
import { forgetReload, reloadOnce } from "./reload.js";
import { go, place } from "./router.js";
import { recall } from "./settings.js";
import { banners } from "./shell/banners.js";
import { bar } from "./shell/bar.js";
import { openHelp } from "./shell/help.js";
import { printInLight } from "./shell/print.js";
import { learnAlertStyle, learnStyle } from "./shell/style.js";
import { connection, Stream } from "./stream.js";

// Each is loaded when it is shown first.
const SCREENS = {
  machine: () => import("../screens/machine/view.js"),
  gpu: () => import("../screens/machine/gpu.js"),
  tasks: () => import("../screens/tasks/view.js"),
  task: () => withLog(import("../screens/tasks/task.js")),
  data: () => withData(import("../screens/datasets/view.js")),
  dataset: () => withData(import("../screens/datasets/dataset.js")),
  models: () => withModels(import("../screens/models/view.js")),
  registry: () => withModels(import("../screens/registry/view.js")),
  registered: () => withModels(import("../screens/registry/registered.js")),
  start: () => withModels(import("../screens/start/view.js")),
  alerts: () => withAlerts(import("../screens/alerts/view.js")),
  access: () => import("../screens/access/view.js"),
  nodes: () => import("../screens/nodes/view.js"),
  "sign-in": () => import("../screens/sign_in/view.js"),
};

/** With the styles of logs. @template Module @param {Promise<Module>} module @returns {Promise<Module>} */
const withLog = async (module) => (await Promise.all([module, learnStyle("log")]))[0];

/** With the styles of datasets. @template Module @param {Promise<Module>} module @returns {Promise<Module>} */
const withData = async (module) => (await Promise.all([module, learnStyle("data")]))[0];

/** With those of models, too. @template Module @param {Promise<Module>} module @returns {Promise<Module>} */
const withModels = async (module) => (await Promise.all([withData(module), learnStyle("models")]))[0];

/** With those of alerts. @template Module @param {Promise<Module>} module @returns {Promise<Module>} */
const withAlerts = async (module) => (await Promise.all([module, learnAlertStyle()]))[0];

const PRODUCT = "Diffusion-Pipe";

// Readings come every 5 s: after three that did not come, what is shown is old.
const OLD_SECONDS = 15;

/** So long a screen waits to know whether one has to sign in first. */
const ACCESS_MS = 500;

/** States of a connection to a service that answers. */
const ANSWERS = ["live", "polling"];

/** @typedef {import("./router.js").Place} Place */

/**
 * What a screen gives.
 * @typedef {object} Screen
 * @property {HTMLElement} element
 * @property {() => string} title
 * @property {() => string} [path] of its stream; the common one when it has none
 * @property {string} [topics] of the common stream
 * @property {API.Listeners} on what it does with messages, by type
 * @property {() => Promise<void>} refetch
 * @property {import("./keys.js").Bindings} [keys]
 * @property {boolean} [isQuiet] nothing is asked for it and nothing heard
 * @property {() => void} [shown] called when it is there
 * @property {() => void} close
 */

/** What of a screen is watched. @typedef {Pick<Screen, "path"|"topics"|"on"|"refetch">} Watched */

/** Before the first is there. @type {Watched} */
const NO_SCREEN = { topics: "gpu,system", on: {}, refetch: async () => {} };

export class App {
  /** Where the address leads: while that screen loads, another is still shown. @type {Place} */
  #wanted = place();
  /** How often in a row the wanted screen could not be loaded. */
  #failures = 0;
  /** Whether the service has said that it does not know who asks. */
  #isOut = false;
  /** The screen of which parts may not be seen, which was told. @type {Watched|null} */
  #toldOf = null;
  /** What the service said then; null: one has signed out. @type {unknown} */
  signedOutBy = null;

  /** @param {Element} root */
  constructor(root) {
    this.stream = new Stream();
    this.keys = new Keys();
    this.main = h("main", { id: "main", tabindex: -1 });
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
      "g d": () => go("/data"),
      "g o": () => go("/models"),
      "g n": () => go("/start"),
      "g l": () => go("/alerts"),
      b: () => this.bar.openBell(),
      "g a": () => go("/access"),
      "/": () => /** @type {HTMLElement|null} */ (document.querySelector("[data-search]"))?.focus(),
    });
    addEventListener("hashchange", () => this.#show());
    addEventListener(SIGNED_OUT, (event) => this.signedOut(/** @type {CustomEvent} */ (event).detail));
    connection.watch(({ state }) => {
      if (!ANSWERS.includes(state)) return;
      if (this.#failures) this.#show();
      if (!access.value) learnAccess().catch(() => {});
    });
    this.#begin();
  }

  async #begin() {
    // What is wanted comes meanwhile, and a service that does not answer at once keeps nobody from seeing so.
    SCREENS[place().name]().catch(() => {});
    const late = new Promise((resolve) => setTimeout(resolve, ACCESS_MS));
    await Promise.race([learnAccess().catch(() => {}), late]);
    if (!this.#isOut) this.#show();
  }

  /** Somebody is there: what they wanted to see is shown. @param {API.WhoAmI} who */
  signedIn(who) {
    this.#isOut = false;
    this.signedOutBy = null;
    signIn(who);
    if (place().name === "sign-in") go("/");
    else this.#show();
  }

  /** Nobody is there any more: nothing of what was seen stays, and nothing is asked. @param {unknown} why */
  signedOut(why) {
    if (this.#isOut) return;
    this.#isOut = true;
    this.signedOutBy = why;
    this.stream.watch(null);
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    this.screen?.close();
    this.screen = null;
    fill(this.main);
    machine.set(null);
    signIn(null);
    refetchFiring();
    this.#show();
  }

  /** Whether all readings that are shown are old, because nothing new comes. A single old one is told on its GPU. */
  isStale() {
    const snapshot = machine.value;
    // A screen with a stream of its own shows none, and hears of none.
    if (!snapshot || this.screen?.path) return false;
    const read = snapshot.gpus.filter(({ status }) => status !== "lost");
    return (read.length > 0 && read.every(({ stale }) => stale)) || (ageOfReadings(snapshot) ?? 0) > OLD_SECONDS;
  }

  /** Tells the tab's title again. */
  retitle() {
    if (this.screen) document.title = `${this.screen.title()} · ${PRODUCT}`;
  }

  /** Fetches everything anew and connects again: after something was done. */
  reload() {
    this.stream.watch(this.#watching(this.screen ?? NO_SCREEN));
  }

  async #show() {
    const here = this.#here();
    this.#wanted = here;
    setAttribute(this.main, "aria-busy", "true");
    let open;
    try {
      ({ open } = await SCREENS[here.name]());
    } catch {
      if (here === this.#wanted) this.#waitForService();
      return;
    }
    if (here !== this.#wanted) return;
    this.#failures = 0;
    forgetReload();
    this.#enter(here, open(this, here));
  }

  /** Where the address leads: who is not signed in has to, and who is has not. @returns {Place} */
  #here() {
    const here = place();
    if (this.#isOut) return { ...here, name: "sign-in" };
    const isIn = here.name === "sign-in" && access.value && !here.query.has("problem");
    return isIn ? { ...here, name: "machine" } : here;
  }

  /** @param {Place} here @param {Screen} screen */
  #enter(here, screen) {
    const hadFocus = this.main.contains(document.activeElement);
    this.screen?.close();
    this.screen = screen;
    setAttribute(this.main, "aria-busy", null);
    fill(this.main, screen.element);
    // What led here is gone: the keyboard goes on at the beginning of the new screen.
    if (hadFocus) this.main.focus({ preventScroll: true });
    this.keys.bindScreen(screen.keys);
    this.bar.mark(here.name);
    document.body.classList.toggle("signed-out", here.name === "sign-in");
    this.retitle();
    scrollTo(0, 0);
    this.stream.watch(screen.isQuiet ? null : this.#watching(screen));
    screen.shown?.();
  }

  /**
   * A screen that could not be loaded: the present one stays, and the service is asked whether it lives. When it does,
   * the screen is tried again; what then cannot be had is of another version than this page.
   */
  async #waitForService() {
    this.#failures += 1;
    if (this.#failures > 1 && (await lives())) {
      this.#failures = 0;
      setAttribute(this.main, "aria-busy", null);
      return reloadOnce() || toast("bad", t("screen.missing"));
    }
    this.stream.watch(this.#watching(this.screen ?? NO_SCREEN));
  }

  /** @param {Watched} screen @returns {import("./stream.js").Watching} */
  #watching(screen) {
    /** @type {API.Listeners} */
    const common = {
      snapshot: (data, message) => take(data, message.timestamp),
      // The service does not know what we heard last: everything may have changed.
      reset: () => this.#refetch(screen),
      alert: hearOfAlert,
    };
    const on = { ...common, ...screen.on };
    return {
      path: screen.path ?? (() => `/events/stream?topics=${screen.topics}${maySee() ? ",alert" : ""}`),
      on,
      refetch: () => this.#refetch(screen),
    };
  }

  /** @param {Watched} screen */
  async #refetch(screen) {
    refetchFiring();
    const [snapshot, rest] = await Promise.allSettled([api.gpus(), screen.refetch()]);
    if (this.screen && screen !== this.screen) return;
    if (snapshot.status === "fulfilled") take(snapshot.value);
    for (const each of [snapshot, rest]) {
      if (each.status !== "rejected") continue;
      this.#tellDenied(screen, each.reason);
      throw each.reason;
    }
  }

  /** Why parts of a screen stay empty, once. @param {Watched} screen @param {unknown} why */
  #tellDenied(screen, why) {
    if (!(why instanceof Refused && why.status === 403) || this.#toldOf === screen) return;
    this.#toldOf = screen;
    toastError(why);
  }

  /** @param {Event} event */
  #skip(event) {
    event.preventDefault();
    this.main.focus();
  }
}

printInLight();
// Only who has notifications loads what shows them; another tab may switch them on.
const notify = () => recall("notify", "") === "on" && import("../screens/alerts/notify.js");
notify();
addEventListener("storage", ({ key }) => key === "notify" && notify());
new App(/** @type {HTMLElement} */ (document.getElementById("app")));

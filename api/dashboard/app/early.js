// Runs before everything else: applies the stored theme, so that colours do not flash, and requests what the screen of
// the address needs, so that a slow connection does not wait for one file after another.
(() => {
  /** The modules of screens, by the first part of their address; with a slash if a second part follows. @type {Record<string, string>} */
  const SCREENS = {
    "": "home/view",
    gpus: "machine/view",
    "gpu/": "machine/gpu",
    tasks: "tasks/view",
    "tasks/": "tasks/task",
    data: "datasets/view",
    "data/": "datasets/dataset",
    models: "models/view",
    registry: "registry/view",
    start: "start/view",
    alerts: "alerts/view",
    settings: "setup/view",
  };

  /** Modules of parts that are not named as in the address. @type {Record<string, string>} */
  const PARTS = { log: "log/panel" };

  /** @param {string} name */
  function stored(name) {
    try {
      return localStorage.getItem(name);
    } catch {
      // Without storage the browser's own settings apply.
      return null;
    }
  }

  /** @param {string} path @param {Record<string, string>} how */
  function request(path, how) {
    document.head.append(Object.assign(document.createElement("link"), { href: `${base}${path}`, ...how }));
  }

  const base = document.querySelector("meta[name=modules]")?.getAttribute("base") ?? "";
  const words = stored("language") ?? (navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en");
  request(`locales/${words}.json`, { rel: "preload", as: "fetch", crossOrigin: "anonymous" });
  /** @type {Record<string, string[]>} */
  const modules = JSON.parse(document.querySelector("meta[name=modules]")?.getAttribute("content") || "{}");
  const [first, second, third] = location.hash.slice(2).split(/[/?]/);
  const screen = SCREENS[second && !location.hash.includes("?") ? `${first}/` : first] ?? SCREENS[first];
  // A part of a screen may have a module of its own, by default named as in the address.
  for (const name of [screen, `${first}/${second}`, PARTS[third] ?? `${first}/${third}`])
    for (const path of modules[`screens/${name}.js`] ?? []) request(path, { rel: "modulepreload" });

  const chosen = stored("theme");
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  document.documentElement.dataset.theme = chosen === "light" || chosen === "dark" ? chosen : system;
})();

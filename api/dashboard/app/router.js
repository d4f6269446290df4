// Routes: the part of the address after #.

/**
 * `id` is empty for screens without one, `part` for the first part of a screen.
 * @typedef {{name: "home"|"gpus"|"nodes"|"events"|"gpu"|"tasks"|"task"|"compare"|"sweep"|"sweeps"|"logs"|"data"|"dataset"|"models"|"downloads"|"registry"|"registered"|"start"|"alerts"|"settings"|"sign-in"|"missing", id: string, part: string, query: URLSearchParams}} Place
 */

/** @type {[RegExp, Place["name"]][]} */
const ROUTES = [
  [/^\/?$/, "home"],
  [/^\/gpus$/, "gpus"],
  [/^\/gpus\/machines$/, "nodes"],
  [/^\/gpus\/events$/, "events"],
  [/^\/gpu\/([^/]+)$/, "gpu"],
  [/^\/trainings$/, "tasks"],
  [/^\/trainings\/compare$/, "compare"],
  [/^\/trainings\/logs$/, "logs"],
  [/^\/trainings\/([^/]+)(?:\/(samples|files|log|configuration))?$/, "task"],
  [/^\/sweeps$/, "sweeps"],
  [/^\/sweeps\/([^/]+)$/, "sweep"],
  [/^\/datasets$/, "data"],
  [/^\/datasets\/([^/]+)$/, "dataset"],
  [/^\/models$/, "models"],
  [/^\/models\/downloads$/, "downloads"],
  [/^\/registry$/, "registry"],
  [/^\/registry\/([^/]+)$/, "registered"],
  [/^\/new$/, "start"],
  [/^\/alerts$/, "alerts"],
  [/^\/settings(?:\/([a-z]+))?$/, "settings"],
  [/^\/sign-in$/, "sign-in"],
];

/** Addresses of earlier versions, and their replacements. @type {[RegExp, string][]} */
const MOVED = [
  [/^\/?\?(?=(?:.*&)?node=)/, "/gpus?"],
  [/^\/nodes(?=$|\?)/, "/gpus/machines"],
  [/^\/access(?=$|\?)/, "/settings/keys"],
  [/^\/tasks(?=$|[/?])/, "/trainings"],
  [/^\/data(?=$|[/?])/, "/datasets"],
  [/^\/start(?=$|\?)/, "/new"],
];

/** @returns {Place} */
export function place() {
  const written = location.hash.slice(1);
  const address = MOVED.reduce((found, [old, now]) => found.replace(old, now), written);
  if (address !== written) history.replaceState(history.state, "", `#${address}`);
  const [path, text] = address.split("?");
  const query = new URLSearchParams(text);
  for (const [pattern, name] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { name, id: decode(found[1] ?? ""), part: found[2] ?? "", query };
  }
  return { name: "missing", id: "", part: "", query };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string} address */
export const go = (address) => {
  location.hash = address;
};

/** @param {string} id @param {string} [part] */
export const taskAddress = (id, part) => `#/trainings/${encodeURIComponent(id)}${part ? `/${part}` : ""}`;
/** @param {string} id */
export const sweepAddress = (id) => `#/sweeps/${encodeURIComponent(id)}`;
/** @param {string} name */
export const datasetAddress = (name) => `#/datasets/${encodeURIComponent(name)}`;
/** @param {string} name */
export const registeredAddress = (name) => `#/registry/${encodeURIComponent(name)}`;
/** @param {number|string|null} id */
export const gpuAddress = (id) => `#/gpu/${encodeURIComponent(id ?? "")}`;

export const nodesAddress = "#/gpus/machines";
/** Address of the GPUs of one node. @param {string} name */
export const nodeAddress = (name) => `#/gpus?${new URLSearchParams({ node: name })}`;

/**
 * Stores a screen's settings in the address without leaving the screen.
 * @param {string} path @param {Record<string, string>} values
 */
export function storeQuery(path, values) {
  const known = Object.entries(values).filter(([, value]) => value);
  const text = known.length ? `?${new URLSearchParams(known)}` : "";
  history.replaceState(history.state, "", `#${path}${text}`);
}

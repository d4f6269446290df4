// Routes: the part of the address after #.

/**
 * `id` is empty for screens without one.
 * @typedef {{name: "machine"|"gpu"|"tasks"|"task"|"data"|"dataset"|"models"|"registry"|"registered"|"start"|"alerts"|"access"|"nodes"|"sign-in", id: string, query: URLSearchParams}} Place
 */

/** @type {[RegExp, Place["name"]][]} */
const ROUTES = [
  [/^\/?$/, "machine"],
  [/^\/gpu\/([^/]+)$/, "gpu"],
  [/^\/tasks$/, "tasks"],
  [/^\/tasks\/([^/]+)$/, "task"],
  [/^\/data$/, "data"],
  [/^\/data\/([^/]+)$/, "dataset"],
  [/^\/models$/, "models"],
  [/^\/registry$/, "registry"],
  [/^\/registry\/([^/]+)$/, "registered"],
  [/^\/start$/, "start"],
  [/^\/alerts$/, "alerts"],
  [/^\/access$/, "access"],
  [/^\/nodes$/, "nodes"],
  [/^\/sign-in$/, "sign-in"],
];

/** @returns {Place} */
export function place() {
  const [path, text] = location.hash.slice(1).split("?");
  for (const [pattern, name] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { name, id: decode(found[1] ?? ""), query: new URLSearchParams(text) };
  }
  return { name: "machine", id: "", query: new URLSearchParams() };
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

/** @param {string} id */
export const taskAddress = (id) => `#/tasks/${encodeURIComponent(id)}`;
/** @param {string} name */
export const datasetAddress = (name) => `#/data/${encodeURIComponent(name)}`;
/** @param {string} name */
export const registeredAddress = (name) => `#/registry/${encodeURIComponent(name)}`;
/** @param {number|string|null} id */
export const gpuAddress = (id) => `#/gpu/${encodeURIComponent(id ?? "")}`;

export const nodesAddress = "#/nodes";
/** Address of the machine screen with the GPUs of one node. @param {string} name */
export const nodeAddress = (name) => `#/?${new URLSearchParams({ node: name })}`;

/**
 * Stores a screen's settings in the address without leaving the screen.
 * @param {string} path @param {Record<string, string>} values
 */
export function storeQuery(path, values) {
  const known = Object.entries(values).filter(([, value]) => value);
  const text = known.length ? `?${new URLSearchParams(known)}` : "";
  history.replaceState(null, "", `#${path}${text}`);
}

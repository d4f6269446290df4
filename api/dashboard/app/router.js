// Which screen: what stands behind the # of the address.

/** `id` is empty where a screen has none. @typedef {{name: "machine"|"gpu"|"tasks"|"task"|"data"|"dataset"|"models"|"registry"|"registered"|"start"|"alerts"|"access"|"nodes"|"sign-in", id: string, query: URLSearchParams}} Place */

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
/** The machine with the GPUs of one node alone. @param {string} name */
export const nodeAddress = (name) => `#/?${new URLSearchParams({ node: name })}`;

/** Notes a screen's own settings in the address without leaving it. @param {string} path @param {Record<string, string>} values */
export function note(path, values) {
  const known = Object.entries(values).filter(([, value]) => value);
  const text = known.length ? `?${new URLSearchParams(known)}` : "";
  history.replaceState(null, "", `#${path}${text}`);
}

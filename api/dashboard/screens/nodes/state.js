// Whether a machine is there.

/** Nothing is heard of it, or it said that it ends. @param {API.Node} node */
export const isGone = ({ state }) => state === "down" || state === "unknown";

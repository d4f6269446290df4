// Whether a machine is reachable.

/** It sends no reports, or announced its end. @param {API.Node} node */
export const isUnreachable = ({ state }) => state === "down" || state === "unknown";

// Icons: strokes on a grid of 24, in the colour of the surrounding text.

const PATHS = {
  home: "M4 11l8-7l8 7M6 9.500V20h12V9.500M10 20v-6h4v6",
  sliders: "M4 7h9M19 7h1M16 4.500v5M4 17h2M12 17h8M9 14.500v5",
  gpu: "M4 7h16v10H4zM8 17v3M12 17v3M16 17v3M8 4v3M12 4v3M16 4v3M9 12h6",
  stack: "M4 4h12v10H4zM8 18h12V8M4 12l4-4l3 3l2-2l3 3",
  film: "M3 5h18v14H3zM7 5v14M17 5v14M3 9h4M3 15h4M17 9h4M17 15h4",
  folder: "M3 6h7l2 2.500h9V19H3z",
  pen: "M4 20l1-4.500L16 4.500l3.500 3.500L8.500 19zM13.500 7l3.500 3.500",
  tag: "M4 4h8l8 8l-8 8l-8-8zM8.500 8.500h.01",
  history: "M4 5v5h5M4.500 10a8 8 0 1 1-.500 4M12 8v4l3 2",
  cube: "M12 3l8 4.500v9L12 21l-8-4.500v-9zM4 7.500l8 4.500l8-4.500M12 12v9",
  image: "M4 5h16v14H4zM4 16l5-5l4 4l3-3l4 4M15.500 9h.01",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  star: "M12 4l2.500 5.200l5.700.800l-4.100 4l1 5.700l-5.100-2.700l-5.100 2.700l1-5.700l-4.100-4l5.700-.800z",
  list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  plus: "M12 5v14M5 12h14",
  search: "M11 4a7 7 0 1 0 0 14a7 7 0 0 0 0-14zM16.2 16.2L20 20",
  help: "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM9.6 9.2a2.5 2.5 0 1 1 3.4 2.9c-.7.3-1 .8-1 1.6M12 17h.01",
  info: "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM12 11v5M12 7.800h.01",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21.500h4",
  mute: "M8.500 6.100A6 6 0 0 1 18 11v5l2 2M16 18H4l2-2V11a6 6 0 0 1 .300-1.900M10 21.500h4M3 3l18 18",
  eye: "M2 12c3-5 6.500-7 10-7s7 2 10 7c-3 5-6.500 7-10 7s-7-2-10-7zM12 9a3 3 0 1 0 0 6a3 3 0 0 0 0-6z",
  arrow: "M4 12h15M13 6l6 6l-6 6",
  mail: "M3 6h18v12H3zM3 7l9 7l9-7",
  chat: "M4 5h16v11H11l-4 4v-4H4z",
  hook: "M12 3v9M12 12a4.500 4.500 0 1 1-4.500 4.500M8.500 6.500L12 3l3.500 3.500",
  send: "M3 11l18-8l-7 18l-3-7zM11 14l4-4",
  check: "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM8 12.2l2.8 2.8L16 9.5",
  cross: "M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3zM9 9l6 6M15 9l-6 6",
  warn: "M12 4L2.5 20h19zM12 10v4M12 17h.01",
  play: "M7 5l12 7l-12 7z",
  spin: "M12 3v4M12 17v4M3 12h4M17 12h4M5.6 5.6l2.9 2.9M15.5 15.5l2.9 2.9M5.6 18.4l2.9-2.9M15.5 8.5l2.9-2.9",
  clock: "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM12 7.5V12l3 2",
  save: "M5 4h11l4 4v12H5zM8 4v5h7V4M8 20v-6h8v6",
  stop: "M6 6h12v12H6z",
  circle: "M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16z",
  square: "M5 5h14v14H5z",
  question: "M12 3l9 9l-9 9l-9-9zM10.3 10.2a1.8 1.8 0 1 1 2.5 2c-.6.3-.8.6-.8 1.1M12 15.8h.01",
  drain: "M12 3c4 5 6 7.6 6 11a6 6 0 0 1-12 0c0-3.400 2-6 6-11z",
  down: "M12 4v11M7 11l5 5l5-5M5 20h14",
  up: "M6 15l6-6l6 6",
  chevron: "M6 9l6 6l6-6",
  left: "M15 6l-6 6l6 6",
  right: "M9 6l6 6l-6 6",
  pause: "M9 5v14M15 5v14",
  follow: "M12 4v12M7 12l5 5l5-5M5 21h14",
  more: "M12 5h.01M12 12h.01M12 19h.01",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  redo: "M20 5v6h-6M20 11a8 8 0 1 0-2.300 6.700",
  resume: "M5 5v14M9 5l11 7l-11 7z",
  priority: "M7 20V5M3 9l4-4l4 4M14 6h7M14 12h5M14 18h3",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  chart: "M4 4v16h16M7 15l4-5l3 3l5-7",
  wrap: "M4 6h16M4 12h13a3 3 0 0 1 0 6h-4M15 15.500l-2.500 2.500l2.500 2.500M4 18h4",
  tiles: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  unplug: "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4M3 3l18 18",
  user: "M12 4a4 4 0 1 0 0 8a4 4 0 0 0 0-8zM4.500 20.500a7.500 7.500 0 0 1 15 0",
  key: "M8 10.500a4.500 4.500 0 1 0 0 9a4.500 4.500 0 0 0 0-9zM11.200 11.800L20 3M16.500 6.500L19.500 9.500",
  leave: "M14 4H5v16h9M10 12h11M17 8l4 4l-4 4",
  flask: "M9 3h6M10 3v6l-5.500 9.500A1.700 1.700 0 0 0 6 21h12a1.700 1.700 0 0 0 1.500-2.500L14 9V3M7.500 15h9",
};

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {keyof typeof PATHS} IconName */

/** An icon by name. Decorative: the same information must be in text. @param {IconName} name */
export function icon(name, className = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", className);
  // Default size without a style sheet.
  svg.setAttribute("width", "16");
  svg.setAttribute("height", "16");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill", "none");
  path.setAttribute("stroke", "currentColor");
  path.setAttribute("stroke-width", "2");
  path.setAttribute("stroke-linecap", "round");
  path.setAttribute("stroke-linejoin", "round");
  svg.append(path);
  return svg;
}

/** A short line in the colour of a series, for legends. @param {string} colour */
export function swatch(colour, isDashed = false) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 8");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", "M1 4h22");
  line.setAttribute("stroke", colour);
  line.setAttribute("stroke-width", "3");
  if (isDashed) line.setAttribute("stroke-dasharray", "6 3");
  line.setAttribute("stroke-linecap", "round");
  svg.append(line);
  return svg;
}

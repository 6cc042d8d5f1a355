/** Builds the nodes of the widget around the chat. */

const SVG = "http://www.w3.org/2000/svg";

const BUBBLE_ICON = "M6.5 4h11A3.5 3.5 0 0 1 21 7.5v6a3.5 3.5 0 0 1-3.5 3.5H12l-4.5 3.5V17h-1A3.5 3.5 0 0 1 3 13.5v-6A3.5 3.5 0 0 1 6.5 4zM8 9h8M8 12.5h5";
const CLOSE_ICON = "m6.5 9.5 5.5 5.5 5.5-5.5";
const CROSS_ICON = "m6.5 6.5 11 11M17.5 6.5l-11 11";

/**
 * @typedef {object} Nodes
 * @property {HTMLElement} root
 * @property {HTMLButtonElement} bubble    opens and closes the panel
 * @property {HTMLElement} badge           the number of unread messages
 * @property {HTMLElement} panel           a dialog, or a region of the page
 * @property {HTMLElement} stage           contains the chat
 * @property {HTMLElement} status          shown instead of the chat until it is loaded
 * @property {HTMLElement} statusText
 * @property {HTMLButtonElement} retry
 * @property {HTMLButtonElement} dismiss   closes the panel while there is no chat in it
 */

/** @param {string} mode @returns {Nodes} */
export function buildNodes(mode) {
  const bubble = button("bubble", icon("icon-open", BUBBLE_ICON), icon("icon-close", CLOSE_ICON));
  const badge = node("span", "badge");
  badge.setAttribute("aria-hidden", "true");
  bubble.append(badge);
  bubble.popover = "manual";
  bubble.setAttribute("aria-controls", "panel");
  bubble.setAttribute("aria-haspopup", "dialog");

  const stage = node("div", "stage");
  const status = node("div", "status");
  const statusText = node("p", "status-text");
  statusText.setAttribute("role", "status");
  const dots = document.createElement("div");
  dots.className = "dots";
  for (let count = 0; count < 3; count += 1) dots.append(document.createElement("i"));
  const retry = button("retry");
  const dismiss = button("dismiss", icon("", CROSS_ICON));
  status.append(dots, statusText, retry, dismiss);

  const panel = node(mode === "inline" ? "section" : "dialog", "panel");
  panel.id = "panel";
  panel.tabIndex = -1;
  panel.append(stage, status);

  const root = document.createElement("div");
  root.className = "root";
  root.dataset.mode = mode;
  root.append(...(mode === "inline" ? [] : [bubble]), panel);
  return { root, bubble, badge, panel, stage, status, statusText, retry, dismiss };
}

/** An element whose class is also its part, by which a page can style it. @param {string} tag @param {string} name */
function node(tag, name) {
  const element = document.createElement(tag);
  element.className = name;
  element.setAttribute("part", name);
  return element;
}

/** @param {string} name @param {Node[]} children */
function button(name, ...children) {
  const element = /** @type {HTMLButtonElement} */ (node("button", name));
  element.type = "button";
  element.append(...children);
  return element;
}

/** @param {string} className @param {string} path */
function icon(className, path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  if (className) svg.setAttribute("class", className);
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

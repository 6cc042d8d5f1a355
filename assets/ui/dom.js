/** Creates nodes. Texts are only set as text, so that none can become markup. */

/**
 * The icons, as path data in a square of 20 units.
 */
const ICONS = {
  add: "M10 4v12M4 10h12",
  chats: "M3.5 5.5h13M3.5 10h13M3.5 14.5h8",
  check: "m4.5 10.5 3.5 3.5 7.5-8",
  close: "m5 5 10 10M15 5 5 15",
  copy: "M7.5 7.5h8v9h-8zM12.5 7.5v-4h-8v9h3",
  down: "M10 4v12M5 11l5 5 5-5",
  quote: "M8 5q-4 3-3 9h4v-4H5m11-5q-4 3-3 9h4v-4h-4",
  send: "M10 16V4M5 9l5-5 5 5",
  stop: "M6 6h8v8H6z",
  thumb: "M6 9v8H3V9zm0 0 4-6q3 0 1 5h6l-2 9H6",
};

/**
 * Creates an element. Properties become properties of the element, or else attributes; functions
 * become listeners; `part` is also set as `data-part`.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function createElement(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "part") for (const attribute of ["part", "data-part"]) node.setAttribute(attribute, value);
    else if (name in node) Object.assign(node, { [name]: value });
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/**
 * Creates a button.
 * @param {Record<string, any>} properties
 * @param {(Node | string)[]} children
 */
export function createButton(properties, ...children) {
  return createElement("button", { type: "button", ...properties }, ...children);
}

/**
 * Creates a button that shows an icon instead of its label.
 * @param {string} label
 * @param {Node} icon
 * @param {Record<string, any>} properties
 */
export function createIconButton(label, icon, properties) {
  return createButton({ title: label, "aria-label": label, ...properties }, icon);
}

/**
 * Creates an icon, which screen readers ignore.
 * @param {string} name
 * @param {string} [data] the path data; that of the common icon with this name if absent
 */
export function createIcon(name, data = ICONS[/** @type {keyof typeof ICONS} */ (name)]) {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  icon.setAttribute("viewBox", "0 0 20 20");
  icon.setAttribute("aria-hidden", "true");
  icon.setAttribute("class", `icon-${name}`);
  path.setAttribute("d", data);
  icon.append(path);
  return icon;
}

/**
 * Sets a text if it changed, because screen readers read every change.
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Follows the colours of the page: its scheme and the accent that its owner chose. */

import { parseColor, textColorOn } from "./colors.js";
import { THEMES, choice } from "./options.js";

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

/**
 * Calls `draw` whenever the colours of the page may have changed. Returns a function that ends
 * that. Pages switch themes through an attribute of their root element or of the body.
 * @param {() => void} draw
 */
export function observeTheme(draw) {
  const observer = new MutationObserver(draw);
  const options = { attributes: true, attributeFilter: ["class", "style", "data-theme", "data-color-scheme", "data-mode"] };
  observer.observe(document.documentElement, options);
  if (document.body) observer.observe(document.body, options);
  prefersDark.addEventListener("change", draw);
  return () => {
    observer.disconnect();
    prefersDark.removeEventListener("change", draw);
  };
}

/** @param {Element} element @returns {"light" | "dark"} */
export function themeOf(element) {
  const chosen = choice(element, "theme", THEMES);
  if (chosen === "light" || chosen === "dark") return chosen;
  const schemes = getComputedStyle(element).colorScheme.split(" ");
  const [light, dark] = [schemes.includes("light"), schemes.includes("dark")];
  if (light !== dark) return dark ? "dark" : "light";
  return prefersDark.matches ? "dark" : "light";
}

/**
 * Returns the custom properties of the accent colour; none if the owner chose no colour. The
 * attribute takes precedence over the property of the page's style sheet.
 * @param {Element} element
 * @returns {Record<string, string | null>}
 */
export function accentProperties(element) {
  const given = element.getAttribute("accent") || getComputedStyle(element).getPropertyValue("--chat-accent");
  const accent = given.trim();
  const color = parseColor(accent);
  return { "--chat-accent": color && accent, "--chat-accent-text": color && textColorOn(color) };
}

/** Reads the options of the widget from the attributes of its element. */

import { SERVER } from "./loader.js";

/** Attributes that change how the widget looks. They apply without loading the chat again. */
const APPEARANCE = ["accent", "position", "theme"];
/** Attributes that the chat reads once. A change of them shows the chat again. */
const CHAT = ["avatar", "chat-title", "greeting", "language", "privacy-url", "server", "suggestions"];

export const ATTRIBUTES = ["mode", "open", ...APPEARANCE, ...CHAT];
export const POSITIONS = ["bottom-end", "bottom-start", "bottom-right", "bottom-left"];
export const THEMES = ["auto", "light", "dark"];
export const MODES = ["bubble", "inline"];

/** @param {string} attribute */
export const isChatOption = (attribute) => CHAT.includes(attribute);

/** The options for `mountChat`. @param {Element} element */
export function chatOptions(element) {
  const text = (/** @type {string} */ name) => element.getAttribute(name)?.trim() || undefined;
  const server = serverOf(element);
  return {
    server,
    language: text("language") ?? "auto",
    title: text("chat-title"),
    greeting: text("greeting"),
    avatar: text("avatar"),
    suggestions: parseSuggestions(text("suggestions")),
    privacyUrl: text("privacy-url"),
    storageKey: `resume-chat:${server}`,
  };
}

/** The base address of the chat server, which ends with a slash. @param {Element} element */
export function serverOf(element) {
  const given = element.getAttribute("server")?.trim();
  if (!given) return SERVER;
  const address = URL.canParse(given, document.baseURI) ? new URL(given, document.baseURI).href : SERVER;
  return address.endsWith("/") ? address : `${address}/`;
}

/**
 * Returns the value of an attribute that has a few values; the first one for any other.
 * @param {Element} element @param {string} name @param {string[]} values
 */
export function choice(element, name, values) {
  const value = element.getAttribute(name)?.trim().toLowerCase() ?? "";
  return values.includes(value) ? value : values[0];
}

/**
 * Questions are given as a JSON list, or separated by `|` or line breaks.
 * @param {string | undefined} value
 */
export function parseSuggestions(value) {
  if (value === undefined) return undefined;
  if (value.startsWith("[")) {
    try {
      return JSON.parse(value).map(String);
    } catch {
      // A question may start with a bracket.
    }
  }
  const questions = value.split(/[|\n]/).map((question) => question.trim());
  return questions.filter((question) => question !== "");
}

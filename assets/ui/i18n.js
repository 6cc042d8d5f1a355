/** The texts of the user interface in the visitor's language. */

import { languages } from "../locales/index.js";

/**
 * @typedef {Record<string, string | number>} Params
 * @typedef {object} TextProperties
 * @property {string} language                the BCP 47 tag of the texts
 * @property {"ltr" | "rtl"} direction
 * @property {(key: string) => boolean} has   whether there is such a text
 * @property {() => Promise<void>} addMore  loads the texts that few visitors need: those of the
 *   menu, of comments, notices and limits, and of errors and ends that the server reports
 * @property {boolean} triedMore              whether `addMore` has ended, perhaps without success
 *
 * @typedef {((key: string, params?: Params) => string) & TextProperties} Texts
 */

const FALLBACK = "en";
const RIGHT_TO_LEFT = ["ar", "fa", "he", "ur"];

/**
 * Returns the language of the texts: the first of the requested ones that has texts.
 * @param {string[]} languages  those that have texts
 * @param {string} [requested]  a BCP 47 tag, or `auto` for the languages of the browser
 */
export function chooseLanguage(languages, requested = "auto") {
  const candidates = requested === "auto" ? navigator.languages : [requested];
  const bases = candidates.map((tag) => tag.toLowerCase().split("-")[0] ?? "");
  return bases.find((base) => languages.includes(base)) ?? FALLBACK;
}

/** @param {string} language @returns {"ltr" | "rtl"} */
export function directionOf(language) {
  return RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";
}

/**
 * Loads the texts of a language.
 * @param {string} [requested] a BCP 47 tag, or `auto` for the languages of the browser
 * @returns {Promise<Texts>}
 */
export async function loadTexts(requested) {
  const language = chooseLanguage(languages, requested);
  const { default: entries } = await import(`../locales/${language}.js`);
  return createTexts(language, { ...entries });
}

/**
 * Creates the function that returns a text by its key. `{name}` in a text stands for a parameter.
 * A text with plural forms has one entry for each category of `params.count`.
 * @param {string} language
 * @param {Record<string, string | Record<string, string>>} entries
 * @returns {Texts}
 */
export function createTexts(language, entries) {
  const plurals = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);
  /** @param {string} key @param {Params} [params] */
  const text = (key, params = {}) => {
    const entry = entries[key] ?? key;
    const form = typeof entry === "string" ? entry : (entry[plurals.select(Number(params.count))] ?? entry.other ?? key);
    return form.replace(/\{(\w+)\}/g, (_, name) => {
      const value = params[name] ?? "";
      return typeof value === "number" ? numbers.format(value) : value;
    });
  };
  const texts = Object.assign(text, {
    language,
    direction: directionOf(language),
    has: (/** @type {string} */ key) => key in entries,
    addMore: async () => {
      try {
        Object.assign(entries, (await import(`../locales/more/${language}.js`)).default);
      } finally {
        texts.triedMore = true;
      }
    },
    triedMore: false,
  });
  return texts;
}

/** Adds style sheets that come with a module. */

/**
 * Adds a style sheet to a document or a shadow root. A style element is the fallback for browsers
 * of 2022, and needs `style-src`.
 *
 * The property `--rem` replaces the unit `rem`, because the page around a shadow root may give its
 * root element any font size.
 * @param {Node} root  the document or shadow root @param {string} source
 */
export function addStyles(root, source) {
  const text = source.replace(/(-?[\d.]+)rem/g, "calc($1*var(--rem,1rem))");
  if ("adoptedStyleSheets" in root) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    /** @type {ShadowRoot} */ (root).adoptedStyleSheets.push(sheet);
  } else {
    const style = document.createElement("style");
    style.textContent = text;
    (root instanceof Document ? root.head : root).appendChild(style);
  }
}

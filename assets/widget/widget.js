/**
 * Adds the chat to a page of another site: defines the element `<resume-chat>`, and adds one to a
 * page that has none.
 */

import { ResumeChat } from "./element.js";

const NAME = "resume-chat";

/** Adds the element again too if a script replaces the body to show another page. */
function ensureElement() {
  if (!document.querySelector(NAME)) document.body?.append(document.createElement(NAME));
}

// The script may be on a page twice.
if (!customElements.get(NAME)) {
  customElements.define(NAME, ResumeChat);
  const start = () => {
    ensureElement();
    new MutationObserver(ensureElement).observe(document.documentElement, { childList: true });
  };
  // Frameworks may add the element in their own handlers of this event.
  if (document.readyState === "complete") start();
  else addEventListener("load", start, { once: true });
}

export { ResumeChat };

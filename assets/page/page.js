/** The server's own page: a chat that fills the window. */

import { mountChat } from "../ui/chat.js";

// Relative to the page, so that it also works below a path of another site.
const server = new URL(".", document.baseURI);
const container = document.querySelector("#chat");
if (container) {
  const { language } = document.documentElement.dataset;
  const chat = mountChat(container, { server, language, onTitle: (title) => (document.title = title) });
  // On touch screens the keyboard would cover the suggestions.
  if (matchMedia("(hover: hover) and (pointer: fine)").matches) chat.focus();
}

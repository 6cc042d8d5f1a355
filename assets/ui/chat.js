/** The chat as a component, for a page or a shadow root. */

import { ChatClient } from "../client/client.js";
import { ChatView } from "./chat-view.js";
import { createElement } from "./dom.js";
import { loadTexts } from "./i18n.js";

/**
 * @typedef {object} ChatOptions
 * @property {string | URL} server        the address of the server, which ends with "/"
 * @property {string} [language]          `auto` (the browser's) or a BCP 47 tag
 * @property {"light" | "dark" | "auto"} [theme]
 * @property {string} [title]             defaults to "Ask about" the person
 * @property {string} [greeting]          the sentence of the first view
 * @property {string} [avatar]            the address of an image
 * @property {string[]} [suggestions]     questions of the first view, instead of the server's
 * @property {string} [privacyUrl]        the address of the privacy page, instead of the server's
 * @property {string} [storageKey]        where the client stores the session between visits
 * @property {boolean} [embedded]         true in a widget: with a close button, as part of a page
 * @property {() => void} [onClose]       called by the close button
 * @property {(count: number, label: string) => void} [onUnread]  called when the number of unread
 *   answers changes; the label says it in words
 * @property {(title: string) => void} [onTitle]   called with the title whenever it may have changed
 *
 * @typedef {object} MountedChat
 * @property {ChatClient} client
 * @property {() => void} focus           focuses the question
 * @property {(visible: boolean) => void} setVisible  says whether the visitor sees the chat
 * @property {() => void} destroy         closes the connection and removes all nodes
 */

const EVENTS = ["state", "session", "transcript", "turn", "notice", "lost", "ended", "forgotten", "conversations", "error"];

/**
 * Builds a chat in a container and connects it. Its size is that of the container, which must have
 * a definite height. Its style sheet, `chat.css`, must apply there.
 * @param {Element | ShadowRoot} container
 * @param {ChatOptions} options
 * @returns {MountedChat}
 */
export function mountChat(container, options) {
  const root = createElement("section", { className: "chat", part: "chat", hidden: true });
  root.dataset.theme = options.theme ?? "auto";
  const client = new ChatClient({ server: options.server, storageKey: options.storageKey });
  /** @type {ChatView | undefined} */
  let view;
  /** Calls that wait for the texts. @type {((view: ChatView) => void)[]} */
  let waiting = [];
  const whenReady = (/** @type {(view: ChatView) => void} */ call) => {
    if (view) call(view);
    else waiting.push(call);
  };
  for (const type of EVENTS) {
    client.addEventListener(type, (event) => whenReady((ready) => ready.onEvent(/** @type {CustomEvent} */ (event))));
  }
  container.append(root);
  const start = async () => {
    const t = await loadTexts(options.language);
    if (!root.isConnected) return;
    root.lang = t.language;
    root.dir = t.direction;
    root.hidden = false;
    view = new ChatView(root, client, options, t);
    for (const call of waiting) call(view);
    waiting = [];
  };
  void start();
  client.connect();
  return {
    client,
    focus: () => whenReady((ready) => ready.focus()),
    setVisible: (visible) => whenReady((ready) => ready.setVisible(visible)),
    destroy() {
      client.close();
      view?.destroy();
      root.remove();
    },
  };
}

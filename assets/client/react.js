/** A React hook for a conversation. */

import { useState, useSyncExternalStore } from "react";

import { ChatClient } from "./client.js";

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./client.js").ErrorFrame} ErrorFrame */

/**
 * @typedef {object} ChatSnapshot  what a component shows; a new object after each change
 * @property {Readonly<Turn>[]} turns  questions and answers, oldest first
 * @property {boolean} busy            whether a question is being sent or answered
 * @property {ChatClient["state"]} state
 * @property {ChatClient["transport"] | null} transport
 * @property {import("./client.js").Session | null} session
 * @property {import("./conversations.js").Conversation[]} conversations
 * @property {boolean} hasEarlier
 * @property {{code: string, message: string} | null} notice  the last notice of the server
 * @property {{code: string, message: string} | null} error   the last error that belongs to no turn
 *
 * @typedef {object} ChatActions  the methods of the client; they do nothing before the component is
 *   mounted
 * @property {(question: string) => void} ask
 * @property {(turn: Readonly<Turn>) => void} askAgain
 * @property {() => void} regenerate
 * @property {() => void} cancel
 * @property {(turn: Readonly<Turn>, rating: "up" | "down" | null, comment?: string) => boolean} rate
 * @property {() => void} startOver
 * @property {() => void} loadEarlier
 * @property {(sessionId: string) => boolean} openConversation
 * @property {(sessionId: string) => Promise<boolean>} deleteConversation
 * @property {() => Promise<boolean>} deleteAllConversations
 * @property {() => void} connect
 */

/** @type {ChatSnapshot} Before the component is mounted, and on a server that renders it. */
const EMPTY = {
  turns: [],
  busy: false,
  state: "closed",
  transport: null,
  session: null,
  conversations: [],
  hasEarlier: false,
  notice: null,
  error: null,
};

const EVENTS = /** @type {const} */ (["state", "session", "transcript", "turn", "lost", "ended", "forgotten", "conversations"]);

/** A client with the life and the snapshots that React needs. */
class ChatStore {
  /** @type {ChatClient | null} */ #client = null;
  #snapshot = EMPTY;
  /** @type {Set<() => void>} */ #listeners = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #closeTimer;
  #options;

  /** @param {import("./client.js").ChatClientOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** @param {() => void} listener */
  subscribe = (listener) => {
    clearTimeout(this.#closeTimer);
    this.#listeners.add(listener);
    if (!this.#client) this.#open();
    return () => {
      this.#listeners.delete(listener);
      // In strict mode, React mounts a component again at once.
      if (this.#listeners.size === 0) this.#closeTimer = setTimeout(() => this.#close());
    };
  };

  snapshot = () => this.#snapshot;

  /** @type {ChatActions} */
  actions = {
    ask: (question) => void this.#client?.ask(question),
    askAgain: (turn) => void this.#withTurn(turn, (client, known) => client.askAgain(known)),
    regenerate: () => void this.#client?.regenerate(),
    cancel: () => this.#client?.cancel(),
    rate: (turn, rating, comment) => this.#withTurn(turn, (client, known) => client.rate(known, rating, comment)) ?? false,
    startOver: () => this.#client?.startOver(),
    loadEarlier: () => this.#client?.loadEarlier(),
    openConversation: (sessionId) => this.#client?.openConversation(sessionId) ?? false,
    deleteConversation: async (sessionId) => this.#client?.deleteConversation(sessionId) ?? false,
    deleteAllConversations: async () => this.#client?.deleteAllConversations() ?? false,
    connect: () => this.#client?.connect(),
  };

  #open() {
    const client = new ChatClient(this.#options);
    this.#client = client;
    for (const event of EVENTS) client.on(event, () => this.#update({}));
    client.on("notice", (notice) => this.#update({ notice }));
    client.on("error", (error) => this.#update({ error }));
    client.connect();
  }

  #close() {
    this.#client?.close();
    this.#client = null;
    this.#snapshot = EMPTY;
  }

  /** @param {Partial<ChatSnapshot>} change */
  #update(change) {
    const client = this.#client;
    if (!client) return;
    const { busy, state, transport, session, conversations, hasEarlier } = client;
    // Copies, because the client changes its turns.
    const turns = client.turns.map((turn) => ({ ...turn }));
    this.#snapshot = { ...this.#snapshot, turns, busy, state, transport, session, conversations, hasEarlier, ...change };
    for (const listener of this.#listeners) listener();
  }

  /**
   * @template T
   * @param {Readonly<Turn>} copy @param {(client: ChatClient, turn: Turn) => T} action
   */
  #withTurn(copy, action) {
    const turn = this.#client?.turns.find(({ id }) => id === copy.id);
    const result = this.#client && turn ? action(this.#client, turn) : undefined;
    // A rating changes the turn without an event.
    this.#update({});
    return result;
  }
}

/**
 * Connects while the component is mounted. The options of the first call apply.
 * @param {import("./client.js").ChatClientOptions} [options]
 * @returns {ChatSnapshot & ChatActions}
 */
export function useResumeChat(options = {}) {
  const [store] = useState(() => new ChatStore(options));
  const snapshot = useSyncExternalStore(store.subscribe, store.snapshot, () => EMPTY);
  return { ...snapshot, ...store.actions };
}

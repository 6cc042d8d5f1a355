/** Questions with their answers, as the client keeps them: new ones, and those of a history. */

/**
 * @typedef {"sending" | "accepted" | "queued" | "streaming" | "complete" | "length" | "cancelled" | "interrupted" | "failed"} TurnStatus
 *
 * @typedef {object} TurnError
 * @property {string} code     one of the protocol's error codes, or `CONNECTION_CLOSED` when the client gave up
 * @property {string} message  a sentence for people
 * @property {boolean} retryable
 * @property {number} retryAt  when asking again can succeed, in milliseconds since the epoch; 0 when unknown
 *
 * @typedef {object} Turn
 * @property {string} id             the client's id of the question; makes sending it again harmless
 * @property {string | null} turnId  the server's id, once the question is accepted
 * @property {string} question
 * @property {string} answer         all of the answer shown so far
 * @property {number} seq            the last `seq` contained in `answer`
 * @property {TurnStatus} status
 * @property {"live" | "excerpts"} mode
 * @property {TurnError | null} error
 * @property {number | null} position    place in the queue while `queued`
 * @property {boolean} past          belongs to a session that is gone
 * @property {boolean} uncertain     the next delta may continue the answer or begin it anew
 * @property {{text: string, seq: number}} late  what came after the person had pressed stop; part of the answer only if it was whole
 * @property {Turn | null} replaces  the turn whose question is answered anew
 * @property {"up" | "down" | null} rating  what the person thinks of the answer
 *
 * @typedef {object} HistoryMessage
 * @property {string} turn_id
 * @property {string} role
 * @property {string} content
 * @property {string} [status]
 * @property {"live" | "excerpts"} [mode]
 * @property {string} [superseded_by]
 * @property {"up" | "down"} [rating]
 */

/** Statuses after which nothing more comes. */
export const FINAL = new Set(["complete", "length", "cancelled", "interrupted", "failed"]);

/**
 * @param {{id: string, question: string, mode?: "live" | "excerpts"}} given
 * @returns {Turn}
 */
export function newTurn({ id, question, mode }) {
  return {
    id,
    turnId: null,
    question,
    answer: "",
    seq: 0,
    status: "sending",
    mode: mode ?? "live",
    error: null,
    position: null,
    past: false,
    uncertain: false,
    late: { text: "", seq: 0 },
    replaces: null,
    rating: null,
  };
}

/**
 * Pairs the messages of a history into turns.
 * @param {HistoryMessage[]} messages
 * @param {"live" | "excerpts"} [mode] for messages that do not say which they are
 */
export function turnsFrom(messages, mode) {
  /** @type {Map<string, Turn>} */
  const turns = new Map();
  for (const message of messages) {
    // Its place was taken by a later turn, which tells the question again.
    if (message.superseded_by) continue;
    let turn = turns.get(message.turn_id);
    if (!turn) {
      turn = newTurn({ id: newId(), question: "", mode });
      Object.assign(turn, { turnId: message.turn_id, status: "interrupted", uncertain: true });
      turns.set(message.turn_id, turn);
    }
    const answers = message.role === "assistant";
    turn[answers ? "answer" : "question"] = message.content;
    if (answers && message.mode) turn.mode = message.mode;
    if (answers) turn.rating = message.rating ?? null;
    const status = message.status ?? (answers ? "complete" : turn.status);
    turn.status = FINAL.has(status) ? /** @type {TurnStatus} */ (status) : "accepted";
  }
  return [...turns.values()];
}

/**
 * Whether a delta starts an answer from its first word, when all that is known is a text without its place.
 * @param {Turn} turn
 * @param {{seq: number, text: string, replay?: boolean}} delta
 */
export function beginsAnew(turn, delta) {
  if (delta.seq === 1 || delta.seq <= turn.seq) return true;
  return Boolean(delta.replay) && (delta.text.startsWith(turn.answer) || turn.answer.startsWith(delta.text));
}

/** `crypto.randomUUID` does not exist on pages served without TLS, where many will try this first. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

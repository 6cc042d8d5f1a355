/** The types of sessions, frames, options and events of the client. */

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./turn.js").HistoryMessage} HistoryMessage */

/**
 * @typedef {object} SessionLimits
 * @property {number} [max_question_chars]
 * @property {number} [requests_per_minute]
 * @property {number} [remaining]
 *
 * @typedef {object} Session
 * @property {string} session_id
 * @property {string} resume_token
 * @property {string} [expires_at]
 * @property {boolean} resumed
 * @property {boolean} [recovered]
 * @property {SessionLimits} [limits]
 * @property {{name?: string, revision?: string}} [resume]
 * @property {string[]} [suggestions]
 * @property {"live" | "excerpts"} [mode]
 * @property {HistoryMessage[]} [history]
 * @property {boolean} [more]
 * @property {{url?: string | null, retention_days?: number | null}} [privacy]
 * @property {string[]} [link_hosts]
 *
 * @typedef {object} ErrorFrame
 * @property {string} code
 * @property {string} message
 * @property {boolean} [retryable]
 * @property {number} [retry_after_ms]
 * @property {string} [id]
 * @property {string} [turn_id]
 * @property {string} [request_id]
 *
 * @typedef {object} ChatClientOptions
 * @property {string | URL} [server]    the address of the server, for example
 *   `https://resume.example/`; the page's own directory if absent
 * @property {string | URL} [url]       instead of `server`: the address of the WebSocket
 * @property {string} [storageKey]      the key under which the session is stored between visits
 * @property {Storage | null} [storage] defaults to `localStorage`; `null` stores nothing
 * @property {boolean} [regenerateInterrupted]  whether to request another answer if one was
 *   interrupted, for example by a crash of the server
 * @property {import("./transport.js").TransportName[]} [transports]  the transports that may be
 *   used; all if absent
 * @property {any} [WebSocket]          the class of WebSockets; the global one if absent
 * @property {typeof globalThis.fetch} [fetch]  the global one if absent
 *
 * @typedef {"added" | "accepted" | "queued" | "thinking" | "delta" | "reset" | "done" | "rating" | "error"} TurnChange
 *
 * @typedef {object} ChatEvents  the details of the events
 * @property {undefined} state        the state of the connection or its transport changed
 * @property {Session} session        a session started or was resumed
 * @property {undefined} transcript   `turns` was replaced or reordered
 * @property {{turn: Turn, change: TurnChange}} turn  a turn changed
 * @property {{turn: Turn}} interrupted  an answer ended too early; `regenerate()` requests another
 * @property {{turn: Turn, lostChars: number}} lost  the server lost the end of an answer in a
 *   crash; `turn.answer` still has it
 * @property {undefined} ended        the session has expired or was deleted, and a new one started
 * @property {undefined} forgotten    the server has deleted the conversation
 * @property {undefined} conversations  `conversations` changed
 * @property {{code: string, message: string}} notice  a notice of the server
 * @property {ErrorFrame} error       an error that belongs to no turn
 */

export {};

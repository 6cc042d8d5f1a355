/** Deletes conversations. Loaded when the visitor deletes one. */

/** @typedef {import("./client.js").ChatClient} ChatClient */
/** @typedef {import("./transport.js").TransportHandlers} TransportHandlers */
/** @typedef {import("./transport.js").Transport} Transport */

/** How long a deletion may take. */
const FORGET_TIMEOUT_MS = 15_000;

/**
 * Deletes a conversation over a connection of its own. Resolves to whether the server no longer has
 * it.
 * @param {(handlers: TransportHandlers) => Transport} open
 * @param {{session_id: string, resume_token: string}} session
 * @returns {Promise<boolean>}
 */
export function forgetSession(open, { session_id, resume_token }) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => end(false), FORGET_TIMEOUT_MS);
    /** @param {boolean} isGone */
    const end = (isGone) => {
      clearTimeout(timer);
      transport.close();
      resolve(isGone);
    };
    let isResumed = false;
    const transport = open({
      // Each request of the transport without a connection begins with this frame.
      onOpen: () => transport.send({ type: "resume", session_id, resume_token }),
      onFrame: (frame) => {
        if (frame?.type === "session" && !isResumed) {
          isResumed = true;
          transport.send({ type: "forget" });
        } else if (frame?.type === "forgotten") end(true);
        else if (frame?.type === "error") end(frame.code === "SESSION_NOT_FOUND" || frame.code === "SESSION_EXPIRED");
      },
      onAlive() {},
      onRejected: () => end(false),
      onClose: () => end(false),
    });
  });
}

/**
 * Deletes the current conversation. Resolves to whether the server no longer has it.
 * @param {ChatClient} client
 * @returns {Promise<boolean>}
 */
export function forgetCurrent(client) {
  return new Promise((resolve) => {
    if (!client.forget()) return resolve(false);
    const listening = new AbortController();
    /** @param {boolean} isGone */
    const end = (isGone) => {
      clearTimeout(timer);
      listening.abort();
      resolve(isGone);
    };
    const timer = setTimeout(() => end(false), FORGET_TIMEOUT_MS);
    const options = { signal: listening.signal };
    client.addEventListener("forgotten", () => end(true), options);
    client.addEventListener("error", () => end(false), options);
    client.addEventListener("state", () => client.state === "open" || end(false), options);
  });
}

/**
 * Deletes the current conversation and all others. Resolves to whether all are deleted.
 * @param {ChatClient} client
 */
export async function forgetAll(client) {
  let areGone = true;
  for (const { sessionId } of client.conversations) areGone = (await client.deleteConversation(sessionId)) && areGone;
  return (!client.session || (await client.deleteConversation(client.session.session_id))) && areGone;
}

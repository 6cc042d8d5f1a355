/**
 * The interface of the transports. A transport carries the frames of one connection, in order.
 *
 * @typedef {object} TransportHandlers
 * @property {() => void} onOpen            the transport needs `start` or `resume`
 * @property {(frame: any) => void} onFrame
 * @property {() => void} onAlive           the other side is alive, although it sent no frame
 * @property {(error: any) => void} onRejected  the server rejected the connection, with an error
 *   frame; nothing follows
 * @property {(code: number, cause?: CloseCause) => void} onClose  called at most once, and not
 *   after `close()`
 *
 * @typedef {"blocked" | "silent" | "elsewhere"} CloseCause
 *   why another transport may work: `blocked`: there was no connection; `silent`: nothing arrived
 *   in time; `elsewhere`: the requests of one connection reach different servers
 *
 * @typedef {object} Transport
 * @property {TransportName} name
 * @property {(frame: object) => boolean} send  returns false if the frame cannot be sent
 * @property {() => void} close
 *
 * @typedef {"websocket" | "events" | "request"} TransportName
 *
 * @typedef {object} TransportOptions
 * @property {string} url
 * @property {number} timeoutMs             how long it may take to open
 * @property {typeof globalThis.fetch} fetch
 * @property {typeof globalThis.WebSocket} WebSocket
 */

/** Parses a frame. Returns null if it is not JSON. @param {string} text */
export function parseFrame(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

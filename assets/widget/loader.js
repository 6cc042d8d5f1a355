/** Loads the chat when it is opened, and tells the site's owner what prevents that. */

/** @typedef {{ mountChat: (container: Element, options: object) => any, styles: string }} ChatModule */
/** @typedef {"UNREACHABLE" | "ORIGIN_NOT_ALLOWED" | "BLOCKED_BY_POLICY"} LoadErrorCode */

/** A slow connection still loads the chat in this time. */
const TIMEOUT_MS = 20_000;
const PROBE_TIMEOUT_MS = 5_000;

const CHAT = new URL("./chat.js", import.meta.url);

/** The base address of the server that this module was loaded from. */
export const SERVER = new URL("./", import.meta.url).href;

export class LoadError extends Error {
  /** @param {LoadErrorCode} code @param {string} message @param {unknown} cause */
  constructor(code, message, cause) {
    super(message, { cause });
    this.code = code;
  }
}

/** @type {Promise<ChatModule> | undefined} */
let loading;
let attempts = 0;

/** @param {string} language @returns {Promise<ChatModule>} */
export function loadChat(language) {
  loading ??= load(language).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

/** @param {string} language */
async function load(language) {
  // Browsers remember a module that could not be loaded, so another attempt needs other addresses.
  // The server ignores the name of the directory.
  const address = new URL(CHAT);
  if (attempts++) address.pathname = address.pathname.replace("/widget/", `.${attempts}/widget/`);
  let blocked = false;
  /** @param {SecurityPolicyViolationEvent} event */
  const onViolation = (event) => {
    if (event.blockedURI.startsWith(address.origin)) blocked = true;
  };
  document.addEventListener("securitypolicyviolation", onViolation);
  try {
    // The chat would request its texts only after it is loaded.
    const texts = import(new URL(`../locales/${language}.js`, address).href);
    const [chat] = await within(TIMEOUT_MS, Promise.all([import(address.href), texts]));
    return chat;
  } catch (cause) {
    throw await diagnose(cause, () => blocked);
  } finally {
    document.removeEventListener("securitypolicyviolation", onViolation);
  }
}

/** @param {unknown} cause @param {() => boolean} isBlocked @returns {Promise<LoadError>} */
async function diagnose(cause, isBlocked) {
  // The widget's own file may be read by every site, unlike the chat's.
  const answers = await fetch(import.meta.url, { cache: "no-store", signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }).then(
    (response) => response.ok,
    () => false,
  );
  const { origin, host } = new URL(SERVER);
  if (isBlocked()) {
    const sources = `script-src ${origin}; connect-src ${origin} ${origin.startsWith("https:") ? "wss" : "ws"}://${host}`;
    return new LoadError("BLOCKED_BY_POLICY", `This page's Content-Security-Policy blocks the chat. It needs: ${sources}`, cause);
  }
  if (answers) {
    const message = `${SERVER} does not serve the chat to this site. Add ${location.origin} to ALLOWED_ORIGINS there.`;
    return new LoadError("ORIGIN_NOT_ALLOWED", message, cause);
  }
  return new LoadError("UNREACHABLE", `${SERVER} cannot be reached.`, cause);
}

/** @template T @param {number} ms @param {Promise<T>} promise @returns {Promise<T>} */
function within(ms, promise) {
  const late = new Promise((_, reject) => setTimeout(reject, ms, new Error(`no answer within ${ms} ms`)));
  return Promise.race([promise, late]);
}

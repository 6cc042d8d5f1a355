// Measures the chat in Chromium: the bytes that a page loads, and the time from Enter to the first
// word of an answer. Compares the widget over the socket and over the event stream with a page made
// with deep-chat, all on one demo server, in alternating rounds.
//
//   node benches/browser.mjs PROGRAM [ROUNDS]
//
// PROGRAM is the server, for example target/release/resume-chatbot. TEST_NODE_MODULES and
// TEST_CHROMIUM name the Node packages `ws` and `deep-chat`, and Chromium.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [program, rounds = "15"] = process.argv.slice(2);
const modules = process.env.TEST_NODE_MODULES;
const chromium = process.env.TEST_CHROMIUM ?? "/usr/bin/chromium";
if (!program || !modules) throw new Error("usage: TEST_NODE_MODULES=… node benches/browser.mjs PROGRAM [ROUNDS]");
const { WebSocket } = createRequire(join(modules, "index.js"))("ws");
const ended = [];
process.on("exit", () => ended.forEach((end) => end()));

/** Starts a program and resolves with the first match of a pattern in its output. */
function start(command, parameters, pattern, env = {}) {
  const child = spawn(command, parameters, { env: { ...process.env, ...env } });
  ended.push(() => child.kill("SIGKILL"));
  return new Promise((resolve, reject) => {
    let output = "";
    const read = (data) => {
      output += data;
      const match = pattern.exec(output);
      if (match) resolve(match);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${output}`)));
  });
}

function listen(server) {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

/** Passes requests on and refuses upgrades, as proxies of offices do. */
function proxyWithoutUpgrades(port) {
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const passed = request({ port, method, path: url, headers: { ...headers, connection: "close" } }, (response) => {
      outgoing.writeHead(response.statusCode, response.headers);
      response.pipe(outgoing);
    });
    passed.on("error", () => outgoing.destroy());
    outgoing.on("close", () => passed.destroy());
    incoming.pipe(passed);
  });
  server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
  return server;
}

/** The site of the owner: pages by path. */
function hostSite(pages) {
  return createServer((incoming, outgoing) => {
    const page = pages[incoming.url];
    outgoing.writeHead(page ? 200 : 404, { "Content-Type": incoming.url.endsWith(".js") ? "text/javascript" : "text/html" });
    outgoing.end(page ?? "");
  });
}

/** A tab of Chromium, driven over its debugging protocol. */
class Tab {
  #socket;
  #next = 1;
  #waiting = new Map();
  bytes = 0;

  static async open(debuggingPort) {
    const { webSocketDebuggerUrl } = await (await fetch(`http://127.0.0.1:${debuggingPort}/json/new`, { method: "PUT" })).json();
    const tab = new Tab();
    tab.#socket = new WebSocket(webSocketDebuggerUrl);
    await new Promise((resolve, reject) => tab.#socket.on("open", resolve).on("error", reject));
    tab.#socket.on("message", (data) => tab.#onMessage(JSON.parse(data)));
    await tab.send("Network.enable");
    await tab.send("Page.enable");
    return tab;
  }

  #onMessage({ id, method, params, result, error }) {
    if (method === "Network.loadingFinished") this.bytes += params.encodedDataLength;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  }

  send(method, params = {}) {
    const id = this.#next++;
    this.#socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until an expression is true, looking in each frame of the page. */
  until(expression) {
    return this.evaluate(`new Promise((resolve, reject) => {
      const end = performance.now() + 20_000;
      const look = () => (${expression}) ? resolve(performance.now())
        : performance.now() > end ? reject(new Error(${JSON.stringify(expression)})) : requestAnimationFrame(look);
      look();
    })`);
  }

  async press(key) {
    const event = { key, code: key, windowsVirtualKeyCode: 13, text: "\r" };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }
}

/** How to use a chat: expressions for its root, its field and the texts of its answers. */
const WIDGET = {
  prepare: "document.querySelector('resume-chat').open()",
  field: "document.querySelector('resume-chat').shadowRoot.querySelector('textarea')",
  answers: "[...document.querySelector('resume-chat').shadowRoot.querySelectorAll('.turn .text')]",
  ready: "document.querySelector('resume-chat').shadowRoot.querySelector('textarea')",
};
const DEEP_CHAT = {
  prepare: "null",
  field: "document.querySelector('deep-chat').shadowRoot.querySelector('#text-input')",
  answers: "[...document.querySelector('deep-chat').shadowRoot.querySelectorAll('.ai-message-text')]",
  ready: "document.querySelector('deep-chat')?.shadowRoot?.querySelector('#text-input')",
};

class Variant {
  times = [];

  constructor(name, chat, tab) {
    Object.assign(this, { name, chat, tab });
  }

  async load(url) {
    const { tab, chat } = this;
    await tab.send("Page.navigate", { url });
    await tab.until("document.readyState === 'complete'");
    if (chat === WIDGET) await tab.until("customElements.get('resume-chat') && document.querySelector('resume-chat')?.open");
    await tab.evaluate(`void (${chat.prepare})`);
    await tab.until(chat.ready);
    await this.ask();
    this.bytes = tab.bytes;
  }

  /** Asks a question and returns the milliseconds until the first word is in the page. */
  async ask() {
    const { tab, chat } = this;
    await tab.send("Page.bringToFront");
    await tab.evaluate(`void (${chat.field}).focus()`);
    await tab.send("Input.insertText", { text: "Which databases does Mara know?" });
    await tab.evaluate(`void (globalThis.before = ${chat.answers}.filter((answer) => answer.textContent.trim()).length,
      (${chat.field}).addEventListener("keydown", () => (globalThis.enterAt = performance.now()), { capture: true, once: true }))`);
    const shown = tab.until(`${chat.answers}.filter((answer) => answer.textContent.trim()).length > globalThis.before`);
    await tab.press("Enter");
    const time = (await shown) - (await tab.evaluate("globalThis.enterAt"));
    // The next question needs a finished answer.
    await tab.evaluate(`new Promise((resolve) => {
      let last = "", since = performance.now();
      const look = () => {
        const text = ${chat.answers}.at(-1).textContent;
        if (text !== last) [last, since] = [text, performance.now()];
        if (performance.now() - since > 400) resolve(); else requestAnimationFrame(look);
      };
      look();
    })`);
    return time;
  }
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

const pages = {};
const sitePort = await listen(hostSite(pages));
const [, address] = await start(program, ["demo"], /at (http:\/\/127\.0\.0\.1:\d+)/, {
  PORT: "0",
  OPERATOR_ADDRESS: "off",
  ALLOWED_ORIGINS: `http://127.0.0.1:${sitePort}`,
  RATE_LIMIT_REQUESTS_PER_MINUTE: "600",
});
const proxyPort = await listen(proxyWithoutUpgrades(Number(new URL(address).port)));
const widget = (server) => `<!doctype html><html lang="en"><title>Mara</title><script type="module" src="${server}/widget.js"></script>`;
pages["/socket"] = widget(address);
pages["/fallback"] = widget(`http://127.0.0.1:${proxyPort}`);
pages["/deep-chat.js"] = readFileSync(join(modules, "deep-chat/dist/deepChat.bundle.js"));
pages["/deep-chat-page.js"] = `
  import { ChatClient } from "${address}/client.js";
  import "./deep-chat.js";
  const client = new ChatClient({ server: "${address}/" });
  document.querySelector("deep-chat").connect = {
    stream: true,
    handler: async ({ messages }, signals) => {
      signals.onOpen();
      await client.askAndWait(messages.at(-1).text, { onDelta: (text) => signals.onResponse({ text }) });
      signals.onClose();
    },
  };`;
pages["/deep-chat"] = `<!doctype html><html lang="en"><title>Mara</title><deep-chat></deep-chat><script type="module" src="/deep-chat-page.js"></script>`;

const profile = mkdtempSync(join(tmpdir(), "browser-bench-"));
ended.unshift(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
const [, debuggingPort] = await start(
  chromium,
  ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0", `--user-data-dir=${profile}`],
  /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)/,
);

const variants = [];
for (const [name, path, chat] of [["widget, socket", "/socket", WIDGET], ["widget, event stream", "/fallback", WIDGET], ["deep-chat with client.js", "/deep-chat", DEEP_CHAT]]) {
  const variant = new Variant(name, chat, await Tab.open(debuggingPort));
  await variant.load(`http://127.0.0.1:${sitePort}${path}`);
  variants.push(variant);
}
for (let round = 0; round < Number(rounds); round++) {
  for (const variant of variants) variant.times.push(await variant.ask());
}
console.log("| page | loaded, KiB | Enter to first word, ms (median; least to most) |\n|---|---|---|");
for (const { name, bytes, times } of variants) {
  const [least, most] = [Math.min(...times), Math.max(...times)];
  console.log(`| ${name} | ${(bytes / 1024).toFixed(1)} | ${median(times).toFixed(1)} (${least.toFixed(1)} to ${most.toFixed(1)}) |`);
}
process.exit(0);

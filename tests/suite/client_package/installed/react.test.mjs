// The hook of the installed package with the real React and a real server.
import assert from "node:assert/strict";
import { test } from "node:test";

import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!doctype html><main></main>", { url: "http://localhost/" });
Object.defineProperty(globalThis, "navigator", { value: window.navigator, configurable: true });
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: false });

const { StrictMode, createElement } = await import("react");
const { createRoot } = await import("react-dom/client");
const { renderToString } = await import("react-dom/server");
const { useResumeChat } = await import("resume-chatbot-client/react");

const QUESTION = "What is the work experience?";

let chat;
function Component() {
  chat = useResumeChat({ server: process.env.CHAT_SERVER, storage: null });
  return createElement("ol", {}, chat.turns.map(({ id, question, answer, status }) => createElement("li", { key: id, title: status }, `${question} ${answer}`)));
}

async function until(condition) {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `${condition} was never true: ${JSON.stringify(chat)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("a server renders the component without connecting", () => {
  assert.equal(renderToString(createElement(Component)), "<ol></ol>");
  assert.equal(chat.state, "closed");
});

test("a component shows the answer while it streams, and disconnects when it is removed", async () => {
  const root = createRoot(document.querySelector("main"));
  root.render(createElement(StrictMode, {}, createElement(Component)));
  await until(() => chat?.state === "open");
  const before = chat.turns;
  chat.ask(QUESTION);
  const lengths = new Set();
  await until(() => {
    lengths.add(document.querySelector("li")?.textContent.length);
    return document.querySelector("li")?.title === "complete";
  });
  assert.ok(lengths.size > 3, "the answer did not stream");
  assert.notEqual(chat.turns, before);
  assert.equal(chat.busy, false);
  assert.ok(document.querySelector("li").textContent.startsWith(QUESTION));

  assert.equal(chat.rate(chat.turns[0], "up"), true);
  await until(() => chat.turns[0].rating === "up");
  chat.startOver();
  await until(() => chat.state === "open" && chat.turns.length === 0 && chat.conversations.length === 1);
  assert.equal(await chat.deleteAllConversations(), true);
  root.unmount();
  await until(() => document.querySelector("li") === null);
});

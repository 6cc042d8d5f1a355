// The handler for deep-chat, as printed in the README of the package, with a real server.
import assert from "node:assert/strict";
import { after, test } from "node:test";

import { close, connect } from "./readme-deep_chat.mjs";

after(close);

/** Calls the handler as deep-chat does. Resolves with the text that it would show. */
function ask(text, onText = () => {}) {
  return new Promise((resolve) => {
    const shown = { text: "", error: undefined, opened: false };
    const signals = {
      stopClicked: {},
      onOpen: () => (shown.opened = true),
      onClose: () => resolve(shown),
      onResponse: (response) => {
        shown.text = response.overwrite ? response.text : shown.text + (response.text ?? "");
        shown.error ??= response.error;
        onText(signals);
      },
    };
    connect.handler({ messages: [{ role: "user", text }] }, signals);
  });
}

test("an answer streams into the element", async () => {
  let parts = 0;
  const shown = await ask("What is the work experience?", () => (parts += 1));
  assert.equal(connect.stream, true);
  assert.equal(shown.opened, true);
  assert.equal(shown.error, undefined);
  assert.ok(parts > 3 && shown.text.length > 100);
});

test("the stop button ends the answer", async () => {
  const shown = await ask("What is the work experience?", (signals) => signals.stopClicked.listener());
  assert.equal(shown.error, undefined);
  assert.ok(shown.text.length > 0);
});

test("an error is shown", async () => {
  const shown = await ask("x".repeat(2_001));
  assert.match(shown.error, /2001 characters/);
});

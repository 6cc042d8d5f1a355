// Asks one question over each transport of the installed package.
import assert from "node:assert/strict";

import { ChatClient } from "resume-chatbot-client";

for (const transport of [undefined, "events", "request"]) {
  const client = new ChatClient({ server: process.env.CHAT_SERVER, storage: null, ...(transport && { transports: [transport] }) });
  let shown = "";
  const answer = await client.askAndWait("What is the work experience?", { onDelta: (text) => (shown += text) });
  assert.equal(answer.status, "complete");
  assert.equal(shown, answer.text);
  assert.equal(client.transport, transport ?? (globalThis.WebSocket ? "websocket" : "events"));
  client.close();
}
console.log("answered");

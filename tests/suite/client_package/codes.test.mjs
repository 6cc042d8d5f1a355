/** Runs each row of the tables of error codes and close codes in `docs/api_reference.md`. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, before, beforeEach, test } from "node:test";

import { ChatClient } from "../../../assets/client/client.js";
import { ScriptedServer, TURN, WebSocket, answerTo, event, friendly, memoryStorage, session, state } from "./scripted_server.mjs";

const QUESTION = "Which languages does Mara speak?";
const DOCUMENT = readFileSync(new URL("../../../docs/api_reference.md", import.meta.url), "utf8");

/** Returns the cells of the table below a heading. */
function rowsOf(heading) {
  const section = DOCUMENT.split(`\n## ${heading}\n`)[1].split("\n## ")[0];
  const lines = section.split("\n").filter((line) => line.startsWith("|"));
  return lines.slice(2).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

const ERRORS = rowsOf("Error codes").map(([code, , retry]) => ({ code: code.replaceAll("`", ""), retryable: retry === "yes" }));
const CLOSES = rowsOf("Close codes").map(([code, , , action]) => ({ code: Number(code), action }));
/** The client sends the question again by itself. */
const SENT_AGAIN = new Set(["TURN_IN_PROGRESS", "SHUTTING_DOWN", "SESSION_EXPIRED"]);

let server;
let client;

before(() => {
  assert.ok(ERRORS.length >= 17 && CLOSES.length >= 12, "the tables were not found");
});
beforeEach(async () => {
  server = await new ScriptedServer().start();
  client = new ChatClient({ server: server.url, storage: memoryStorage(), WebSocket });
});
afterEach(async () => {
  client.close();
  await server.kill();
});

for (const { code, retryable } of ERRORS) {
  test(`${code} rejects a question`, async () => {
    const ids = [];
    server.onFrame = (connection, frame) => {
      if (frame.type !== "question") return friendly(connection, frame);
      ids.push(frame.id);
      if (ids.length > 1) return friendly(connection, frame);
      connection.send({ type: "error", code, message: "No.", retryable, id: frame.id, request_id: "r" });
    };
    client.connect();
    await state(client, "open");
    const turn = client.ask(QUESTION);
    await event(client, "turn", ({ change }) => change === "done");
    if (SENT_AGAIN.has(code)) {
      assert.equal(turn.status, "complete");
      assert.deepEqual(ids, [turn.id, turn.id]);
      return;
    }
    assert.equal(turn.status, "failed");
    assert.equal(turn.error.code, code);
    assert.equal(turn.error.retryable, retryable);
    assert.equal(client.busy, false);
    assert.equal(client.state, "open");

    const again = client.askAgain(turn);
    await event(client, "turn", ({ change }) => change === "done");
    assert.equal(again.status, "complete");
    // An id that the server knows with another text can never succeed.
    assert.equal(ids[0] === ids[1], code !== "DUPLICATE_ID");
  });

  test(`${code} ends an answer`, async () => {
    const ids = [];
    server.onFrame = (connection, frame) => {
      if (frame.type !== "question" && frame.type !== "regenerate") return friendly(connection, frame);
      ids.push(frame.id);
      if (ids.length > 1) return answerTo(frame, undefined, `${TURN}2`).forEach(connection.send);
      const [accepted, delta, , done] = answerTo(frame);
      connection.send(accepted);
      connection.send(delta);
      connection.send({ type: "error", code, message: "No.", retryable, turn_id: done.turn_id, request_id: "r" });
      connection.send({ ...done, status: "failed" });
    };
    const asking = client.askAndWait(QUESTION, { maxWaitMs: 10_000 });
    if (retryable) {
      assert.equal((await asking).text, "Swedish and German.");
      assert.notEqual(ids[0], ids[1], "an accepted question needs a new id");
    } else {
      await assert.rejects(asking, { name: "ChatError", code, retryable: false, text: "Swedish " });
      assert.equal(ids.length, 1);
    }
  });

  test(`${code} rejects a session`, async () => {
    const greetings = [];
    server.onFrame = (connection, frame) => {
      if (frame.type !== "resume" && frame.type !== "start") return friendly(connection, frame);
      greetings.push(frame.type);
      if (greetings.length > 1) return friendly(connection, frame);
      connection.send({ type: "error", code, message: "No.", retryable, request_id: "r" });
    };
    const storage = memoryStorage();
    const key = "chat";
    const { session_id, resume_token, expires_at } = session();
    storage.setItem(key, JSON.stringify({ session_id, resume_token, expires_at }));
    client = new ChatClient({ server: server.url, storage, storageKey: key, WebSocket });
    client.connect();
    if (code === "SESSION_NOT_FOUND" || code === "SESSION_EXPIRED") {
      await state(client, "open");
      assert.deepEqual(greetings, ["resume", "start"]);
    } else {
      await event(client, "error", (frame) => frame.code === code);
      await state(client, retryable ? "waiting" : "closed");
    }
  });
}

for (const { code, action } of CLOSES) {
  test(`close code ${code}: ${action}`, async () => {
    client.connect();
    await state(client, "open");
    const closed = event(client, "state", () => client.state !== "open");
    for (const connection of server.connections) connection.close(code);
    await closed;
    assert.equal(client.closeCode, code);
    const delay = client.retryAt - Date.now();
    if (action === "–" || action.startsWith("fix") || action === "do not reconnect") {
      assert.equal(client.state, "closed");
    } else if (action === "reconnect when the visitor returns") {
      assert.equal(client.state, "away");
    } else if (action === "reconnect after half a minute") {
      assert.equal(client.state, "waiting");
      assert.ok(Math.abs(delay - 30_000) < 1_000, String(delay));
    } else if (action.startsWith("reconnect after a random delay of a few seconds")) {
      assert.equal(client.state, "waiting");
      assert.ok(delay <= 5_000, String(delay));
    } else {
      assert.equal(action, "reconnect and resume");
      assert.ok(delay <= 1_000, String(delay));
      const resumed = [];
      server.onFrame = (connection, frame) => {
        resumed.push(frame.type);
        friendly(connection, frame);
      };
      await state(client, "open");
      assert.deepEqual(resumed, ["resume"]);
    }
  });
}

test("close codes that end the connection also end a question", async () => {
  for (const { code } of CLOSES.filter(({ action }) => action.startsWith("fix") || action === "do not reconnect")) {
    server.onFrame = (connection, frame) => (frame.type === "question" ? connection.close(code) : friendly(connection, frame));
    const asker = new ChatClient({ server: server.url, storage: null, WebSocket });
    await assert.rejects(asker.askAndWait(QUESTION), { name: "ChatError", code: "CONNECTION_CLOSED" });
    asker.close();
  }
});

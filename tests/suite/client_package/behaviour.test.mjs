import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { ChatClient, ChatError } from "../../../assets/client/client.js";
import { ScriptedServer, TURN, WebSocket, answerTo, event, friendly, memoryStorage, session, state } from "./scripted_server.mjs";

const QUESTION = "Which languages does Mara speak?";
const HOURS = 9 * 3_600_000;

let server;
let client;
let storage;

beforeEach(async () => {
  server = await new ScriptedServer().start();
  storage = memoryStorage();
  client = newClient();
});
afterEach(async () => {
  client.close();
  await server.kill();
});

function newClient(options = {}) {
  client?.close();
  return new ChatClient({ server: server.url, storage, storageKey: "chat", WebSocket, ...options });
}

test("a spent budget ends the wait of a program with a time, and holds no timer", async () => {
  server.onFrame = (connection, frame) => {
    if (frame.type !== "question") return friendly(connection, frame);
    const error = { type: "error", code: "BUDGET_EXCEEDED", message: "Tomorrow.", retryable: true, retry_after_ms: HOURS };
    connection.send({ ...error, id: frame.id, request_id: "r" });
  };
  const begun = Date.now();
  await assert.rejects(client.askAndWait(QUESTION), (error) => {
    assert.ok(error instanceof ChatError);
    assert.equal(error.code, "BUDGET_EXCEEDED");
    assert.equal(error.retryable, true);
    assert.ok(Math.abs(error.retryAfterMs - HOURS) < 5_000, String(error.retryAfterMs));
    return true;
  });
  assert.ok(Date.now() - begun < 5_000);
  // A later loss of the connection is not related to the budget.
  for (const connection of server.connections) connection.drop();
  await state(client, "waiting");
  assert.ok(client.retryAt - Date.now() < 1_000);
});

test("a short limit is waited for", async () => {
  let questions = 0;
  server.onFrame = (connection, frame) => {
    if (frame.type !== "question" || (questions += 1) > 1) return friendly(connection, frame);
    const error = { type: "error", code: "RATE_LIMIT_EXCEEDED", message: "Wait.", retryable: true, retry_after_ms: 300 };
    connection.send({ ...error, id: frame.id, request_id: "r" });
  };
  const begun = Date.now();
  assert.equal((await client.askAndWait(QUESTION)).status, "complete");
  assert.ok(Date.now() - begun >= 290);
});

test("a server that cannot be reached ends the wait of a program", async () => {
  await server.kill();
  await assert.rejects(client.askAndWait(QUESTION, { maxWaitMs: 700 }), { code: "CONNECTION_CLOSED", retryable: true });
  assert.equal(client.busy, false);
  server = await new ScriptedServer().start();
});

test("closing the client ends the wait of a program", async () => {
  server.onFrame = (connection, frame) => frame.type === "question" || friendly(connection, frame);
  const asking = client.askAndWait(QUESTION);
  await event(client, "turn", ({ change }) => change === "added");
  client.close();
  await assert.rejects(asking, { code: "CONNECTION_CLOSED" });
});

test("an aborted signal asks nothing", async () => {
  await assert.rejects(client.askAndWait(QUESTION, { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(client.turns.length, 0);
});

test("two questions at the same time are an error", async () => {
  const first = client.askAndWait(QUESTION);
  await assert.rejects(client.askAndWait("And now?"), { code: "TURN_IN_PROGRESS", retryable: true });
  await first;
});

/** Breaks off the first answer, and knows only a part of it afterwards. */
function crash({ stored, status = "interrupted" }) {
  const asked = [];
  server.onFrame = (connection, frame) => {
    if (frame.type === "question") {
      asked.push(frame);
      const [accepted, first, second] = answerTo(frame);
      if (asked.length > 1) return answerTo(frame, undefined, `${TURN}2`).forEach(connection.send);
      for (const reply of [accepted, first, second]) connection.send(reply);
      setTimeout(() => connection.drop(), 50);
    } else if (frame.type === "regenerate") {
      asked.push(frame);
      for (const reply of answerTo(frame, undefined, `${TURN}2`)) connection.send(reply);
    } else if (frame.type === "resume" && asked.length > 0) {
      const common = { turn_id: `${TURN}1`, tokens: 1, created_at: "", status };
      const history = [
        { ...common, role: "user", content: asked[0].question },
        { ...common, role: "assistant", content: stored, mode: "live" },
      ];
      connection.send(session({ resumed: true, recovered: false, ...(stored !== null && { history }) }));
    } else friendly(connection, frame);
  };
  return asked;
}

test("words that the server lost in a crash stay in the answer", async () => {
  crash({ stored: "Swedish " });
  client.connect();
  await state(client, "open");
  const losses = [];
  client.on("lost", (loss) => losses.push(loss));
  const interrupted = event(client, "interrupted");
  client.ask(QUESTION);
  const { turn } = await interrupted;
  assert.equal(client.turns[0], turn);
  assert.equal(turn.answer, "Swedish and German.");
  assert.equal(turn.status, "interrupted");
  assert.equal(turn.lostChars, "and German.".length);
  assert.deepEqual(losses, [{ turn, lostChars: 11 }]);
  assert.ok(client.canRegenerate(turn));

  // The next connection does not report it again.
  for (const connection of server.connections) connection.drop();
  await state(client, "waiting");
  await state(client, "open");
  assert.equal(client.turns[0].answer, "Swedish and German.");
  assert.equal(losses.length, 1);

  client.regenerate();
  const done = await event(client, "turn", ({ change }) => change === "done");
  assert.equal(done.turn.status, "complete");
  assert.equal(client.turns.length, 1);
});

test("a question that the server lost in a crash stays with its answer and can be asked again", async () => {
  const asked = crash({ stored: null });
  client.connect();
  await state(client, "open");
  const lost = event(client, "lost");
  client.ask(QUESTION);
  const { turn } = await lost;
  assert.deepEqual([turn.answer, turn.status, turn.turnId], ["Swedish and German.", "interrupted", null]);
  assert.equal(client.busy, false);
  client.askAgain(turn);
  await event(client, "turn", ({ change }) => change === "done");
  assert.equal(asked[0].id, asked[1].id);
  assert.equal(client.turns.length, 1);
});

test("an answer that another window shortened is not restored", async () => {
  crash({ stored: "Swedish ", status: "cancelled" });
  client.connect();
  await state(client, "open");
  client.on("lost", () => assert.fail("nothing was lost"));
  client.ask(QUESTION);
  await event(client, "turn", ({ change }) => change === "delta");
  await state(client, "waiting");
  await state(client, "open");
  assert.equal(client.turns[0].answer, "Swedish ");
});

test("an interrupted answer is requested again if the option says so", async () => {
  client = newClient({ regenerateInterrupted: true });
  const asked = crash({ stored: "Swedish " });
  client.ask(QUESTION);
  const done = await event(client, "turn", ({ change, turn }) => change === "done" && turn.status === "complete");
  assert.equal(done.turn.answer, "Swedish and German.");
  assert.deepEqual(asked.map(({ type }) => type), ["question", "regenerate"]);
});

test("answers that are interrupted again and again are not requested for ever", async () => {
  client = newClient({ regenerateInterrupted: true });
  let turns = 0;
  server.onFrame = (connection, frame) => {
    if (frame.type !== "question" && frame.type !== "regenerate") return friendly(connection, frame);
    turns += 1;
    const [accepted, delta, , done] = answerTo(frame, undefined, `${TURN}${turns}`);
    for (const reply of [accepted, delta, { ...done, status: "interrupted" }]) connection.send(reply);
  };
  await assert.rejects(client.askAndWait(QUESTION), { code: "INTERRUPTED", retryable: true, text: "Swedish " });
  // The first one, five of the program and two of the client.
  assert.ok(turns <= 8, String(turns));
});

test("a program gets the whole answer after a crash, and learns that it starts again", async () => {
  crash({ stored: "Swedish " });
  const parts = [];
  const answer = await client.askAndWait(QUESTION, { onDelta: (text) => parts.push(text), onReset: () => parts.push("|") });
  assert.equal(answer.text, "Swedish and German.");
  assert.equal(parts.join(""), "Swedish and German.");

  client.startOver();
  crash({ stored: "Swedish " });
  await assert.rejects(client.askAndWait(QUESTION, { regenerate: false }), { code: "INTERRUPTED" });
});

/** Starts a session for each `start`, and resumes each of them. */
function manyConversations() {
  let count = 0;
  const forgotten = [];
  server.onFrame = (connection, frame) => {
    if (frame.type === "start") {
      count += 1;
      connection.session = `01a22258-cb18-765c-b354-fbd87600000${count}`;
      connection.send(session({ session_id: connection.session }));
    } else if (frame.type === "resume") {
      connection.session = frame.session_id;
      const common = { turn_id: `${TURN}1`, tokens: 1, created_at: "", status: "complete" };
      const history = [
        { ...common, role: "user", content: "A question?" },
        { ...common, role: "assistant", content: "An answer.", mode: "live" },
      ];
      connection.send(session({ session_id: frame.session_id, resumed: true, history }));
    } else if (frame.type === "forget") {
      if (server.forgets === false) return connection.send({ type: "error", code: "STORAGE_UNAVAILABLE", message: "No.", retryable: true });
      forgotten.push(connection.session);
      connection.send({ type: "forgotten" });
      connection.close(1000);
    } else friendly(connection, frame);
  };
  return forgotten;
}

test("earlier conversations are listed, opened and deleted", async () => {
  const forgotten = manyConversations();
  for (const question of ["First?", "Second?", "Third?"]) {
    if (client.session) client.startOver();
    await client.askAndWait(question);
  }
  assert.deepEqual(client.conversations.map(({ title }) => title), ["Second?", "First?"]);
  const [second, first] = client.conversations;
  const third = client.session.session_id;
  assert.ok(Date.now() - first.at < 60_000);

  // A reload keeps the list.
  client = newClient();
  assert.equal(client.conversations.length, 2);
  client.connect();
  await state(client, "open");
  assert.equal(client.session.session_id, third);

  assert.equal(client.openConversation(first.sessionId), true);
  await state(client, "open");
  assert.equal(client.session.session_id, first.sessionId);
  assert.deepEqual(client.conversations.map(({ sessionId }) => sessionId), [third, second.sessionId]);
  assert.equal(client.openConversation("unknown"), false);

  server.forgets = false;
  assert.equal(await client.deleteConversation(third), false);
  assert.equal(client.conversations.length, 2);

  server.forgets = true;
  assert.equal(await client.deleteConversation(third), true);
  assert.deepEqual(client.conversations.map(({ sessionId }) => sessionId), [second.sessionId]);
  assert.equal(client.state, "open");
  assert.equal(client.session.session_id, first.sessionId);

  assert.equal(await client.deleteAllConversations(), true);
  assert.deepEqual(forgotten, [third, second.sessionId, first.sessionId]);
  assert.deepEqual(client.conversations, []);
  await state(client, "open");
  assert.ok(![third, second.sessionId, first.sessionId].includes(client.session.session_id));
});

test("conversations are deleted over every transport", async () => {
  for (const transport of ["websocket", "events", "request"]) {
    storage = memoryStorage();
    client = newClient({ transports: [transport] });
    const forgotten = manyConversations();
    await client.askAndWait("First?");
    client.startOver();
    await client.askAndWait("Second?");
    const [{ sessionId }] = client.conversations;
    assert.equal(await client.deleteConversation(sessionId), true, transport);
    assert.deepEqual(forgotten, [sessionId], transport);
  }
});

test("a deletion that cannot reach the server keeps the conversation", async () => {
  manyConversations();
  await client.askAndWait("First?");
  client.startOver();
  await state(client, "open");
  const [{ sessionId }] = client.conversations;
  await server.kill();
  assert.equal(await client.deleteConversation(sessionId), false);
  assert.equal(await client.deleteAllConversations(), false);
  assert.equal(client.conversations.length, 1);
  server = await new ScriptedServer().start();
});

test("the list keeps twenty conversations, and drops the expired ones", () => {
  const entry = (index, expires) => ({
    session_id: `id-${index}`,
    resume_token: "t",
    expires_at: new Date(Date.now() + expires).toISOString(),
    title: `${index}`,
    at: index,
  });
  const entries = Array.from({ length: 20 }, (_, index) => entry(index, index < 3 ? -1_000 : 60_000));
  storage.setItem("chat:conversations", JSON.stringify(entries));
  assert.equal(client.conversations.length, 17);
});

test("a model that thinks is reported once, until its first word", async () => {
  server.onFrame = (connection, frame) => {
    if (frame.type !== "question") return friendly(connection, frame);
    const [accepted, ...rest] = answerTo(frame);
    const thinking = { type: "thinking", turn_id: accepted.turn_id };
    // Another attempt thinks again.
    for (const reply of [accepted, thinking, thinking, ...rest]) connection.send(reply);
  };
  const seen = [];
  client.on("turn", ({ turn, change }) => seen.push([change, turn.thinking]));
  client.connect();
  await state(client, "open");
  client.ask(QUESTION);
  await event(client, "turn", ({ change }) => change === "done");
  assert.deepEqual(seen, [
    ["added", false],
    ["accepted", false],
    ["thinking", true],
    ["delta", false],
    ["delta", false],
    ["done", false],
  ]);
});

test("a frame of an unknown type changes nothing", async () => {
  server.onFrame = (connection, frame) => {
    if (frame.type === "question") connection.send({ type: "later", turn_id: `${TURN}1` });
    friendly(connection, frame);
  };
  client.connect();
  await state(client, "open");
  const answer = await client.askAndWait(QUESTION);
  assert.equal(answer.text, "Swedish and German.");
});

test("a rating carries a comment", async () => {
  const feedback = [];
  server.onFrame = (connection, frame) => {
    if (frame.type !== "feedback") return friendly(connection, frame);
    feedback.push(frame);
    connection.send({ type: "feedback_saved", turn_id: frame.turn_id, rating: frame.rating, id: frame.id });
    connection.send({ type: "notice", code: "DRAINING", message: "Soon." });
  };
  await client.askAndWait(QUESTION);
  const saved = event(client, "notice");
  assert.equal(client.rate(client.turns[0], "down", "And which dialects?"), true);
  await saved;
  assert.equal(feedback[0].comment, "And which dialects?");
  assert.equal(feedback[0].rating, "down");
});

test("what was sent just before a conversation is left arrives over every transport", async () => {
  for (const transport of ["websocket", "events", "request"]) {
    storage = memoryStorage();
    client = newClient({ transports: [transport] });
    const received = [];
    let resolve;
    const arrived = new Promise((done) => (resolve = done));
    server.onFrame = (connection, frame) => {
      if (frame.type === "feedback" || frame.type === "cancel") received.push(frame.type);
      if (received.length === 2) resolve();
      if (frame.type === "question" && frame.question === "Stopped?") {
        answerTo(frame, undefined, `${TURN}2`).slice(0, 2).forEach(connection.send);
        connection.stays = true;
      } else friendly(connection, frame);
    };
    client.connect();
    await state(client, "open");
    const turn = client.ask("Stopped?");
    await event(client, "turn", ({ change }) => change === "delta");
    assert.ok(client.rate(turn, "up"), transport);
    client.startOver();
    await arrived;
    assert.deepEqual(received.sort(), ["cancel", "feedback"], transport);
    await state(client, "open");
    assert.equal(client.turns.length, 0);
  }
});

test("the number of questions left follows the answers", async () => {
  await client.askAndWait(QUESTION);
  assert.equal(client.session.limits.remaining, 19);
});

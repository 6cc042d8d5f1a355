// The transport of the installed package with the real AI SDK and a real server.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Chat } from "@ai-sdk/react";
import { ChatClient } from "resume-chatbot-client";
import { ResumeChatTransport, messagesOf } from "resume-chatbot-client/ai-sdk";

const QUESTION = "What is the work experience?";

let storage;
let client;
let chat;

function memoryStorage() {
  const map = new Map();
  return { getItem: (key) => map.get(key) ?? null, setItem: (key, value) => map.set(key, value), removeItem: (key) => map.delete(key) };
}

beforeEach(() => {
  storage = memoryStorage();
  open();
});
afterEach(() => client.close());

function open(messages) {
  client = new ChatClient({ server: process.env.CHAT_SERVER, storage, storageKey: "chat" });
  chat = new Chat({ transport: new ResumeChatTransport(client), messages });
}

const texts = () => chat.messages.map(({ role, parts }) => [role, parts.map(({ text }) => text ?? "").join("")]);

/** Calls `action` as soon as the answer has begun. */
function afterFirstWords(action) {
  return new Promise((resolve) => {
    const stop = client.on("turn", ({ turn, change }) => {
      if (change !== "delta" || turn.answer.length < 10) return;
      stop();
      resolve(action());
    });
  });
}

test("an answer streams into the message", async () => {
  const lengths = new Set();
  const stop = client.on("turn", () => lengths.add(chat.lastMessage?.parts.at(-1)?.text?.length ?? 0));
  await chat.sendMessage({ text: QUESTION });
  stop();
  assert.equal(chat.status, "ready");
  assert.deepEqual(texts(), [["user", QUESTION], ["assistant", client.turns[0].answer]]);
  assert.ok(client.turns[0].answer.length > 100);
  assert.ok(lengths.size > 3, "the answer did not stream");
  assert.equal(chat.lastMessage.metadata.mode, "excerpts");
  assert.equal(chat.lastMessage.metadata.turnId, client.turns[0].turnId);
});

test("stopping cancels the answer on the server and keeps the words", async () => {
  const stop = client.on("turn", () => {
    if (texts()[1]?.[1].length > 10) chat.stop();
  });
  await chat.sendMessage({ text: QUESTION });
  stop();
  assert.equal(chat.status, "ready");
  const shown = texts()[1][1];
  assert.ok(shown.length > 10 && client.turns[0].answer.startsWith(shown), shown);

  // Another question can follow at once.
  await chat.sendMessage({ text: "Which projects are there?" });
  assert.equal(chat.status, "ready");
  assert.deepEqual(client.turns.map(({ status }) => status), ["cancelled", "complete"]);
});

test("regenerating replaces the answer", async () => {
  await chat.sendMessage({ text: QUESTION });
  const first = client.turns[0].turnId;
  await chat.regenerate();
  assert.equal(chat.status, "ready");
  assert.equal(client.turns.length, 1);
  assert.notEqual(client.turns[0].turnId, first);
  assert.deepEqual(texts(), [["user", QUESTION], ["assistant", client.turns[0].answer]]);
});

test("an error of the server is the error of the chat", async () => {
  await chat.sendMessage({ text: "x".repeat(2_001) });
  assert.equal(chat.status, "error");
  assert.equal(chat.error.name, "ChatError");
  assert.equal(chat.error.code, "MESSAGE_TOO_LONG");
  assert.equal(chat.error.retryable, false);
});

test("after a reload, the conversation is shown and the stream resumes", async () => {
  await chat.sendMessage({ text: QUESTION });
  chat.sendMessage({ text: "Which projects are there?" });
  await afterFirstWords(() => client.close());

  open();
  client.connect();
  await new Promise((resolve) => client.on("session", resolve));
  chat = new Chat({ transport: new ResumeChatTransport(client), messages: messagesOf(client) });
  assert.equal(chat.messages.length, 3);
  await chat.resumeStream();
  assert.equal(chat.status, "ready");
  assert.equal(chat.messages.length, 4);
  assert.equal(texts()[3][1], client.turns[1].answer);
  assert.equal(client.turns[1].status, "complete");

  await chat.resumeStream();
  assert.equal(chat.messages.length, 4, "nothing is left to resume");
});

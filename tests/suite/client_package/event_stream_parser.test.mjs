import assert from "node:assert/strict";
import { test } from "node:test";

import { EventStreamParser } from "../../../assets/client/event-stream-parser.js";

function parse(chunks) {
  const events = [];
  const parser = new EventStreamParser((event) => events.push(event));
  for (const chunk of chunks) parser.push(chunk);
  return events;
}

const STREAM = [
  ": a comment\r\n\r\n",
  "event: connected\ndata: {\"a\":1}\n\n",
  "id: t:1\rdata: one\rdata:  two\rdata\r\r",
  "retry: 5\nunknown: field\nid: bad\0id\ndata:three\n\n",
  "event: empty\n\n",
  "data: four\n\n",
  "data: never finished\n",
].join("");

const EVENTS = [
  { event: "connected", data: "{\"a\":1}", id: "" },
  { event: "message", data: "one\n two\n", id: "t:1" },
  { event: "message", data: "three", id: "t:1" },
  { event: "message", data: "four", id: "t:1" },
];

test("a stream is parsed the same however it is divided", () => {
  assert.deepEqual(parse([STREAM]), EVENTS);
  assert.deepEqual(parse([...STREAM]), EVENTS);
  for (let at = 0; at <= STREAM.length; at += 1) {
    assert.deepEqual(parse([STREAM.slice(0, at), "", STREAM.slice(at)]), EVENTS, `divided at ${at}`);
    assert.deepEqual(parse([STREAM.slice(0, at), STREAM.slice(at, at + 1), STREAM.slice(at + 1)]), EVENTS);
  }
});

test("an event is complete at a carriage return, before a line feed may follow", () => {
  assert.equal(parse(["data: one\r\n\r"]).length, 1);
  assert.equal(parse(["data: one\r\n\r", "\n"]).length, 1);
});

test("an endless event is an error", () => {
  const parser = new EventStreamParser(() => {});
  parser.push("data: ");
  assert.throws(() => {
    for (let count = 0; count < 100; count += 1) parser.push("x".repeat(64 * 1024));
  }, RangeError);
  const lines = new EventStreamParser(() => {});
  assert.throws(() => {
    for (let count = 0; count < 100; count += 1) lines.push(`data: ${"x".repeat(64 * 1024)}\n`);
  }, RangeError);
});

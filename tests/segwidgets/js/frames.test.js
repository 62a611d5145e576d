// Decoding without a browser: a bitmap is an object that knows what it was made from and whether it was closed.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { FrameStore } from "../../../segwidgets/static/frames.js";

const content = (...bytes) => Uint8Array.from(bytes).buffer;
let decoded;

beforeEach(() => {
  decoded = [];
  globalThis.createImageBitmap = async (blob) => {
    const bitmap = { bytes: [...new Uint8Array(await blob.arrayBuffer())], closed: false, close() { this.closed = true; } };
    decoded.push(bitmap);
    return bitmap;
  };
});

test("each frame is decoded once, and then drawn at once", async () => {
  const [a, b] = [content(1), content(2)];
  const store = new FrameStore([a, b, a], "image/png");
  await store.ready;
  assert.deepEqual(decoded.map((each) => each.bytes), [[1], [2]]);
  const painted = [];
  for (const index of [0, 1, 2, 0]) store.use(index, (bitmap) => painted.push(bitmap.bytes[0]));
  assert.deepEqual(painted, [1, 2, 1, 1]); // without waiting
  assert.equal(decoded.length, 2);
});

test("a frame that is asked for before its turn comes first and only once", async () => {
  const store = new FrameStore([content(1), content(2), content(3)], "image/png");
  const painted = new Promise((resolve) => { store.use(2, (bitmap) => resolve(bitmap.bytes[0])); });
  assert.equal(await painted, 3);
  await store.ready;
  assert.deepEqual(decoded.map((each) => each.bytes[0]).toSorted(), [1, 2, 3]);
});

test("frames that a new film shares with the old are taken over, the others closed", async () => {
  const old = new FrameStore([content(1, 1), content(2, 2)], "image/png");
  await old.ready;
  const next = new FrameStore([content(1, 1), content(3, 3)], "image/png", old);
  await next.ready;
  old.dispose();
  assert.deepEqual(decoded.map(({ bytes, closed }) => [bytes[0], closed]), [[1, false], [2, true], [3, false]]);
  next.use(0, (bitmap) => assert.equal(bitmap, decoded[0]));
  next.dispose();
  assert.ok(decoded.every((each) => each.closed));
});

test("frames of another type are not taken over, nor those that differ in their last byte", async () => {
  const old = new FrameStore([content(1, 1), content(2, 2)], "image/png");
  await old.ready;
  await new FrameStore([content(1, 1)], "image/jpeg", old).ready;
  await new FrameStore([content(2, 3)], "image/png", old).ready;
  assert.equal(decoded.length, 4);
});

test("what is decoded after the view has gone is closed and not drawn", async () => {
  const store = new FrameStore([content(1)], "image/png");
  store.use(0, () => assert.fail("drawn"));
  store.dispose();
  await store.ready;
  await new Promise((resolve) => { setTimeout(resolve, 5); });
  assert.ok(decoded.every((each) => each.closed));
});

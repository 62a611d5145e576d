import assert from "node:assert/strict";
import { test } from "node:test";

import { packed, tooLarge } from "../../../segwidgets/static/uploading.js";

const bytes = new Uint8Array([1, 2, 3]).buffer;
const cat = { key: "view:0", name: "cat.jpg" };
const files = new Map([[cat.key, bytes]]);

test("the bytes of a picture go with its key until the kernel knows it", () => {
  const [first, buffers] = packed({ level: 3, picture: cat }, { level: 2, picture: null }, files);
  assert.deepEqual(first, { level: 3, picture: { ...cat, buffer: 0 } });
  assert.equal(buffers[0], bytes);
  assert.deepEqual(packed({ level: 4, picture: cat }, { level: 3, picture: cat }, files), [{ level: 4, picture: cat }, []]);
});

test("each of two pictures has its own bytes, and one whose bytes are gone only its key", () => {
  const dog = { key: "view:1", name: "dog.jpg" };
  const [sent, buffers] = packed({ one: cat, other: dog, third: { key: "kernel:7", name: "" } }, {}, new Map([...files, [dog.key, "dog's"]]));
  assert.deepEqual(sent, { one: { ...cat, buffer: 0 }, other: { ...dog, buffer: 1 }, third: { key: "kernel:7", name: "" } });
  assert.deepEqual(buffers, [bytes, "dog's"]);
});

test("what is no picture is sent as it is", () => {
  const values = { box: [1, 2, 3, 4], picture: null, how: "negative" };
  assert.deepEqual(packed(values, values, files), [values, []]);
});

test("a file may have so many bytes and no more", () => {
  assert.equal(tooLarge({ name: "cat.jpg", size: 8e6 }, 8e6), "");
  assert.equal(tooLarge({ name: "cat.jpg", size: 12_345_678 }, 8e6), "cat.jpg has 12.3 MB; at most 8 MB can be sent: make the picture smaller");
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { boxesOfCells, fitPanels, heightOf } from "../../../segwidgets/static/layout.js";

const gaps = Array(10).fill(76);
const room = { width: 900, largest: 46, readable: 30, gaps };
const square = (side) => ({ width: side, height: side });

/** Pixels that a row takes: its panels, and an arrow before each but the first of all. */
function used(sizes, { unit, rows }) {
  return rows.map((row) => row.reduce((sum, i) => sum + Math.max(sizes[i].width * unit, sizes[i].name ?? 0) + (i > 0 ? 76 : 0), 0));
}

test("small panels stand in one row, no larger than they may be", () => {
  assert.deepEqual(fitPanels([square(4), square(2)], room), { unit: 46, rows: [[0, 1]] });
});

test("one row shrinks to the width it has", () => {
  const fitted = fitPanels([square(9), square(9), square(9)], { ...room, readable: 18 });
  assert.deepEqual(fitted.rows, [[0, 1, 2]]);
  assert.ok(Math.abs(fitted.unit - (900 - 2 * 76) / 27) < 1e-9);
});

test("panels that would fit into one row stand in more if they are to", () => {
  const small = Array(5).fill(square(2));
  assert.equal(fitPanels(small, room).rows.length, 1);
  assert.deepEqual(fitPanels(small, { ...room, fewest: 3 }).rows, [[0], [1, 2], [3, 4]]);
  assert.deepEqual(fitPanels(small.slice(0, 2), { ...room, fewest: 3 }).rows, [[0], [1]]);
});

test("where one row would be too small to read there are two, in the same order", () => {
  const { unit, rows } = fitPanels([square(9), square(9), square(9), square(9)], room);
  assert.deepEqual(rows, [[0, 1], [2, 3]]);
  assert.ok(unit >= 30);
});

test("on a whole screen, too, a little larger is not worth another row", () => {
  const sizes = Array(3).fill({ width: 18, height: 12 });
  const screen = { width: 1316, height: 616, largest: 200, readable: 18, gaps: [146, 146], titles: 70 };
  assert.ok((616 - 2 * 70) / 24 > (1316 - 2 * 146) / 54); // in two rows they would be larger
  assert.deepEqual(fitPanels(sizes, screen).rows, [[0, 1, 2]]);
  assert.equal(fitPanels(sizes, { ...screen, width: 900 }).rows.length, 2); // much larger
});

test("no row is wider than the room, whatever the panels are", () => {
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let trial = 0; trial < 500; trial++) {
    const sizes = Array.from({ length: 1 + Math.floor(random() * 5) }, () => ({ width: 1 + random() * 9, height: 1 + random() * 9 }));
    const width = 300 + random() * 1500;
    const fitted = fitPanels(sizes, { ...room, width });
    assert.deepEqual(fitted.rows.flat(), sizes.map((_, i) => i));
    if (fitted.unit > 6) for (const row of used(sizes, fitted)) assert.ok(row <= width + 1e-6, `${row} in ${width}`);
  }
});

test("a panel is as wide as its name, and the others make room", () => {
  const sizes = [square(9), { ...square(2), name: 300 }, square(9)];
  const fitted = fitPanels(sizes, { ...room, readable: 18 });
  assert.deepEqual(fitted.rows, [[0, 1, 2]]);
  assert.ok(Math.abs(fitted.unit - (900 - 2 * 76 - 300) / 18) < 1e-9);
  assert.ok(Math.abs(used(sizes, fitted)[0] - 900) < 1e-6);
});

test("a name that fits changes nothing", () => {
  const plain = fitPanels([square(9), square(9)], room);
  assert.deepEqual(fitPanels([{ ...square(9), name: 100 }, square(9)], room), plain);
});

test("no row is wider than the room, whatever the names are", () => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let trial = 0; trial < 500; trial++) {
    const sizes = Array.from({ length: 1 + Math.floor(random() * 4) }, () => ({ width: 1 + random() * 9, height: 1, name: random() * 220 }));
    const width = 300 + random() * 1500;
    const fitted = fitPanels(sizes, { ...room, width });
    if (fitted.unit > 6) for (const row of used(sizes, fitted)) assert.ok(row <= width + 1e-6, `${row} in ${width}`);
  }
});

test("names that do not fit beside each other stand in two rows", () => {
  const sizes = [{ ...square(4), name: 500 }, { ...square(4), name: 500 }];
  assert.deepEqual(fitPanels(sizes, room).rows, [[0], [1]]);
});

test("a bounded height chooses the rows that give the largest cells", () => {
  const wide = fitPanels([square(4), square(4)], { ...room, width: 2000, height: 500, largest: 130 });
  assert.deepEqual(wide.rows, [[0, 1]]);
  const tall = fitPanels([square(4), square(4)], { ...room, width: 500, height: 2000, largest: 130 });
  assert.deepEqual(tall.rows, [[0], [1]]);
  for (const { unit, rows } of [wide, tall]) assert.ok(rows.length * (4 * unit + 44) <= 2000);
});

test("a cell never vanishes", () => {
  assert.equal(fitPanels([square(400)], { ...room, width: 100 }).unit, 6);
});

test("cells that fill a rectangle are one box", () => {
  assert.deepEqual(boxesOfCells([0, 1, 4, 5], 4), [[0, 0, 2, 2]]);
  assert.deepEqual(boxesOfCells([5, 0, 4, 1], 4), [[0, 0, 2, 2]]);
  assert.deepEqual(boxesOfCells([6], 4), [[2, 1, 3, 2]]);
  assert.deepEqual(boxesOfCells([2, 3, 4, 5], 6), [[2, 0, 6, 1]]);
});

test("other cells have a box each", () => {
  assert.deepEqual(boxesOfCells([0, 5], 4), [[0, 0, 1, 1], [1, 1, 2, 2]]);
  assert.deepEqual(boxesOfCells([0, 1, 4], 4).length, 3);
  assert.deepEqual(boxesOfCells([3, 4], 4).length, 2); // neighbours in memory, in different rows
  assert.deepEqual(boxesOfCells([], 4), []);
});

test("a row is as high as the highest of its panels", () => {
  assert.equal(heightOf([[0, 1], [2]], [square(2), square(5), square(3)]), 8);
});

// What pytest hands over, as JSON in the file that GIVEN names.

import { readFileSync } from "node:fs";

/** @returns {{pairs: [number, string][], traces: object[]}} */
export function given() {
  return JSON.parse(readFileSync(process.env.GIVEN, "utf8"));
}

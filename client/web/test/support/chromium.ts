/** Chromium for tests: where it is, and how it is started. */

import { existsSync } from "node:fs";
import type { Browser } from "playwright-core";
import { chromium } from "playwright-core";

const CHROMIUM = process.env["CHROMIUM_BIN"] ?? "/usr/bin/chromium";

export const isChromiumHere = existsSync(CHROMIUM);

/** A machine without a way to the outside refuses what Chromium would fetch in the background, many at a time. */
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}

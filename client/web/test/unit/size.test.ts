/** What a page loads for the SDK: code costs everybody who waits for it. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";

/** Bytes, gzipped, of each module: the one that every program loads, and those that are loaded when they are asked for. */
const BYTES_MAX: Record<string, number> = {
  index: 12_000,
  calls: 900,
  pump: 950,
  webtransport: 5_800,
  worker: 1_900,
};

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const built = mkdtempSync(join(tmpdir(), "selvedge-size-"));

beforeAll(() => {
  execFileSync(process.execPath, ["build.mjs", built], { cwd: ROOT, stdio: "pipe" });
});

afterAll(() => {
  rmSync(built, { recursive: true, force: true });
});

test("the modules are small, and import each other only when they are asked for", () => {
  const modules = readdirSync(built).filter((name) => name.endsWith(".js"));
  const names = modules.map((name) => name.slice(0, -".js".length));
  expect(names.sort()).toEqual(Object.keys(BYTES_MAX).sort());
  for (const name of names) {
    const code = readFileSync(join(built, `${name}.js`));
    expect(gzipSync(code, { level: 9 }).length, name).toBeLessThan(BYTES_MAX[name] ?? 0);
    expect(code.toString(), name).not.toMatch(/^import\b(?!\()|\bfrom\s*["'`]\./);
  }
});

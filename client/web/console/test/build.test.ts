// @vitest-environment node
/** What is committed is what the sources make, small, and without anything that the page's security policy forbids. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const COMMITTED = join(ROOT, "dist");

/** All of the console, compressed. */
const GZIPPED_MAX = 120_000;

const built = mkdtempSync(join(tmpdir(), "selvedge-console-"));

beforeAll(() => {
  // A process of its own: tests are built otherwise than what is for use.
  const vite = join(ROOT, "../node_modules/vite/bin/vite.js");
  const environment = { ...process.env, NODE_ENV: "production" };
  const options = { cwd: ROOT, env: environment, stdio: "pipe" } as const;
  execFileSync(process.execPath, [vite, "build", "--outDir", built, "--emptyOutDir"], options);
}, 120_000);

afterAll(() => {
  rmSync(built, { recursive: true, force: true });
});

/** The names and contents of all files of a folder. */
function files(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  const found = names.filter((it) => it.isFile()).map((it) => join(it.parentPath, it.name));
  return new Map(
    found.sort().map((path) => [path.slice(folder.length + 1), readFileSync(path, "utf8")]),
  );
}

describe("the committed build", () => {
  it("is what the sources make: else run `npm run build` and commit `dist`", () => {
    const [expected, committed] = [files(built), files(COMMITTED)];
    expect([...committed.keys()]).toEqual([...expected.keys()]);
    for (const [name, text] of expected) expect(committed.get(name) === text, name).toBe(true);
  });

  it("is small", () => {
    const sizes = [...files(built).values()].map((text) => gzipSync(text, { level: 9 }).length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(GZIPPED_MAX);
  });

  it("has nothing inline, and nothing of another host", () => {
    const page = files(built).get("index.html") ?? "";
    expect(page).not.toMatch(/<style|style=|\son[a-z]+=/);
    for (const [script] of page.matchAll(/<script[^>]*>/g)) expect(script).toMatch(/src="\.\//);
    expect(page).not.toMatch(/(?:src|href)="(?!\.\/)/);
    const code = [...files(built)].filter(([name]) => name.endsWith(".js")).map(([, text]) => text);
    // Names of XML are no hosts; the example of a form is the user's to send.
    const hosts = code.join("").match(/https?:\/\/[\w.-]+/g) ?? [];
    expect(new Set(hosts)).toEqual(new Set(hosts.filter((it) => /w3\.org|example\.org/.test(it))));
  });
});

/** What a page loads for the SDK: code costs everybody who waits for it. */

import { build } from "esbuild";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

/** Bytes, gzipped, of the module that every program loads; the worker is another one, loaded when it is asked for. */
const BYTES_MAX = 13_700;
const WORKER_BYTES_MAX = 1_700;

test("the modules are small", async () => {
  const { outputFiles } = await build({
    entryPoints: ["src/index.ts"],
    outdir: "dist",
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: ["es2022"],
    write: false,
  });
  const sizes = outputFiles.map(({ path, contents }) => ({
    isMain: path.endsWith("index.js"),
    bytes: gzipSync(contents, { level: 9 }).length,
  }));
  expect(sizes).toHaveLength(2);
  for (const { isMain, bytes } of sizes) {
    expect(bytes).toBeLessThan(isMain ? BYTES_MAX : WORKER_BYTES_MAX);
  }
});

/**
 * A real node of its own for a test, on free ports of this machine: started, killed, and started again where it was.
 * `SELVEDGE_BIN` names the binary. With `SELVEDGE_CONSOLE_DIST` set, the console is served from `dist` in front of the
 * node, so that a change of the page needs no new binary.
 */

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { preview } from "vite";
import type { PreviewServer } from "vite";

export const BINARY = process.env["SELVEDGE_BIN"];

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const START_MS_MAX = 60_000;

/** What a node writes when it is ready. */
interface Ready {
  quic: string;
  /** None where it stands alone. */
  peer: string | null;
  http: string;
  token: string;
}

export class Node {
  readonly #data = mkdtempSync(join(tmpdir(), "selvedge-console-e2e-"));
  #child: ChildProcess | undefined;
  #ready: Ready | undefined;
  #front: PreviewServer | undefined;

  static async start(): Promise<Node> {
    const node = new Node();
    await node.again();
    await node.#serve();
    return node;
  }

  /** Where the console is. */
  get url(): string {
    const front = this.#front?.resolvedUrls?.local[0];
    return front ?? this.own;
  }

  /** Where the node itself is. */
  get own(): string {
    return `http://${this.#known().http}/`;
  }

  get token(): string {
    return this.#known().token;
  }

  /** Starts it where it was before, unless it runs. */
  async again(): Promise<void> {
    if (this.#isRunning) return;
    if (BINARY === undefined) throw new Error("SELVEDGE_BIN names no binary");
    const file = join(this.#data, "ready.json");
    rmSync(file, { force: true });
    const { quic, peer, http } = this.#ready ?? { quic: FREE, peer: FREE, http: FREE };
    const places = ["--quic", quic, "--peer", peer ?? FREE, "--http", http];
    const files = ["--data-dir", join(this.#data, "data"), "--ready-file", file];
    const child = spawn(BINARY, ["dev", ...files, ...places, "--output", "json"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-SAID_MAX);
    });
    const until = Date.now() + START_MS_MAX;
    while (!existsSync(file)) {
      if (child.exitCode !== null || Date.now() > until) {
        throw new Error(`the node is not ready: ${said}`);
      }
      await pause(50);
    }
    this.#ready = JSON.parse(readFileSync(file, "utf8")) as Ready;
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.#isRunning) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  /** Lets it stand still: its connections stay open, and nothing answers. */
  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  async end(): Promise<void> {
    await this.kill();
    await this.#front?.close();
    rmSync(this.#data, { recursive: true, force: true });
  }

  get #isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  #known(): Ready {
    if (this.#ready === undefined) throw new Error("the node was never ready");
    return this.#ready;
  }

  async #serve(): Promise<void> {
    if (process.env["SELVEDGE_CONSOLE_DIST"] === undefined) return;
    process.env["SELVEDGE_HTTP"] = `http://${this.#known().http}`;
    this.#front = await preview({
      root: ROOT,
      configFile: join(ROOT, "vite.config.ts"),
      logLevel: "silent",
      preview: { port: 0 },
    });
  }
}

const FREE = "127.0.0.1:0";
const SAID_MAX = 4_000;

/** A real node for end-to-end tests: the binary that SELVEDGE_BIN names, on ports of its own. */

import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The binary; without it tests on a real node say that they were not run. */
export const BINARY = process.env["SELVEDGE_BIN"];

interface Ready {
  quic: string;
  /** None where the node has no other nodes to talk to. */
  peer: string | null;
  http: string;
  token: string;
}

/** How long a node may take until it serves: a machine may be busy with others. */
const START_MS_MAX = 60_000;

export class RealNode {
  readonly #directory = mkdtempSync(join(tmpdir(), "selvedge-web-"));
  #process: ChildProcess | undefined;
  #ready: Ready | undefined;

  static async start(): Promise<RealNode> {
    const node = new RealNode();
    await node.start();
    return node;
  }

  get token(): string {
    return this.#ready?.token ?? "";
  }

  /** `host:port` of HTTP. */
  get http(): string {
    return this.#ready?.http ?? "";
  }

  get url(): string {
    return `ws://${this.http}/ws`;
  }

  /** Starts it, again where it was: on the same ports and data. */
  async start(): Promise<void> {
    const file = join(this.#directory, "ready.json");
    rmSync(file, { force: true });
    const { quic, peer, http } = this.#ready ?? { quic: ANY, peer: null, http: ANY };
    const args = ["dev", "--data-dir", join(this.#directory, "data"), "--output", "json"];
    args.push("--quic", quic, "--peer", peer ?? ANY, "--http", http, "--ready-file", file);
    const log: Buffer[] = [];
    const child = spawn(BINARY ?? "", args, { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (bytes: Buffer) => log.push(bytes));
    child.stderr.on("data", (bytes: Buffer) => log.push(bytes));
    this.#process = child;
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => {
        writeFileSync(join(this.#directory, "node.log"), Buffer.concat(log));
        const words = Buffer.concat(log).toString().slice(-2_000);
        reject(new Error(`the node ended with ${String(code)}: ${words}`));
      });
    });
    ended.catch(() => undefined);
    this.#ready = await Promise.race([readyFile(file), ended]);
  }

  /** SIGKILL: nothing is said and nothing is tidied up. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** SIGTERM: the node drains. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Ends it and forgets what it stored. */
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }
}

/** What a node or cluster writes when it serves. */
export async function readyFile(file: string): Promise<Ready> {
  const until = Date.now() + START_MS_MAX;
  while (Date.now() < until) {
    if (existsSync(file)) {
      try {
        return JSON.parse(readFileSync(file, "utf8")) as Ready;
      } catch {
        // It is being written.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("the node was not ready in time");
}

/** A free port of this machine. */
export const ANY = "127.0.0.1:0";

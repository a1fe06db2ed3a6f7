/** A real cluster for end-to-end tests: `selvedge dev --nodes 3`, whose three nodes have a bridge and a process each. */

import type { ChildProcess } from "node:child_process";
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import type { ClusterStatus, NodeState } from "../../src/index.js";
import { ANY, BINARY, readyFile } from "./node.js";

interface Ready {
  token: string;
  nodes: { node: string; http: string; pid: number }[];
}

/** How long the cluster may take for anything that a test waits for: a machine may be busy with others. */
const PATIENCE_MS = 30_000;

export class RealCluster {
  readonly #directory = mkdtempSync(join(tmpdir(), "selvedge-web-cluster-"));
  readonly #process: ChildProcess;
  #said = "";

  private constructor() {
    const args = ["dev", "--nodes", "3", "--data-dir", this.#data, "--ready-file", this.#ready];
    args.push("--quic", ANY, "--peer", ANY, "--http", ANY, "--output", "json");
    this.#process = spawn(BINARY ?? "", args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#process.stderr?.on("data", (bytes: Buffer) => (this.#said += bytes.toString()));
  }

  static async start(): Promise<RealCluster> {
    const cluster = new RealCluster();
    const ended = new Promise<never>((_, reject) => {
      cluster.#process.once("error", reject);
      cluster.#process.once("exit", (code) => {
        reject(new Error(`the cluster ended with ${String(code)}: ${cluster.#said}`));
      });
    });
    ended.catch(() => undefined);
    try {
      await Promise.race([readyFile(cluster.#ready), ended]);
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  get token(): string {
    return this.#now().token;
  }

  /** `host:port` of a node's bridge. */
  http(name: string): string {
    return this.#node(name).http;
  }

  url(name: string): string {
    return `ws://${this.http(name)}/ws`;
  }

  /** SIGKILL to the process of a node, which is started again five seconds later. */
  async kill(name: string): Promise<void> {
    const { pid } = this.#node(name);
    process.kill(pid, "SIGKILL");
    await until(`the end of ${name}`, () => !isThere(pid));
  }

  /** As an operator does it; done once the node owns nothing. */
  async drain(name: string): Promise<void> {
    await this.#ask("drain", name, "--wait");
  }

  /** Returns when the others say so of a node. */
  async becomes(name: string, state: NodeState): Promise<void> {
    await until(`${name} is ${state}`, async () => (await this.state(name)) === state);
  }

  async state(name: string): Promise<NodeState | undefined> {
    const { nodes } = (await this.#ask("status")) as ClusterStatus;
    return nodes.find(({ node }) => node === name)?.state;
  }

  /** Ends it, with all of its processes, and forgets what it stored. */
  async remove(): Promise<void> {
    const { exitCode, signalCode } = this.#process;
    if (exitCode === null && signalCode === null) {
      const ended = new Promise((resolve) => this.#process.once("exit", resolve));
      this.#process.kill("SIGKILL");
      await ended;
    }
    // The others end with it, and may write for a moment.
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  get #data(): string {
    return join(this.#directory, "data");
  }

  get #ready(): string {
    return join(this.#directory, "ready.json");
  }

  /** What the file says now: it is kept true. */
  #now(): Ready {
    return JSON.parse(readFileSync(this.#ready, "utf8")) as Ready;
  }

  #node(name: string): Ready["nodes"][number] {
    const found = this.#now().nodes.find(({ node }) => node === name);
    if (found === undefined) throw new Error(`there is no node ${name}`);
    return found;
  }

  /** `selvedge cluster`, with the profile that knows all nodes. */
  async #ask(...words: string[]): Promise<unknown> {
    const args = ["cluster", ...words, "--data-dir", this.#data, "--output", "json"];
    const { stdout } = await run(BINARY ?? "", args, { timeout: PATIENCE_MS });
    return JSON.parse(stdout);
  }
}

const run = promisify(execFile);

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`waited in vain for this: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The nodes of the fake cluster: three, with a thousand slots, one of them handing some over. */

import { FakeError } from "./error.js";

const SLOTS = 1_024;
const NAMES = ["node-1", "node-2", "node-3"] as const;

export class FakeNodes {
  readonly #drained = new Set<string>();
  #plan = 7;

  drain(name: string): unknown {
    if (!NAMES.some((it) => it === name))
      throw new FakeError("not_found", `no node ${name}`, "node");
    this.#drained.add(name);
    this.#plan += 1;
    return this.#node(name);
  }

  undrain(name: string): unknown {
    this.#drained.delete(name);
    this.#plan += 1;
    return this.#node(name);
  }

  status(): unknown {
    const nodes = NAMES.map((name) => this.#node(name));
    return {
      plan: this.#plan,
      slots: SLOTS,
      owned: SLOTS,
      moving: 12,
      controller: "node-1",
      nodes,
    };
  }

  plan(): unknown {
    const owners = this.#owners();
    const runsOf = (name: string): [number, number][] => {
      const runs: [number, number][] = [];
      owners.forEach((owner, slot) => {
        const last = runs.at(-1);
        if (owner !== name) return;
        if (last?.[1] === slot - 1) last[1] = slot;
        else runs.push([slot, slot]);
      });
      return runs;
    };
    const nodes = NAMES.map((node) => {
      const count = owners.filter((owner) => owner === node).length;
      return { node, count, slots: runsOf(node) };
    });
    const moves = [{ from: "node-2", to: "node-3", count: 12, slots: [[300, 311]] }];
    return { plan: this.#plan, slots: SLOTS, nodes, nobody: [], moves };
  }

  why(): unknown {
    const reasons = [
      { code: "moving", node: null, message: "12 slots are on their way from node-2 to node-3" },
    ];
    return { atRest: false, reasons };
  }

  #owners(): string[] {
    const alive = NAMES.filter((name) => !this.#drained.has(name));
    const names = alive.length === 0 ? [...NAMES] : alive;
    return Array.from({ length: SLOTS }, (_, slot) => {
      // Scattered as by a hash.
      const at = Math.abs(Math.imul(slot + 17, 2_654_435_761) >> 9) % names.length;
      return names[at] ?? "node-1";
    });
  }

  #node(name: string): Record<string, unknown> {
    const slots = this.#owners().filter((owner) => owner === name).length;
    const isDrained = this.#drained.has(name);
    return {
      node: name,
      state: isDrained ? "drained" : "serving",
      drained: isDrained,
      controller: name === "node-1",
      incarnation: 3,
      roles: ["edge", "bridge", "core", "processing"],
      weight: 100,
      slots,
      planned: slots,
      quic: "127.0.0.1:7400",
      peer: "127.0.0.1:7410",
      operations: ["digest", "http", "import", "saga"],
      versions: { binary: "0.5.0", protocol: 1, schema: 3 },
    };
  }
}

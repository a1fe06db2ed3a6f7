/**
 * A page of operations that stays right: it is read again every two seconds, and each open operation on it is
 * followed by its events, so that a change shows at once. The view of operations owns one for each filter.
 */

import { computed, effect, signal } from "@preact/signals";
import { PAGE_LEN, POLL_MS } from "../bounds.js";
import type { Client, ListQuery } from "../session/port.js";
import { EventLog } from "./event-log.js";
import { isFinal, readOperation } from "./operation.js";
import type { Operation, Status } from "./operation.js";
import { Pages, readPageOf } from "./pages.js";
import { Settle } from "./settle.js";

export interface Filter {
  status?: Status;
  type?: string;
  label?: string;
}

interface Followed {
  log: EventLog;
  settle: Settle;
}

export class OperationList {
  readonly #client: Client;
  readonly pages: Pages<Operation>;
  readonly #followed = new Map<string, Followed>();
  /** Operations that were read after the page was. */
  readonly #later = signal<ReadonlyMap<string, Operation>>(new Map());
  readonly #dispose: () => void;

  constructor(client: Client, filter: Filter) {
    this.#client = client;
    this.pages = new Pages(POLL_MS, async (cursor, signal) => {
      const query: ListQuery = {
        ...filter,
        limit: PAGE_LEN,
        ...(cursor === undefined ? {} : { cursor }),
      };
      return readPageOf(await client.operations.list(query, { signal }), readOperation);
    });
    this.#dispose = effect(() => {
      this.#follow(this.pages.items.value ?? []);
    });
  }

  /** What is on the page, as late as it is known. */
  readonly items = computed<readonly Operation[] | undefined>(() => {
    const later = this.#later.value;
    return this.pages.items.value?.map((item) => {
      const other = later.get(item.id);
      return other !== undefined && other.version >= item.version ? other : item;
    });
  });

  dispose(): void {
    this.#dispose();
    this.pages.dispose();
    for (const id of [...this.#followed.keys()]) this.#unfollow(id);
  }

  /** Follows the open operations of a page and nothing else. */
  #follow(items: readonly Operation[]): void {
    const open = new Set(items.filter((item) => !isFinal(item)).map((item) => item.id));
    for (const id of [...this.#followed.keys()]) if (!open.has(id)) this.#unfollow(id);
    for (const id of open) if (!this.#followed.has(id)) this.#begin(id);
    const shown = new Set(items.map((item) => item.id));
    const kept = [...this.#later.peek()].filter(([id]) => shown.has(id));
    if (kept.length < this.#later.peek().size) this.#later.value = new Map(kept);
  }

  #begin(id: string): void {
    const operation = this.#client.operation(id);
    const settle = new Settle(async () => {
      const value = await operation.get().catch(() => undefined);
      if (value === undefined) return;
      this.#later.value = new Map(this.#later.peek()).set(id, readOperation(value));
    });
    const listener = {
      item: () => {
        settle.soon();
      },
    };
    const items = this.#client.subscribe({ operation: id }, { after: "latest" });
    const log = new EventLog(items, listener);
    this.#followed.set(id, { log, settle });
  }

  #unfollow(id: string): void {
    this.#followed.get(id)?.log.dispose();
    this.#followed.get(id)?.settle.dispose();
    this.#followed.delete(id);
  }
}

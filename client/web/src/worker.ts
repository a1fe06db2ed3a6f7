/**
 * A worker: executes steps of operations over the session, at most so many at a time. It keeps the leases of what is
 * at work with heartbeats and says how each task ended. A step may come again, here or elsewhere, so its code goes by
 * `idempotencyKey`.
 */

import type { call } from "./call.js";
import type { Driver, TaskHandler } from "./driver.js";
import type { Failure, SelvedgeError, WorkError } from "./errors.js";
import type { checkedKind, invalid } from "./ids.js";
import type { checkSize, written } from "./json.js";
import type { extensionLength } from "./session/extensions.js";
import { Tasks } from "./session/tasks.js";
import type { tryBase64 } from "./wire/base64.js";
import type { StepReport, Success, Task as TaskFrame, WorkerReady } from "./wire/frames.js";

/** What the rest of the SDK lends: so this module imports little, and the others stay one file. */
export interface Kit {
  driver: Driver;
  SelvedgeError: typeof SelvedgeError;
  WorkError: typeof WorkError;
  call: typeof call;
  checkedKind: typeof checkedKind;
  checkSize: typeof checkSize;
  extensionLength: typeof extensionLength;
  invalid: typeof invalid;
  tryBase64: typeof tryBase64;
  written: typeof written;
}

export interface WorkerOptions {
  /** Operation types whose steps it executes, 1 to 64. */
  types: string[];
  /** Tasks at a time, 1 to 1,024; 1 where nothing is said. */
  capacity?: number;
  /** The code of a step. Its result, JSON, is stored. Any error fails the attempt, see `WorkError`. */
  execute: (task: Task) => unknown;
}

/** One attempt of one step. */
export interface Task {
  /** The id of the operation. */
  readonly operation: string;
  readonly type: string;
  readonly step: string;
  /** Counts the attempts of the operation from 1. */
  readonly attempt: number;
  readonly input: unknown;
  /** A key for outside systems that recognise repeats: the same in every attempt, unique within the tenant. */
  readonly idempotencyKey: string;
  /** Aborted when the work is of no use any more: the operation was cancelled, or the lease is lost. */
  readonly signal: AbortSignal;
  /** Bytes of the payload that came with the submit, if one did. */
  readonly payloadLength: number | undefined;
  /** Reads the payload, piece by piece, from its start. */
  payload(): AsyncGenerator<Uint8Array, void>;
  /** Says how far the task is; watchers see the latest value a few times a second. At most 4 KiB of JSON text. */
  progress(value: unknown): void;
}

/** A worker that is at work. */
export interface Worker {
  /** Takes no more tasks; resolves when what is at work has ended. */
  close(): Promise<void>;
  /** Rejects when the session has ended before the worker was closed. */
  readonly ended: Promise<void>;
}

export function startWorker(kit: Kit, options: WorkerOptions): Worker {
  const { driver, invalid } = kit;
  const { capacity = 1, types } = options;
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > WORKER_CAPACITY_MAX) {
    throw invalid("capacity", `places for 1 to ${WORKER_CAPACITY_MAX} tasks`);
  }
  if (types.length < 1 || types.length > WORKER_TYPES_MAX) {
    throw invalid("types", `1 to ${WORKER_TYPES_MAX} operation types`);
  }
  const checked = types.map((type) => kit.checkedKind("type", type));
  const desk = new Desk(kit, options.execute);
  driver.setTaskHandler(desk);
  offer(driver, { type: "workerReady", types: checked, capacity });
  return desk;
}

/** Says which tasks the client takes, now and on each later connection. */
function offer(driver: Driver, ready: WorkerReady): void {
  const { machine } = driver;
  if (machine.tasks === undefined) machine.tasks = new Tasks(ready);
  else machine.tasks.offer(ready);
  machine.say(ready);
  driver.flush();
}

class Desk implements TaskHandler, Worker {
  readonly #kit: Kit;
  readonly #execute: (task: Task) => unknown;
  readonly #running = new Map<number, Running>();
  readonly ended: Promise<void>;
  #settle: { resolve: () => void; reject: (error: SelvedgeError) => void } | undefined;
  #isClosing = false;

  constructor(kit: Kit, execute: (task: Task) => unknown) {
    this.#kit = kit;
    this.#execute = execute;
    this.ended = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Whoever does not look at it sees the state of the client.
    this.ended.catch(() => undefined);
  }

  close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      offer(this.#kit.driver, { type: "workerReady", types: [], capacity: 0 });
      this.#rest();
    }
    return this.ended;
  }

  start(frame: TaskFrame): void {
    const running = new Running(this.#kit, frame);
    this.#running.set(frame.lease, running);
    void running.run(this.#execute).then(() => {
      // A lease of the same number may be of a later session.
      if (this.#running.get(frame.lease) === running) this.#running.delete(frame.lease);
      this.#rest();
    });
  }

  void(lease?: number): void {
    for (const [number, running] of this.#running) {
      if (lease === undefined || lease === number) running.cancel();
    }
  }

  end(error: SelvedgeError): void {
    this.void();
    if (error.code === "closed") this.#settle?.resolve();
    else this.#settle?.reject(error);
  }

  #rest(): void {
    if (this.#isClosing && this.#running.size === 0) this.#settle?.resolve();
  }
}

/** A task at work. */
class Running {
  readonly #kit: Kit;
  readonly #frame: TaskFrame;
  readonly #void = new AbortController();
  #beat: ReturnType<typeof setInterval> | undefined;
  /** JSON text of what is to be told next. */
  #progress = "";
  #telling: ReturnType<typeof setTimeout> | undefined;

  constructor(kit: Kit, frame: TaskFrame) {
    this.#kit = kit;
    this.#frame = frame;
  }

  cancel(): void {
    this.#void.abort(new this.#kit.SelvedgeError("aborted", "the task was cancelled"));
  }

  async run(execute: (task: Task) => unknown): Promise<void> {
    this.#beat = setInterval(
      () => {
        this.#report({ heartbeat: "" });
      },
      Math.max(this.#frame.leaseMs / 3, BEAT_MS_MIN),
    );
    const { written, checkSize } = this.#kit;
    let report: StepReport;
    try {
      const { text, bytes } = written("result", await execute(this.#task()), "null");
      checkSize("result", bytes, INLINE_BYTES_MAX, "store it elsewhere and return where");
      report = { success: text };
    } catch (error) {
      report = { failure: this.#failure(error) };
    }
    clearInterval(this.#beat);
    clearTimeout(this.#telling);
    // Whatever came of it, nobody wants it; this frees the place.
    if (this.#void.signal.aborted) report = { failure: this.#failure(this.#void.signal.reason) };
    this.#report(report);
  }

  #task(): Task {
    const { operationType: type, step, attempt, input, ext } = this.#frame;
    const id = this.#frame.operation.operation;
    const payloadLength = this.#kit.extensionLength(ext, PAYLOAD);
    return {
      operation: id,
      type,
      step,
      attempt,
      input: input ?? null,
      idempotencyKey: `${id}/${step}`,
      signal: this.#void.signal,
      payloadLength,
      payload: () => this.#payload(payloadLength),
      progress: (value) => {
        this.#tell(value);
      },
    };
  }

  async *#payload(length = 0): AsyncGenerator<Uint8Array, void> {
    const { call, driver, tryBase64, WorkError } = this.#kit;
    if (!(length <= PAYLOAD_BYTES_MAX))
      throw new WorkError("a task announces its payload in a wrong way");
    const { lease, operation } = this.#frame;
    const { signal } = this.#void;
    const bytesOf = ({ bytes, bodyBase64 }: Success): Uint8Array =>
      bytes ?? tryBase64(bodyBase64 ?? "") ?? new Uint8Array();
    for (let from = 0; from < length;) {
      const body = { lease, from };
      const answer = await call(driver, "query", operation, "payload", body, { signal }, bytesOf);
      const piece = answer.body as Uint8Array;
      from += piece.length;
      if (piece.length === 0 || from > length) {
        throw new WorkError(`the payload has ${length} bytes, and ${from} came`);
      }
      yield piece;
    }
  }

  /** Tells progress at once, or when the last was told long enough ago. */
  #tell(value: unknown): void {
    const { text, bytes } = this.#kit.written("progress", value, "null");
    this.#kit.checkSize("progress", bytes, PROGRESS_BYTES_MAX, "tell less");
    this.#progress = text;
    if (this.#telling === undefined) this.#tellNow();
  }

  #tellNow(): void {
    this.#telling = undefined;
    if (this.#progress === "") return;
    this.#report({ heartbeat: this.#progress });
    this.#progress = "";
    this.#telling = setTimeout(() => {
      this.#tellNow();
    }, PROGRESS_MS);
  }

  #report(report: StepReport): void {
    const { driver } = this.#kit;
    const { lease } = this.#frame;
    // Nothing of one that the server has given up, nor without a connection.
    if (!driver.machine.isReady || driver.machine.tasks?.report(lease, report) !== true) return;
    driver.machine.say({ type: "stepResult", lease, report });
    driver.flush();
  }

  #failure(error: unknown): Failure {
    const { WorkError, SelvedgeError } = this.#kit;
    const message = (error instanceof Error ? error.message : String(error)).slice(0, MESSAGE_MAX);
    const isFinal =
      (error instanceof WorkError && !error.retryable) ||
      // A result or progress that can never be sent.
      (error instanceof SelvedgeError && ["result", "progress"].includes(error.field ?? ""));
    const retryAfterMs = error instanceof WorkError ? error.retryAfterMs : undefined;
    return {
      code: isFinal ? "rejected" : "unavailable",
      message,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
  }
}

/** The extension of a Task whose operation has a payload. */
const PAYLOAD = 2;
/** Progress is told at most this often: the node commits it as often. */
const PROGRESS_MS = 250;
/** A lease of no time at all is no reason to talk without end. */
const BEAT_MS_MIN = 10;
/** Of a failure's message: 4 KiB in UTF-8, whatever its letters. */
const MESSAGE_MAX = 1_024;
/** As in the rest of the SDK. */
const INLINE_BYTES_MAX = 65_536;
const PAYLOAD_BYTES_MAX = 8_388_608;
const WORKER_CAPACITY_MAX = 1_024;
const WORKER_TYPES_MAX = 64;
/** The progress of a task, as JSON text. */
const PROGRESS_BYTES_MAX = 4_096;

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  EVENTS_MAX,
  LATE_MS,
  MESSAGES_MAX,
  PAGE_LEN,
  POLL_MS,
  SETTLE_MS,
  TYPING_MS,
} from "../../src/bounds.js";
import { startClock } from "../../src/data/clock.js";
import { EventLog } from "../../src/data/event-log.js";
import { OperationList } from "../../src/data/operation-list.js";
import { failures, OperationWatch } from "../../src/data/operation-watch.js";
import { Polled } from "../../src/data/poll.js";
import { Room } from "../../src/data/room.js";
import { Settle } from "../../src/data/settle.js";
import { Feed } from "../fake/feed.js";
import { FakeClient, FakeCluster } from "../fake/sdk.js";

let cluster: FakeCluster;
let client: FakeClient;
let stopClock: () => void;
const owned: { dispose(): void }[] = [];

function own<T extends { dispose(): void }>(it: T): T {
  owned.push(it);
  return it;
}

beforeEach(() => {
  vi.useFakeTimers();
  stopClock = startClock();
  cluster = new FakeCluster(0);
  client = new FakeClient(cluster);
});

afterEach(() => {
  for (const it of owned.splice(0)) it.dispose();
  stopClock();
  vi.useRealTimers();
});

const settled = () => vi.advanceTimersByTimeAsync(3 * SETTLE_MS);

describe("what is polled", () => {
  it("is asked again after each answer, and never twice at a time", async () => {
    let [asked, atOnce] = [0, 0];
    const polled = own(
      new Polled(POLL_MS, async () => {
        atOnce += 1;
        expect(atOnce).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 100));
        atOnce -= 1;
        return (asked += 1);
      }),
    );
    polled.refresh();
    polled.refresh();
    await vi.advanceTimersByTimeAsync(250);
    expect(polled.value.value).toBe(2);
    await vi.advanceTimersByTimeAsync(POLL_MS + 200);
    expect(polled.value.value).toBe(3);
  });

  it("keeps its last value beside what went wrong since", async () => {
    let isWell = true;
    const polled = own(
      new Polled(POLL_MS, () => (isWell ? Promise.resolve(1) : Promise.reject(new Error("away")))),
    );
    await vi.advanceTimersByTimeAsync(1);
    isWell = false;
    await vi.advanceTimersByTimeAsync(POLL_MS + 1);
    expect(polled.value.value).toBe(1);
    expect(polled.problem.value?.message).toBe("away");
    isWell = true;
    await vi.advanceTimersByTimeAsync(POLL_MS + 1);
    expect(polled.problem.value).toBeUndefined();
  });

  it("is late when its answer does not come", async () => {
    let isSilent = false;
    const polled = own(
      new Polled(POLL_MS, () =>
        isSilent ? new Promise<number>(() => undefined) : Promise.resolve(1),
      ),
    );
    await vi.advanceTimersByTimeAsync(1);
    isSilent = true;
    await vi.advanceTimersByTimeAsync(POLL_MS + LATE_MS - 100);
    expect(polled.isLate(Date.now())).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(polled.isLate(Date.now())).toBe(true);
  });

  it("asks no more once it is disposed of", async () => {
    let asked = 0;
    const polled = new Polled(POLL_MS, () => Promise.resolve((asked += 1)));
    await vi.advanceTimersByTimeAsync(1);
    polled.dispose();
    polled.refresh();
    await vi.advanceTimersByTimeAsync(10 * POLL_MS);
    expect(asked).toBe(1);
    expect(vi.getTimerCount()).toBe(1); // the clock
  });
});

describe("what follows a burst", () => {
  it("is done once, and once more for what comes meanwhile", async () => {
    let done = 0;
    const settle = own(
      new Settle(async () => {
        done += 1;
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }),
    );
    for (let time = 0; time < 10; time += 1) settle.soon();
    await vi.advanceTimersByTimeAsync(SETTLE_MS + 1);
    expect(done).toBe(1);
    for (let time = 0; time < 10; time += 1) settle.soon();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(done).toBe(2);
  });
});

describe("a log of events", () => {
  it("is in order and bounded", async () => {
    const feed = new Feed();
    const log = own(new EventLog(feed.follow({ after: 0 })));
    for (let count = 0; count < EVENTS_MAX + 20; count += 1) feed.append("added", { count });
    await vi.advanceTimersByTimeAsync(10);
    expect(log.lines.value).toHaveLength(EVENTS_MAX);
    expect(log.lines.value[0]?.seq).toBe(21);
    expect(log.dropped.value).toBe(20);
  });

  it("lets its subscription go", async () => {
    const feed = new Feed();
    const log = new EventLog(feed.follow({ after: 0 }));
    await vi.advanceTimersByTimeAsync(1);
    expect(feed.followers).toBe(1);
    log.dispose();
    expect(feed.followers).toBe(0);
  });
});

describe("a list of operations", () => {
  const submitted = (count: number): void => {
    for (let number = 1; number <= count; number += 1) {
      cluster.operations.submit({ type: "import", id: `o${number}` });
    }
  };

  it("shows a change at its event, before the next poll", async () => {
    submitted(2);
    const list = own(new OperationList(client, {}));
    await settled();
    expect(list.items.value?.map(({ status }) => status)).toEqual(["pending", "pending"]);
    cluster.operations.change("o1", { status: "running", attempt: 1 }, "started");
    await settled();
    expect(list.items.value?.find(({ id }) => id === "o1")?.status).toBe("running");
  });

  it("follows the open operations of its page and no others", async () => {
    submitted(3);
    cluster.operations.change("o2", { status: "succeeded" }, "succeeded");
    const list = new OperationList(client, {});
    await settled();
    const followers = () => ["o1", "o2", "o3"].map((id) => cluster.operations.feed(id).followers);
    expect(followers()).toEqual([1, 0, 1]);
    cluster.operations.change("o1", { status: "failed" }, "failed");
    await vi.advanceTimersByTimeAsync(POLL_MS + 100);
    expect(followers()).toEqual([0, 0, 1]);
    list.dispose();
    expect(followers()).toEqual([0, 0, 0]);
  });

  it("turns pages by cursor", async () => {
    submitted(PAGE_LEN + 3);
    const list = own(new OperationList(client, {}));
    await settled();
    expect(list.pages.hasNext.value).toBe(true);
    list.pages.next();
    expect(list.items.value).toBeUndefined();
    await settled();
    expect(list.items.value).toHaveLength(3);
    expect(list.pages.number.value).toBe(2);
    expect(list.pages.hasNext.value).toBe(false);
    list.pages.previous();
    await settled();
    expect(list.items.value).toHaveLength(PAGE_LEN);
  });

  it("filters", async () => {
    submitted(2);
    cluster.operations.change("o2", { status: "failed" }, "failed");
    const list = own(new OperationList(client, { status: "failed" }));
    await settled();
    expect(list.items.value?.map(({ id }) => id)).toEqual(["o2"]);
  });
});

describe("one operation", () => {
  it("is read anew with each event, and keeps its failures", async () => {
    cluster.operations.submit({ type: "import", id: "a1" });
    const watch = own(new OperationWatch(client, "a1"));
    await settled();
    const error = { code: "away", message: "no answer" };
    cluster.operations.feed("a1").append("step.failed", { step: "load", attempt: 1, error });
    cluster.operations.change("a1", { status: "waiting" }, "waiting");
    await settled();
    expect(watch.operation.value?.status).toBe("waiting");
    expect(watch.log.lines.value.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(failures(watch.log.lines.value)).toMatchObject([
      { attempt: 1, error: { ...error, step: "load" } },
    ]);
  });

  it("that is not there says so", async () => {
    const watch = own(new OperationWatch(client, "nothing"));
    await settled();
    expect(watch.problem.value?.code).toBe("not_found");
  });

  it("goes on after a retry", async () => {
    cluster.operations.submit({ type: "import", id: "a1" });
    cluster.operations.change("a1", { status: "failed" }, "failed");
    const watch = own(new OperationWatch(client, "a1"));
    await settled();
    watch.answered(cluster.operations.change("a1", { status: "pending" }, "retried"));
    cluster.operations.change("a1", { status: "running" }, "started");
    await settled();
    expect(watch.operation.value?.status).toBe("running");
    expect(watch.log.lines.value).toHaveLength(4);
  });
});

describe("a room", () => {
  it("shows what was said before, and what is said, once", async () => {
    cluster.actors.send("room", "42", "say", { text: "before" });
    const [one, two] = [own(new Room(client, "42")), own(new Room(new FakeClient(cluster), "42"))];
    await settled();
    await one.say("hello");
    await settled();
    for (const room of [one, two]) {
      expect(room.messages.value.map(({ text }) => text)).toEqual(["before", "hello"]);
      expect(room.outgoing.value).toEqual([]);
    }
  });

  it("shows a message as on its way until it is there, also over a lost connection", async () => {
    const room = own(new Room(client, "42"));
    await settled();
    client.lose();
    const said = room.say("later");
    await settled();
    expect(room.outgoing.value).toMatchObject([{ text: "later" }]);
    client.restore();
    await said;
    await settled();
    expect(room.outgoing.value).toEqual([]);
    expect(room.messages.value).toHaveLength(1);
  });

  it("keeps a message that was refused, with the reason", async () => {
    const room = own(new Room(client, "42"));
    await settled();
    await room.say("");
    expect(room.outgoing.value).toMatchObject([{ problem: { code: "invalid", field: "text" } }]);
    room.forget(room.outgoing.value[0]?.number ?? 0);
    expect(room.outgoing.value).toEqual([]);
  });

  it("shows who is typing, for a while", async () => {
    const other = new FakeClient(cluster);
    if (other.session !== undefined) other.session = { ...other.session, id: "another" };
    const [room, typist] = [own(new Room(client, "42")), own(new Room(other, "42"))];
    await settled();
    typist.tellTyping();
    await settled();
    expect(room.typing.value).toEqual(["another"]);
    expect(typist.typing.value).toEqual([]);
    await vi.advanceTimersByTimeAsync(TYPING_MS + 500);
    expect(room.typing.value).toEqual([]);
  });

  it("is bounded", async () => {
    const room = own(new Room(client, "42"));
    await settled();
    for (let count = 0; count < MESSAGES_MAX + 10; count += 1) {
      cluster.actors.send("room", "42", "say", { text: `${count}` });
    }
    await settled();
    expect(room.messages.value).toHaveLength(MESSAGES_MAX);
    expect(room.messages.value.at(-1)?.text).toBe(`${MESSAGES_MAX + 9}`);
  });
});

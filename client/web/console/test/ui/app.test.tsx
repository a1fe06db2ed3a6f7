import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { FakeClient, FakeCluster } from "../fake/sdk.js";
import { field, find, pass, press, Shown, submit, type, visit } from "./shown.js";

// There is no canvas here: what is drawn is looked at in a browser.
vi.mock("uplot", () => ({
  default: class {
    series = [];
    destroy(): void {
      // Nothing was drawn.
    }
  },
}));
vi.mock("uplot/dist/uPlot.min.css", () => ({}));

let shown: Shown;
let cluster: FakeCluster;
let place: HTMLElement;

beforeEach(() => {
  shown = new Shown();
  ({ cluster, place } = shown);
});

afterEach(() => {
  shown.end();
});

function signIn(): Promise<FakeClient> {
  return shown.signIn();
}

describe("signing in", () => {
  it("asks for a token before anything is sent", async () => {
    await submit();
    expect(field("Token").getAttribute("aria-invalid")).toBe("true");
    expect(place.textContent).toContain("Paste the token");
    expect(cluster.clients.size).toBe(0);
  });

  it("shows why it was refused, with the remedy", async () => {
    await type("Token", "wrong");
    await submit();
    expect(find(".problem").textContent).toContain(
      "unauthenticated in token: the token is not valid",
    );
    expect(find(".remedy").textContent).toContain("Sign in again with a valid token");
  });

  it("leads to the overview, and out again", async () => {
    await signIn();
    expect(find("h1").textContent).toBe("Overview");
    expect(document.title).toBe("Overview · Selvedge");
    await press("button", "Sign out");
    expect(find("h1").textContent).toBe("Sign in");
  });
});

describe("the overview", () => {
  it("shows no rates of a node that does not tell them any more", async () => {
    await signIn();
    await pass(5_000);
    const commits = (): string => find("dl.figures div", "Commits").textContent;
    expect(commits()).toMatch(/^Commits\d/);
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no connection")));
    await pass(3_000);
    expect(commits()).toMatch(/^Commits–/);
  });

  it("shows nodes, slots in words, and why it is not at rest", async () => {
    await signIn();
    await pass(3_000);
    expect(find("svg.slots").getAttribute("aria-label")).toMatch(
      /^Slots by node: .*node-1 \d+ slots/,
    );
    expect(find("section", "At rest?").textContent).toContain("12 slots are on their way");
    expect(document.querySelectorAll('[aria-label="Nodes"] tbody tr')).toHaveLength(3);
  });

  it("asks before it drains a node, and says what became of it", async () => {
    await signIn();
    await press('button[aria-label="Drain node-2"]');
    expect(find("dialog h2").textContent).toBe("Drain node-2?");
    await press("dialog button", "Drain");
    expect(find("dialog [role=status]").textContent).toContain("hands its slots over");
    await pass(3_000);
    expect(find('[aria-label="Nodes"] tr', "node-2").textContent).toContain("drained");
  });
});

describe("the state of the connection", () => {
  it("is always visible, and what is shown is marked while it is lost", async () => {
    const client = await signIn();
    expect(find(".connection").textContent).toBe("Connected to node-1");
    expect(document.querySelector(".stale")).toBeNull();
    await act(() => {
      client.lose();
    });
    await pass(100);
    expect(find(".connection").textContent).toBe("Reconnecting");
    expect(document.querySelectorAll(".stale").length).toBeGreaterThan(3);
    await pass(3_000);
    expect(find(".bar").textContent).toMatch(/Reconnecting for 3 s: the connection was closed/);
    await act(() => {
      client.restore();
    });
    await pass(300);
    expect(find(".bar.good").textContent).toContain("Session resumed at node-1 after 3 s");
    expect(find(".unseen[role=status]").textContent).toContain("Session resumed");
    expect(document.querySelector(".stale")).toBeNull();
    await pass(15_000);
    expect(document.querySelector(".bar")).toBeNull();
  });
});

describe("operations", () => {
  it("are submitted, watched and cancelled", async () => {
    await signIn();
    await visit("#/submit?type=import");
    await type("Id", "a1");
    await submit("form.submit");
    expect(location.hash).toBe("#/operation/a1");
    window.dispatchEvent(new Event("hashchange"));
    await pass();
    expect(find("h1").textContent).toContain("a1");
    cluster.operations.change("a1", { status: "running", attempt: 1 }, "started", { attempt: 1 });
    await pass();
    expect(find("section .aside .badge").textContent).toContain("running");
    expect(find('[aria-label^="Events"] tbody tr').textContent).toContain("started");
    await press("button", "Cancel…");
    await press("dialog button", "Cancel the operation");
    expect(find("dialog [role=status]").textContent).toContain("Asked to stop");
    await press("dialog button", "Close");
    expect(find("section .aside .badge").textContent).toContain("cancelled");
    expect(document.querySelector("dialog")).toBeNull();
  });

  it("are checked before they are sent", async () => {
    await signIn();
    await visit("#/submit");
    await type("Type", "Import!");
    await type("Input", '{"rows": }');
    await submit("form.submit");
    expect(find(".field", "Type").textContent).toContain("A letter a-z");
    expect(find(".field", "Input").textContent).toContain("This is not JSON");
    expect(find(".problem").textContent).toContain("not sent");
    expect(cluster.operations.list({})).toMatchObject({ items: [] });
  });

  it("are listed, filtered by the address", async () => {
    await signIn();
    cluster.operations.submit({ type: "import", id: "a1" });
    cluster.operations.submit({ type: "import", id: "a2" });
    cluster.operations.change("a2", { status: "failed" }, "failed");
    await visit("#/operations?status=failed");
    const rows = [...document.querySelectorAll('[aria-label="Operations"] tbody tr')];
    expect(rows.map((row) => row.querySelector("a")?.textContent)).toEqual(["a2"]);
  });
});

describe("actors", () => {
  it("show state and events, and take commands", async () => {
    await signIn();
    await visit("#/actor/counter/a");
    expect(find("section", "State").textContent).toContain("value: 0");
    await submit("section form");
    expect(find("section [role=status]").textContent).toContain("Committed: seq 1, version 1");
    await pass();
    expect(find("section", "State").textContent).toContain("value: 1");
    expect(find('[aria-label^="Events"]').textContent).toContain("added");
  });

  it("say why a command was refused", async () => {
    await signIn();
    await visit("#/actor/counter/a");
    await type("Command", "divide");
    await submit("section form");
    expect(find(".problem").textContent).toContain(
      "unknown_command: counter has no command divide",
    );
  });
});

describe("limits", () => {
  it("show the policy in force and change it", async () => {
    await signIn();
    await visit("#/limits");
    await press('button[aria-label="Change the policy of import"]');
    await press("dialog button", "Set");
    expect(find("dialog [role=status]").textContent).toContain('In force: {"concurrency":2}');
    await press("dialog button", "Close");
    await pass(6_000);
    expect(find("tr", "import").querySelector("strong")?.textContent).toBe("concurrency 2");
  });
});

describe("metrics", () => {
  it("have their numbers in a table, and every metric", async () => {
    await signIn();
    await visit("#/metrics");
    await pass(5_000);
    expect(find("figcaption", "sessions websocket").textContent).toContain("Now");
    expect(find('[aria-label="Every metric"]').textContent).toContain("selvedge_guests_total");
  });
});

describe("keys", () => {
  const key = async (key: string): Promise<void> => {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    window.dispatchEvent(new Event("hashchange"));
    await pass();
  };

  it("go to views, and the heading takes the focus", async () => {
    await signIn();
    await key("g");
    await key("r");
    expect(find("h1").textContent).toBe("Room 42");
    expect(document.activeElement).toBe(find("h1"));
  });

  it("are listed by ?, and can be switched off", async () => {
    await signIn();
    await key("?");
    expect(find("dialog h2").textContent).toBe("Keys");
    await press("dialog input");
    await press("dialog .close");
    await key("g");
    await key("m");
    expect(find("h1").textContent).toBe("Overview");
  });
});

describe("the colours", () => {
  it("follow the choice and are kept", async () => {
    await signIn();
    await press('input[value="dark"]');
    expect(document.documentElement.dataset["theme"]).toBe("dark");
    expect(localStorage.getItem("selvedge.theme")).toBe("dark");
    await press('input[value="system"]');
    expect(document.documentElement.dataset["theme"]).toBeUndefined();
  });
});

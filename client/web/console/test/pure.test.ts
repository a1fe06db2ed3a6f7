import { describe, expect, it } from "vitest";
import { bytes, duration, moment, quantity, relative, seconds, span, utc } from "../src/format.js";
import { inline, members, parseJson } from "../src/json.js";
import { ConsoleError, isAborted, remedy, toProblem } from "../src/problem.js";
import { href, page, parseRoute } from "../src/route.js";
import type { Route } from "../src/route.js";

describe("numbers and times", () => {
  it("are short and exact enough", () => {
    expect(quantity(0)).toBe("0");
    expect(quantity(1.234)).toBe("1.23");
    expect(quantity(56.78)).toBe("56.8");
    expect(quantity(1_234)).toBe("1,234");
    expect(quantity(1_234_567)).toBe("1.2M");
    expect(bytes(999)).toBe("999 B");
    expect(bytes(65_536)).toBe("65.5 kB");
    expect(bytes(8_388_608)).toBe("8.4 MB");
    expect(seconds(0.000_2)).toBe("200 µs");
    expect(seconds(0.022)).toBe("22 ms");
    expect(seconds(1.5)).toBe("1.50 s");
  });

  it("tell spans in two units", () => {
    expect(span(-5)).toBe("0 s");
    expect(span(59_999)).toBe("59 s");
    expect(span(65_000)).toBe("1 min 5 s");
    expect(span(7_800_000)).toBe("2 h 10 min");
    expect(span(90_000_000)).toBe("1 d 1 h");
    expect(duration(250)).toBe("250 ms");
    expect(duration(1_500)).toBe("1.5 s");
    expect(duration(60_000)).toBe("1 min");
  });

  it("tell how long ago, and until when", () => {
    expect(relative(1_000, 1_500)).toBe("now");
    expect(relative(1_000, 6_000)).toBe("5 s ago");
    expect(relative(6_000, 1_000)).toBe("in 5 s");
  });

  it("are local, with the day where it is another, and UTC beside", () => {
    const at = new Date(2026, 4, 6, 7, 8, 9);
    expect(moment(at, new Date(2026, 4, 6, 23, 0, 0))).toBe("07:08:09");
    expect(moment(at, new Date(2026, 4, 7, 0, 0, 0))).toBe("2026-05-06 07:08:09");
    expect(utc(new Date("2026-05-06T07:08:09.123Z"))).toBe("2026-05-06 07:08:09 UTC");
  });
});

describe("JSON that somebody types", () => {
  it("is read, and nothing stands for an empty object", () => {
    expect(parseJson('{"a":1}')).toEqual({ value: { a: 1 } });
    expect(parseJson("  ")).toEqual({ value: {} });
    expect(parseJson("", null)).toEqual({ value: null });
  });

  it("is refused with the place where it is wrong", () => {
    const parsed = parseJson('{\n  "a": 1,\n  b\n}');
    expect("wrong" in parsed && parsed.wrong).toMatch(/line 3, column 3/);
  });

  it("of any shape is read without surprise", () => {
    expect(members([1])).toEqual({});
    expect(members(null)).toEqual({});
    expect(inline("text")).toBe("text");
    expect(inline({ a: 1 })).toBe('{"a":1}');
  });
});

describe("a problem", () => {
  it("keeps code, message, field and the wait", () => {
    const error = Object.assign(new Error("no"), {
      code: "invalid",
      field: "id",
      retryAfterMs: 2_500,
    });
    const problem = toProblem(error);
    expect(problem).toEqual({ code: "invalid", message: "no", field: "id", retryAfterMs: 2_500 });
    expect(remedy(problem)).toBe("Try again in 3 s.");
  });

  it("has a remedy for each code of the protocol", () => {
    expect(remedy({ code: "permission_denied", message: "" })).toMatch(/token/);
    expect(remedy({ code: "told_to_fail", message: "" })).toBeUndefined();
    expect(toProblem("text").code).toBe("internal");
    expect(toProblem(new ConsoleError("unreachable", "no")).code).toBe("unreachable");
  });

  it("is none where somebody has ended it", () => {
    expect(isAborted(new DOMException("", "AbortError"))).toBe(true);
    expect(isAborted(Object.assign(new Error(""), { code: "aborted" }))).toBe(true);
    expect(isAborted(null)).toBe(false);
  });
});

describe("routes", () => {
  const routes: Route[] = [
    { view: "overview" },
    { view: "operations", status: "running", type: "import", label: "a=b&c" },
    { view: "operations", status: "", type: "", label: "" },
    { view: "submit", type: "import" },
    { view: "operation", id: "a.1:b" },
    { view: "actors", kind: "room" },
    { view: "actor", kind: "room", key: "a/b ?#ü%" },
    { view: "sessions" },
    { view: "limits" },
    {
      view: "audit",
      chain: "cluster",
      principal: "user:ann&bob",
      action: "user",
      since: "2026-01-01T00:00:00.000Z",
      until: "",
    },
    { view: "users" },
    { view: "user", id: "01890a5d-ac96-774b-bcce-b302099a8057" },
    { view: "roles" },
    { view: "api-keys" },
    { view: "metrics" },
    { view: "room", key: "42" },
  ];

  it("are the same after a way through the address", () => {
    for (const route of routes) expect(parseRoute(href(route)), href(route)).toEqual(route);
  });

  it("that are unknown say so", () => {
    expect(parseRoute("#/nothing/here")).toEqual({ view: "unknown", path: "/nothing/here" });
    expect(parseRoute("#/actor/room/%E0%A4%A")).toMatchObject({ view: "actor" });
    expect(parseRoute("")).toEqual({ view: "overview" });
    expect(parseRoute("#/room")).toEqual({ view: "room", key: "42" });
  });

  it("with other filters are the same page", () => {
    expect(page({ view: "actors", kind: "room" })).toBe(page({ view: "actors", kind: "counter" }));
    expect(page({ view: "operation", id: "a" })).not.toBe(page({ view: "operation", id: "b" }));
  });
});

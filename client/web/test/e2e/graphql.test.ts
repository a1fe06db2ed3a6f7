/** The audits of the GraphQL-over-HTTP specification, as the package `graphql-http` makes them, against a real node. */

import { auditServer } from "graphql-http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { BINARY, RealNode } from "../support/node.js";

describe.skipIf(BINARY === undefined)("GraphQL over HTTP (not run without SELVEDGE_BIN)", () => {
  let node: RealNode;

  beforeAll(async () => {
    node = await RealNode.start();
  });

  afterAll(async () => {
    await node.remove();
  });

  test("every MUST and SHOULD of the specification holds", async () => {
    const results = await auditServer({
      url: `http://${node.http}/graphql`,
      fetchFn: (address: string, options: RequestInit = {}) => {
        const headers = new Headers(options.headers);
        headers.set("authorization", `Bearer ${node.token}`);
        return fetch(address, { ...options, headers });
      },
    });
    expect(results.length).toBeGreaterThan(50);
    // "notice" is a MAY that does not hold, "warn" a SHOULD, "error" a MUST.
    const broken = results.filter(({ status }) => status === "warn" || status === "error");
    const told = broken.map(
      (it) => `${it.status} ${it.id} ${it.name}: ${"reason" in it ? it.reason : ""}`,
    );
    expect(told).toEqual([]);
  });
});

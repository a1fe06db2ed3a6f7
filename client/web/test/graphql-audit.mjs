// The audits of the GraphQL-over-HTTP specification against a node that runs: what the package `graphql-http` checks.
// Run by hand and by the tests of the whole:
//
//   node test/graphql-audit.mjs http://127.0.0.1:7480/graphql TOKEN
//
// Prints what does not hold, one a line, and a summary. Ends with 1 where a MUST or a SHOULD does not hold, with 2
// where it is not told what to ask.

import process from "node:process";

import { auditServer } from "graphql-http";

const [url, token] = process.argv.slice(2);
if (!url || !token) {
  console.error("use: node test/graphql-audit.mjs URL TOKEN");
  process.exit(2);
}

const fetchFn = (address, options = {}) =>
  fetch(address, {
    ...options,
    headers: { ...options.headers, authorization: `Bearer ${token}` },
  });

// "ok"; "notice" is a MAY that does not hold, "warn" a SHOULD, "error" a MUST.
const results = await auditServer({ url, fetchFn });
const counts = { ok: 0, notice: 0, warn: 0, error: 0 };
for (const { id, name, status, reason } of results) {
  counts[status] += 1;
  if (status !== "ok") {
    console.log(`${status} ${id} ${name}: ${reason}`);
  }
}
console.log(JSON.stringify({ audits: results.length, ...counts }));
process.exit(counts.warn + counts.error === 0 ? 0 : 1);

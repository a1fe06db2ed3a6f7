import { expect, test } from "vitest";

import { SelvedgeError } from "../../src/index.js";

test("an error tells its code, its field and whether another attempt is worth it", () => {
  const error = new SelvedgeError("limit_exceeded", "50 commands a second", { retryAfterMs: 250 });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ code: "limit_exceeded", retryAfterMs: 250, retryable: true });
  expect("field" in error).toBe(false);
  expect(new SelvedgeError("invalid", "no", { field: "name" })).toMatchObject({
    field: "name",
    retryable: false,
  });
});

/** What is loaded when it is first called, in simulated time. */

import { expect, test } from "vitest";

import { later, loaded } from "../../src/later.js";
import { failure, simulateTime, within } from "../support/simulated.js";

simulateTime();

class Calls {
  readonly #word = "heard";

  say(word: string): Promise<string> {
    return Promise.resolve(`${this.#word} ${word}`);
  }
}

test("a method is called on what was loaded, with what it was given", async () => {
  const { say } = later<Calls>(["say"], () => Promise.resolve(new Calls()));
  expect(await say("this")).toBe("heard this");
});

test("what cannot be loaded for the moment is tried again", async () => {
  let tries = 0;
  const load = (): Promise<number> => {
    tries += 1;
    return tries < 4 ? Promise.reject(new TypeError("Failed to fetch")) : Promise.resolve(tries);
  };
  expect(await within(4_000, loaded(load))).toBe(4);
});

test("but not for ever", async () => {
  const gone = new TypeError("Failed to fetch");
  const error = await failure(
    40_000,
    loaded(() => Promise.reject(gone)),
  );
  expect(error).toMatchObject({ code: "unavailable", retryable: true, cause: gone });
});

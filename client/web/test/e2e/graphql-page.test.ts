/**
 * The page of GraphQL in Chromium against a real node, under the node's own policy: it asks, tells, watches and shows
 * the schema, in light and dark, narrow and wide. A picture of each is in a temporary directory whose name is printed.
 */

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { hasChromium, launch } from "../support/browser.js";
import { BINARY, RealNode } from "../support/node.js";

const LOOKS = [
  { width: 1440, height: 900, colorScheme: "light" },
  { width: 1440, height: 900, colorScheme: "dark" },
  { width: 360, height: 740, colorScheme: "light" },
  { width: 360, height: 740, colorScheme: "dark" },
] as const;

const SAY = `mutation Say($text: String!) {
  sendCommand(kind: "room", key: "page", command: "say", body: { text: $text }) { seq }
}`;
const WATCH = `# What is said.
subscription Watch { actorEvents(kind: "room", key: "page", after: 0) { ... on Event { seq data } } }`;

const isRun = BINARY !== undefined && hasChromium;

describe.skipIf(!isRun)("the page of GraphQL (not run without SELVEDGE_BIN and Chromium)", () => {
  const pictures = mkdtempSync(join(tmpdir(), "selvedge-graphql-page-"));
  let node: RealNode;
  let browser: Browser;
  let page: Page;
  /** What the browser complains of, refusals of the policy among it. */
  let errors: string[];

  beforeAll(async () => {
    [node, browser] = await Promise.all([RealNode.start(), launch()]);
    process.stdout.write(`pictures are in ${pictures}\n`);
  });

  afterAll(async () => {
    await browser.close();
    await node.remove();
  });

  beforeEach(async () => {
    await open(LOOKS[0]);
  });

  afterEach(async () => {
    await page.context().close();
  });

  async function open({ width, height, colorScheme }: (typeof LOOKS)[number]): Promise<void> {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme });
    page = await context.newPage();
    errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
    });
    await page.goto(`http://${node.http}/graphql`);
    await page.getByLabel("Token").fill(node.token);
    await page.keyboard.press("Tab");
    await page.getByText(/^\d+ of \d+ types$/).waitFor();
  }

  async function write(query: string, variables = ""): Promise<void> {
    await page.getByRole("textbox", { name: "Document" }).fill(query);
    await page.getByLabel("Variables").fill(variables);
  }

  async function answers(text: string): Promise<void> {
    await page.getByLabel("Answers").getByText(text).waitFor();
  }

  test("asks, tells and says what is wrong", async () => {
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await answers('"about"');
    await page.getByText(/^200 OK, \d+ ms$/).waitFor();

    await write(SAY, '{ "text": "hello" }');
    await page.keyboard.press("Control+Enter");
    await answers('"seq": 1');
    await write(SAY, "{");
    await page.keyboard.press("Control+Enter");
    await page.getByText(/The variables are no JSON/).waitFor();
    expect(errors).toEqual([]);

    // The browser notes statuses of failures itself.
    await write("{ nothing }");
    await page.keyboard.press("Control+Enter");
    await page.getByText(/^400 Bad Request/).waitFor();
    await answers('"errors"');
    expect(errors.filter((error) => !error.includes("400"))).toEqual([]);
  });

  test.each(["SSE", "WebSocket"])("watches over %s until it is told to stop", async (way) => {
    await page.getByLabel("Events over").selectOption(way);
    await write(WATCH);
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByText(/^\d+ events?, open$/).waitFor();
    const headers = { authorization: `Bearer ${node.token}`, "content-type": "application/json" };
    const body = JSON.stringify({ query: SAY, variables: { text: `over ${way}` } });
    await fetch(`http://${node.http}/graphql`, { method: "POST", headers, body });
    await answers(`over ${way}`);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByText("Stopped.", { exact: true }).waitFor();
    expect(await page.getByRole("button", { name: "Stop", exact: true }).isDisabled()).toBe(true);

    await write(`subscription { operationEvents(id: "none") { __typename } }`);
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await answers('"not_found"');
    expect(errors).toEqual([]);
  });

  test("shows the schema, finds in it and writes from it", async () => {
    const schema = page.getByRole("region", { name: "Schema" });
    await schema.getByLabel("Search").fill("submitop");
    await page.getByText(/^[2-9] of \d+ types$/).waitFor();
    await schema.getByRole("link", { name: "SubmitOperationInput" }).first().click();
    await schema.locator("#type-SubmitOperationInput").getByText("runAt: DateTime").waitFor();

    await schema.getByLabel("Search").fill("operation");
    await schema.getByRole("button", { name: "Write operation into the document" }).click();
    expect(await page.getByRole("textbox", { name: "Document" }).inputValue()).toMatch(
      /^query\(\$id: ID!\) \{\n {2}operation\(id: \$id\) \{\n {4}id\n/,
    );
    await page.getByLabel("Variables").fill('{ "id": "none" }');
    await page.keyboard.press("Control+Enter");
    await answers('"operation": null');
    expect(errors).toEqual([]);
  });

  test("whatever it writes from the schema is a document of it", async () => {
    const buttons = page.getByRole("button", { name: /^Write / });
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    expect(await buttons.count()).toBeGreaterThan(15);
    for (const button of await buttons.all()) {
      await button.click();
      const written = await page.getByRole("textbox", { name: "Document" }).inputValue();
      const variables = await page.getByLabel("Variables").inputValue();
      // What tells or watches is looked at and not executed.
      const isAsked = written.startsWith("query");
      const query = isAsked
        ? written
        : written.replace(/^\w+/, "$& It") + "query Other { about { node } }";
      const response = await fetch(`http://${node.http}/graphql`, {
        method: "POST",
        headers: {
          accept: "application/graphql-response+json",
          authorization: `Bearer ${node.token}`,
          "content-type": "application/json",
        },
        body: JSON.stringify({
          query,
          operationName: isAsked ? undefined : "Other",
          variables: isAsked && variables !== "" ? (JSON.parse(variables) as unknown) : undefined,
        }),
      });
      expect(response.status, `${query} ${await response.text()}`).toBe(200);
    }
  });

  test("keeps what it was told for the tab alone", async () => {
    await write("{ about { version } }");
    await page.keyboard.press("Control+Enter");
    await answers('"version"');
    await write("query A { about { node } } query B { about { schema } }");
    await page.locator("#name").selectOption("B");
    await page.keyboard.press("Control+Enter");
    await answers('"schema"');
    await page.reload();
    await page.getByText(/^\d+ of \d+ types$/).waitFor();
    expect(await page.getByRole("textbox", { name: "Document" }).inputValue()).toContain("query B");
    await page.getByText("History of this tab").click();
    await page.getByRole("button", { name: "{ about { version } }" }).click();
    expect(await page.getByRole("textbox", { name: "Document" }).inputValue()).toBe(
      "{ about { version } }",
    );
    const { cookies, origins } = await page.context().storageState();
    expect({ cookies, origins }).toEqual({ cookies: [], origins: [] });
    expect(errors).toEqual([]);
  });

  test.each(LOOKS)("fits at $width px, $colorScheme", async (look) => {
    await page.context().close();
    await open(look);
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await answers('"about"');
    const path = join(pictures, `${look.width}-${look.colorScheme}.png`);
    await page.screenshot({ path, fullPage: look.width === 360 });
    const over = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return scrollWidth - clientWidth;
    });
    expect(over).toBe(0);
    expect(errors).toEqual([]);
  });
});

/** The console of one of three real nodes, which is killed or drained. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Browser, Locator, Page } from "playwright-core";
import { RealCluster } from "../../test/support/cluster.js";
import { launch, signedIn, visit } from "./browser.js";
import type { Tab } from "./browser.js";
import { BINARY } from "./node.js";

/** Within seconds: the death of a node takes one, what is on screen is asked for every two. */
const SOON = { timeout: 8_000 };

describe.skipIf(BINARY === undefined)("in a cluster (not run without SELVEDGE_BIN)", () => {
  let cluster: RealCluster;
  let browser: Browser;
  let tab: Tab;

  beforeAll(async () => {
    browser = await launch();
  });

  afterAll(async () => {
    await browser.close();
  });

  // On the overview, after somebody has spoken.
  beforeEach(async () => {
    cluster = await RealCluster.start();
    const { token } = cluster;
    tab = await signedIn(browser, { url: `http://${cluster.http("node-1")}/`, token });
    const { page } = tab;
    await page.getByText("Connected to node-1", { exact: true }).first().waitFor();
    await say(page, "before");
    await visit(page, "#/");
    await state(page, "node-1", "serving").waitFor();
  });

  afterEach(async () => {
    await tab.page.context().close();
    await cluster.remove();
  });

  /** The word of a state beside the name of a node. */
  function state(page: Page, node: string, word: string): Locator {
    const nodes = page.getByRole("group", { name: "Nodes" });
    const row = nodes.getByRole("row", { name: new RegExp(node) });
    return row.locator(".badge", { hasText: word });
  }

  async function say(page: Page, text: string): Promise<void> {
    await visit(page, "#/room/cluster");
    await page.getByRole("textbox", { name: "Message" }).fill(text);
    await page.keyboard.press("Enter");
    await page.getByRole("log").locator("li .text", { hasText: text }).waitFor();
    await page.getByRole("log").getByText("Sending…").waitFor({ state: "detached" });
  }

  /** Nothing was lost, and nothing went wrong. */
  async function goesOn({ page, errors }: Tab): Promise<void> {
    await say(page, "after");
    const said = await page.getByRole("log").locator("li .text").allTextContents();
    expect(said).toEqual(["before", "after"]);
    expect(errors).toEqual([]);
  }

  it("goes on at another node within seconds when its own is killed, and shows that as dead", async () => {
    const { page } = tab;
    await cluster.kill("node-1");
    const resumed = page.getByText(/Session resumed at node-[23] after .* Nothing was missed\./);
    await resumed.first().waitFor(SOON);
    await page
      .getByText(/^Connected to node-[23]$/)
      .first()
      .waitFor();
    await state(page, "node-1", "dead").waitFor(SOON);
    await goesOn(tab);
  });

  it("goes on at another node when it drains its own", async () => {
    const { page } = tab;
    await page.getByRole("button", { name: "Drain node-1" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Drain", exact: true }).click();
    await dialog.getByText("node-1 hands its slots over").waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await page
      .getByText(/^Connected to node-[23]$/)
      .first()
      .waitFor(SOON);
    await state(page, "node-1", "drained").waitFor();
    await goesOn(tab);
  });
});

/** The console in Chromium against a real node. */

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Browser } from "playwright-core";
import { audit, launch, signedIn, visit } from "./browser.js";
import { BINARY, Node } from "./node.js";

let node: Node;
let browser: Browser;

describe.skipIf(BINARY === undefined)("the console (not run without SELVEDGE_BIN)", () => {
  beforeAll(async () => {
    [node, browser] = await Promise.all([Node.start(), launch()]);
  });

  // What a test that failed has left.
  beforeEach(() => node.again());

  afterAll(async () => {
    await browser.close();
    await node.end();
  });

  it("refuses a wrong token with its reason, and keeps it out of the address", async () => {
    const page = await browser.newPage();
    await page.goto(node.url);
    await page.getByLabel("Token").fill("not the token");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByText("unauthenticated").waitFor();
    expect(page.url()).not.toContain("token");
    await page.close();
  });

  it("submits an operation, shows it live and cancels it", async () => {
    const { page, errors } = await signedIn(browser, node);
    await visit(page, "#/submit?type=import");
    await page.getByLabel("Id", { exact: true }).fill("live-1");
    await page.getByLabel("Input").fill('{"rows": 10, "stepMs": 700}');
    await page.getByRole("button", { name: "Submit" }).click();
    await page.getByRole("heading", { name: "live-1" }).waitFor();
    const events = page.getByRole("group", { name: "Events, the latest first" });
    // As they come, each once, without a reload.
    await events.getByText('"progress":{"rows":10,"step":"load"}').waitFor();
    await page.getByRole("button", { name: "Cancel…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Cancel the operation" }).click();
    await dialog.getByText("Asked to stop.").waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await page.locator("main .badge", { hasText: "compensated" }).first().waitFor();
    await events.getByText("compensation.finished").first().waitFor();
    const seqs = await events.locator("tbody tr td:first-child").allTextContents();
    expect(seqs.map(Number)).toEqual(seqs.map((_, index) => seqs.length - index));
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it("shows in the list what another tab does, and why an operation waits", async () => {
    const [one, two] = await Promise.all([signedIn(browser, node), signedIn(browser, node)]);
    await visit(one.page, "#/operations");
    await visit(two.page, "#/submit?type=import");
    await two.page.getByLabel("Id", { exact: true }).fill("live-2");
    await two.page.getByLabel("Input").fill('{"rows": 10, "stepMs": 10, "approval": true}');
    await two.page.getByRole("button", { name: "Submit" }).click();
    const row = one.page.getByRole("row", { name: /live-2/ });
    await row.getByText("waiting").waitFor();
    await two.page
      .getByText(/waits for the signal "approve"/)
      .first()
      .waitFor();
    await two.page.getByRole("button", { name: "Signal…" }).click();
    const dialog = two.page.getByRole("dialog");
    expect(await dialog.getByLabel("Name").inputValue()).toBe("approve");
    await dialog.getByRole("button", { name: "Send" }).click();
    await dialog.getByText("Signal approve sent.").waitFor();
    await row.getByText("succeeded").waitFor();
    expect([...one.errors, ...two.errors]).toEqual([]);
    await Promise.all([one.page.context().close(), two.page.context().close()]);
  });

  it("shares the room between two tabs, and who is typing", async () => {
    const [one, two] = await Promise.all([signedIn(browser, node), signedIn(browser, node)]);
    for (const { page } of [one, two]) await visit(page, "#/room/42");
    await one.page.getByRole("log").getByText("Nobody has said anything yet").waitFor();
    await two.page.getByRole("log").getByText("Nobody has said anything yet").waitFor();
    await one.page.getByRole("textbox", { name: "Message" }).pressSequentially("hello from one");
    await two.page.getByText(/is typing…/).waitFor();
    await one.page.keyboard.press("Enter");
    for (const { page } of [one, two])
      await page.getByRole("log").getByText("hello from one").waitFor();
    await two.page.getByRole("textbox", { name: "Message" }).fill("hello from two");
    await two.page.getByRole("button", { name: "Say" }).click();
    for (const { page } of [one, two]) {
      await page.getByRole("log").getByText("hello from two").waitFor();
      expect(await page.getByRole("log").locator("li .text").allTextContents()).toEqual([
        "hello from one",
        "hello from two",
      ]);
    }
    expect([...one.errors, ...two.errors]).toEqual([]);
    await Promise.all([one.page.context().close(), two.page.context().close()]);
  });

  it("shows a lost node within two seconds, and resumes by itself without loss or repeat", async () => {
    const { page, errors } = await signedIn(browser, node);
    await visit(page, "#/room/outage");
    await page.getByRole("textbox", { name: "Message" }).fill("before");
    await page.keyboard.press("Enter");
    await page.getByRole("log").getByText("before").waitFor();
    await node.kill();
    await page.locator('.connection[data-state="reconnecting"]').waitFor({ timeout: 2_000 });
    await page.getByText("may be old").first().waitFor({ timeout: 2_000 });
    await page.getByText(/Reconnecting for/).waitFor();
    expect(await audit(page)).toEqual([]);
    await page.getByRole("textbox", { name: "Message" }).fill("during");
    await page.keyboard.press("Enter");
    await page.getByRole("log").getByText("Sending…").waitFor();
    await node.again();
    await page
      .getByText(/Session resumed at .* Nothing was missed\./)
      .first()
      .waitFor();
    await page.getByText("may be old").first().waitFor({ state: "detached" });
    await page.getByRole("log").getByText("Sending…").waitFor({ state: "detached" });
    const said = await page.getByRole("log").locator("li .text").allTextContents();
    expect(said).toEqual(["before", "during"]);
    await visit(page, "#/sessions");
    await page.getByText(/connection lost/).waitFor();
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it("shows a node that stands still within two seconds, and goes on with it", async () => {
    const { page, errors } = await signedIn(browser, node);
    await page.getByRole("img", { name: /Slots by node/ }).waitFor();
    node.freeze();
    try {
      await page.locator(".stale").first().waitFor({ timeout: 2_000 });
      await page
        .locator("aside")
        .getByText(/No answer|Reconnecting/)
        .waitFor();
    } finally {
      node.thaw();
    }
    await page.locator(".stale").first().waitFor({ state: "detached" });
    await page.locator('.connection[data-state="open"]').waitFor();
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it("is used by keyboard alone", async () => {
    const { page } = await signedIn(browser, node);
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe(
      "Skip to the content",
    );
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
    await page.keyboard.press("g");
    await page.keyboard.press("l");
    await page.getByRole("heading", { name: "Limits" }).waitFor();
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("H1");
    await page.keyboard.press("?");
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    expect(await audit(page)).toEqual([]);
    for (let times = 0; times < 5; times += 1) {
      await page.keyboard.press("Tab");
      const isInside = await page.evaluate(() => {
        const { activeElement } = document;
        return (
          activeElement === document.body || (activeElement?.closest("dialog") ?? null) !== null
        );
      });
      expect(isInside).toBe(true);
    }
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await page.context().close();
  });
});

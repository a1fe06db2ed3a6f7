/** The whole console in a page without a browser, against fakes: what tests of the views share. */

import { render } from "preact";
import { act } from "preact/test-utils";
import { vi } from "vitest";
import { App } from "../../src/app.js";
import { startClock } from "../../src/data/clock.js";
import { Http } from "../../src/data/http.js";
import { watchRoute } from "../../src/route.js";
import { OAuth } from "../../src/session/oauth.js";
import { Session } from "../../src/session/session.js";
import { startTheme } from "../../src/theme.js";
import { startShortcuts } from "../../src/ui/shortcuts.js";
import { FakeApi } from "../fake/api.js";
import { metricsText } from "../fake/metrics-server.js";
import { FakeCluster } from "../fake/sdk.js";
import type { FakeClient } from "../fake/sdk.js";

export const BASE = "http://127.0.0.1/";

/** What a test looks at. */
export class Shown {
  readonly cluster = new FakeCluster(0);
  readonly api = new FakeApi();
  readonly session = new Session(this.cluster.connect, "ws://127.0.0.1/ws", new OAuth(BASE));
  readonly place = document.createElement("div");
  readonly #stops: (() => void)[] = [];

  /** Shows the console. Time stands still until a test lets it pass. */
  constructor() {
    vi.useFakeTimers();
    sessionStorage.clear();
    localStorage.clear();
    location.hash = "#/";
    vi.stubGlobal("fetch", (url: URL, init: RequestInit = {}) =>
      Promise.resolve(this.#answer(url, init)),
    );
    startTheme();
    this.#stops.push(startClock(), watchRoute(), startShortcuts());
    document.body.append(this.place);
    const http = new Http(BASE, this.session);
    void act(() => {
      render(<App session={this.session} http={http} />, this.place);
    });
  }

  end(): void {
    void act(() => {
      render(null, this.place);
    });
    this.place.remove();
    for (const stop of this.#stops.splice(0)) stop();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  }

  async signIn(): Promise<FakeClient> {
    await type("Token", "right");
    await submit();
    const [client] = this.cluster.clients;
    if (client === undefined) throw new Error("no client");
    return client;
  }

  #answer(url: URL, { method = "GET", headers, body }: RequestInit): Response {
    if (url.pathname === "/metrics") return new Response(metricsText(600));
    const text = typeof body === "string" ? body : "";
    const asked = { method, url, headers: new Headers(headers), body: text };
    const { status, body: answer } = this.api.answer(asked);
    return new Response(answer === undefined ? null : JSON.stringify(answer), { status });
  }
}

/** Lets what has been started come to its end. */
export async function pass(ms = 1_000): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(ms);
  });
}

export function find(selector: string, text = ""): HTMLElement {
  const all = [...document.querySelectorAll<HTMLElement>(selector)];
  const found = all.find((it) => it.textContent.includes(text));
  if (found !== undefined) return found;
  throw new Error(`no ${selector} with ${text} in ${document.body.innerHTML}`);
}

/** The input that a label belongs to. */
export function field(label: string): HTMLInputElement {
  const found = document.getElementById(find("label", label).getAttribute("for") ?? "");
  if (found === null) throw new Error(`the label ${label} has no input`);
  return found as HTMLInputElement;
}

export async function type(label: string, text: string): Promise<void> {
  const input = field(label);
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await pass(0);
}

export async function choose(label: string, value: string): Promise<void> {
  const select = field(label);
  select.value = value;
  select.dispatchEvent(new Event("change", { bubbles: true }));
  await pass();
}

export async function press(selector: string, text = ""): Promise<void> {
  find(selector, text).click();
  await pass();
}

export async function submit(selector = "form"): Promise<void> {
  find(selector).dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  await pass();
}

export async function visit(hash: string): Promise<void> {
  location.hash = hash;
  window.dispatchEvent(new Event("hashchange"));
  await pass();
}

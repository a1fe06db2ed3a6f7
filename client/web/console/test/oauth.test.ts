import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RENEW_BEFORE_MS, RENEWED_MS } from "../src/bounds.js";
import { startClock } from "../src/data/clock.js";
import { recall } from "../src/session/credentials.js";
import { OAuth, takeReturned } from "../src/session/oauth.js";
import type { Returned } from "../src/session/oauth.js";
import { Session } from "../src/session/session.js";
import { FakeError } from "./fake/error.js";
import { FakeCluster } from "./fake/sdk.js";
import type { FakeClient } from "./fake/sdk.js";
import { TokenServer } from "./fake/tokens.js";

const BASE = "http://127.0.0.1:7480/";
const ISSUER = "https://node.example";
const LIFE_MS = 300_000;

let server: TokenServer;
let oauth: OAuth;
let cluster: FakeCluster;
let session: Session;
let stopClock: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  sessionStorage.clear();
  history.replaceState(null, "", "/");
  stopClock = startClock();
  server = new TokenServer(ISSUER, LIFE_MS);
  vi.stubGlobal("fetch", server.fetch);
  oauth = new OAuth(BASE);
  cluster = new FakeCluster(0);
  session = new Session(cluster.connect, "ws://127.0.0.1:7480/ws", oauth);
});

afterEach(() => {
  stopClock();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** As the node sends somebody back who has shown a password. */
async function shownPassword(change: Partial<Returned> = {}): Promise<Returned> {
  const url = await oauth.begin(ISSUER, "acme", "#/audit");
  server.challenge = url.searchParams.get("code_challenge") ?? "";
  const state = url.searchParams.get("state") ?? "";
  return {
    code: "code-1",
    error: undefined,
    description: undefined,
    state,
    issuer: ISSUER,
    ...change,
  };
}

async function signedIn(): Promise<FakeClient> {
  await session.comeBack(await shownPassword());
  const [client] = cluster.clients;
  if (client === undefined) throw new Error("no client");
  return client;
}

describe("signing in with a password", () => {
  it("goes to the node's page with a challenge, and keeps the verifier in this tab", async () => {
    const url = await oauth.begin(ISSUER, "acme", "#/");
    const asked = Object.fromEntries(url.searchParams);
    expect(`${url.origin}${url.pathname}`).toBe("http://127.0.0.1:7480/oauth/authorize");
    expect(asked).toMatchObject({
      response_type: "code",
      client_id: "console",
      redirect_uri: "http://127.0.0.1:7480/",
      code_challenge_method: "S256",
      tenant: "acme",
    });
    const { verifier, state } = JSON.parse(
      sessionStorage.getItem("selvedge.login") ?? "",
    ) as Record<string, string>;
    expect(verifier).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(asked["code_challenge"]).toBe(
      createHash("sha256")
        .update(verifier ?? "")
        .digest("base64url"),
    );
    expect(asked["state"]).toBe(state);
    expect(url.href).not.toContain(verifier);
  });

  it("is offered where the node answers, and only where this page can come back", async () => {
    const { signal } = new AbortController();
    expect(await oauth.issuer(signal)).toBe(ISSUER);
    expect(await new OAuth("http://127.0.0.1:7480/behind/").issuer(signal)).toBeUndefined();
    server.isKnown = false;
    expect(await oauth.issuer(signal)).toBeUndefined();
  });

  it("takes the code out of the address before anything else", () => {
    history.replaceState(null, "", "/?code=secret&state=s&iss=https%3A%2F%2Fnode.example#/audit");
    expect(takeReturned()).toMatchObject({ code: "secret", state: "s", issuer: ISSUER });
    expect(location.search).toBe("");
    expect(location.hash).toBe("#/audit");
    expect(takeReturned()).toBeUndefined();
  });

  it("opens a session with what the code stands for, and goes to where somebody wanted to", async () => {
    await signedIn();
    expect(session.connection.value.state).toBe("open");
    expect(location.hash).toBe("#/audit");
    expect(recall()).toMatchObject({ token: "access-1", tenant: "acme" });
    expect(server.forms[0]).toMatchObject({
      grant_type: "authorization_code",
      client_id: "console",
      redirect_uri: "http://127.0.0.1:7480/",
    });
    expect(sessionStorage.getItem("selvedge.login")).toBeNull();
  });

  it("refuses what it has not begun, and asks for no token then", async () => {
    const returned = await shownPassword({ state: "another" });
    await expect(session.comeBack(returned)).rejects.toThrow("not begun in this tab");
    expect(session.connection.value).toMatchObject({
      state: "signedOut",
      why: { code: "login_unknown" },
    });
    expect(server.forms).toEqual([]);
  });

  it.each(["https://evil.example", undefined])(
    "refuses the answer of somebody else than was asked: %s",
    async (issuer) => {
      const returned = await shownPassword({ issuer });
      await expect(session.comeBack(returned)).rejects.toThrow("somebody else");
      expect(server.forms).toEqual([]);
    },
  );

  it("takes an answer once", async () => {
    const returned = await shownPassword();
    await session.comeBack(returned);
    await expect(oauth.finish(returned)).rejects.toThrow("is done already");
  });

  it("says why the node did not", async () => {
    const returned = await shownPassword({
      code: undefined,
      error: "access_denied",
      description: "you have left the page",
    });
    await expect(session.comeBack(returned)).rejects.toThrow("you have left the page");
    expect(session.connection.value.why).toMatchObject({ code: "access_denied" });
  });
});

describe("a login", () => {
  it("goes on before its token ends, with one question for all who ask", async () => {
    await signedIn();
    expect(await session.token()).toBe("access-1");
    await vi.advanceTimersByTimeAsync(LIFE_MS - RENEW_BEFORE_MS);
    const tokens = await Promise.all([session.token(), session.token(), session.token()]);
    expect(tokens).toEqual(["access-2", "access-2", "access-2"]);
    expect(server.forms.slice(1)).toEqual([
      { grant_type: "refresh_token", refresh_token: "refresh-1", client_id: "console" },
    ]);
    expect(recall()?.renewal?.refreshToken).toBe("refresh-2");
  });

  it("uses the token that is still good while no next one comes", async () => {
    await signedIn();
    await vi.advanceTimersByTimeAsync(LIFE_MS - RENEW_BEFORE_MS);
    server.fails = { status: 503, error: "temporarily_unavailable" };
    expect(await session.token()).toBe("access-1");
    await vi.advanceTimersByTimeAsync(RENEW_BEFORE_MS);
    await expect(session.token()).rejects.toThrow("temporarily_unavailable");
    expect(session.connection.value.state).toBe("open");
    server.fails = undefined;
    expect(await session.token()).toBe("access-2");
  });

  it("that is over ends the session with the reason, and is forgotten", async () => {
    await signedIn();
    await vi.advanceTimersByTimeAsync(LIFE_MS);
    server.fails = { status: 400, error: "invalid_grant" };
    await expect(session.token()).rejects.toThrow();
    expect(session.connection.value).toMatchObject({
      state: "signedOut",
      why: { code: "unauthenticated" },
    });
    expect(recall()).toBeUndefined();
  });

  it("goes on after a reload of the page", async () => {
    await signedIn();
    const kept = recall();
    if (kept === undefined) throw new Error("nothing is kept");
    await vi.advanceTimersByTimeAsync(LIFE_MS);
    const again = new Session(cluster.connect, "ws://127.0.0.1:7480/ws", oauth);
    await again.signIn(kept);
    expect(again.connection.value.state).toBe("open");
    expect(await again.token()).toBe("access-2");
  });

  it("takes the next token when the node says that this one has ended, and nobody is told", async () => {
    const client = await signedIn();
    client.lose(new FakeError("unauthenticated", "the credential has ended"));
    expect(session.connection.value.state).toBe("open");
    expect(await session.token()).toBe("access-2");
    client.restore();
    expect(session.notice.value).toBeUndefined();
    await vi.advanceTimersByTimeAsync(2 * RENEWED_MS);
    expect(session.connection.value.state).toBe("open");
    expect(session.journal.value[0]?.text).toBe("went on with the next token");
  });

  it("asks for no further token where the next is here when its connection ends", async () => {
    const client = await signedIn();
    await vi.advanceTimersByTimeAsync(LIFE_MS - RENEW_BEFORE_MS);
    expect(await session.token()).toBe("access-2");
    client.lose(new FakeError("unauthenticated", "the credential has ended"));
    expect(await session.token()).toBe("access-2");
    expect(server.forms).toHaveLength(2);
  });

  it("tells of a loss that takes longer, from when it began", async () => {
    const client = await signedIn();
    const began = Date.now();
    client.lose(new FakeError("unauthenticated", "the credential has ended"));
    await vi.advanceTimersByTimeAsync(RENEWED_MS);
    expect(session.connection.value.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(began + 4_000 - Date.now());
    client.restore(false);
    expect(session.notice.value?.text).toMatch(/with a new session/);
  });

  it("is ended at the node when somebody signs out", async () => {
    await signedIn();
    await session.signOut();
    expect(server.revoked).toEqual(["refresh-1"]);
    expect(recall()).toBeUndefined();
    expect(session.connection.value.why).toBeUndefined();
  });

  it("that cannot be ended at the node is told", async () => {
    await signedIn();
    server.isAway = true;
    await session.signOut();
    expect(recall()).toBeUndefined();
    expect(session.connection.value.why?.message).toMatch(/the node was not told/);
  });
});

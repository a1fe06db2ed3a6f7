/**
 * The ways in: with a password, which is typed at the node's own page, or with a token. The token goes into the first
 * frame of the session; neither is ever part of an address.
 */

import { useComputed } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { Mark } from "../app.js";
import { now } from "../data/clock.js";
import { span } from "../format.js";
import { isAborted } from "../problem.js";
import { hindrance } from "../session/oauth.js";
import type { Session } from "../session/session.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Input } from "../ui/field.js";
import { ProblemNote } from "../ui/problem.js";

export function SignIn({ session }: { session: Session }) {
  const [tenant, setTenant] = useState(session.credentials?.tenant ?? "");
  const issuer = useIssuer(session);
  const { state, since, why } = session.connection.value;
  const waited = useComputed(() => span(now.value - since));
  const isConnecting = state === "connecting";
  useEffect(() => {
    document.title = "Sign in · Selvedge";
  }, []);
  return (
    <main class="sign-in" id="main" tabIndex={-1}>
      <div class="card">
        <p class="brand">
          <Mark />
          Selvedge
        </p>
        <h1 tabIndex={-1}>Sign in</h1>
        <div role="status">
          {why !== undefined && <ProblemNote problem={why} />}
          {isConnecting && (
            <p class="pending">
              {"Connecting for "}
              <span class="tabular">{waited}</span>…
            </p>
          )}
        </div>
        {session.canReturn && (
          <div class="buttons">
            <Button
              kind="primary"
              onClick={() => {
                // What goes wrong is in the state of the session.
                session.signInAgain().catch(() => undefined);
              }}
            >
              Sign in again
            </Button>
          </div>
        )}
        {isConnecting && (
          <div class="buttons">
            <Button onClick={() => void session.signOut()}>Stop</Button>
          </div>
        )}
        <Input
          label="Tenant"
          value={tenant}
          onInput={setTenant}
          hint="Leave it empty for the default one, or a token's own."
        />
        {issuer !== undefined && (
          <WithPassword session={session} issuer={issuer} tenant={tenant.trim()} />
        )}
        <WithToken session={session} tenant={tenant.trim()} isFirst={issuer === undefined} />
      </div>
    </main>
  );
}

/** Who asks for passwords here; undefined until it is known, and where nobody does. */
function useIssuer(session: Session): string | undefined {
  const [issuer, setIssuer] = useState<string | undefined>(undefined);
  useEffect(() => {
    const abort = new AbortController();
    session.oauth
      .issuer(abort.signal)
      .then(setIssuer)
      .catch((error: unknown) => {
        if (!isAborted(error)) setIssuer(undefined);
      });
    return () => {
      abort.abort();
    };
  }, [session]);
  return issuer;
}

interface WayProps {
  session: Session;
  tenant: string;
}

function WithPassword({ session, issuer, tenant }: WayProps & { issuer: string }) {
  const action = useAction();
  const why = hindrance();
  const leave = (): void => {
    action.run(async () => {
      const url = await session.oauth.begin(issuer, tenant, location.hash);
      location.assign(url);
      return "On to the node's page.";
    });
  };
  return (
    <>
      <div class="buttons">
        <Button
          kind="primary"
          pending={action.progress.state === "pending"}
          disabled={why !== undefined}
          onClick={leave}
        >
          Sign in with a password
        </Button>
      </div>
      {why !== undefined && <p class="hint">{why}</p>}
      <Outcome progress={action.progress} pending="Going to the node's page…" />
      <p class="or">or with a token</p>
    </>
  );
}

function WithToken({ session, tenant, isFirst }: WayProps & { isFirst: boolean }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState<string | undefined>(undefined);
  const isConnecting = session.connection.value.state === "connecting";
  const submit = (event: Event): void => {
    event.preventDefault();
    if (token.trim() === "") {
      setError("Paste the token of this cluster.");
      return;
    }
    setError(undefined);
    // What goes wrong is in the state of the session.
    session.signIn({ token: token.trim(), tenant }).catch(() => undefined);
  };
  return (
    <form onSubmit={submit} noValidate>
      <Input
        label="Token"
        type="password"
        autocomplete="current-password"
        value={token}
        onInput={setToken}
        error={error}
        hint="“selvedge dev” prints one at its start. It is kept in this tab only."
      />
      <div class="buttons">
        <Button type="submit" kind={isFirst ? "primary" : "plain"} pending={isConnecting}>
          Sign in
        </Button>
      </div>
    </form>
  );
}

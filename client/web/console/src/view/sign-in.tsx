/** The form for token and tenant. The token goes into the first frame of the session, never into an address. */

import { useComputed } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { Mark } from "../app.js";
import { now } from "../data/clock.js";
import { span } from "../format.js";
import type { Session } from "../session/session.js";
import { Button } from "../ui/action.js";
import { Input } from "../ui/field.js";
import { ProblemNote } from "../ui/problem.js";

export function SignIn({ session }: { session: Session }) {
  const before = session.credentials;
  const [token, setToken] = useState("");
  const [tenant, setTenant] = useState(before?.tenant ?? "");
  const [error, setError] = useState<string | undefined>(undefined);
  const { state, since, why } = session.connection.value;
  const waited = useComputed(() => span(now.value - since));
  const isConnecting = state === "connecting";
  useEffect(() => {
    document.title = "Sign in · Selvedge";
  }, []);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (token.trim() === "") {
      setError("Paste the token of this cluster.");
      return;
    }
    setError(undefined);
    // What goes wrong is in the state of the session.
    session.signIn({ token: token.trim(), tenant: tenant.trim() }).catch(() => undefined);
  };
  return (
    <main class="sign-in" id="main" tabIndex={-1}>
      <form onSubmit={submit} noValidate>
        <p class="brand">
          <Mark />
          Selvedge
        </p>
        <h1 tabIndex={-1}>Sign in</h1>
        <Input
          label="Token"
          type="password"
          autocomplete="current-password"
          value={token}
          onInput={setToken}
          error={error}
          hint="“selvedge dev” prints one at its start. It is kept in this tab only."
        />
        <Input
          label="Tenant"
          value={tenant}
          onInput={setTenant}
          hint="Leave it empty for the token's own."
        />
        <div role="status">
          {why !== undefined && <ProblemNote problem={why} />}
          {isConnecting && (
            <p class="pending">
              {"Connecting for "}
              <span class="tabular">{waited}</span>…
            </p>
          )}
        </div>
        <div class="buttons">
          <Button type="submit" kind="primary" pending={isConnecting}>
            Sign in
          </Button>
          {isConnecting && <Button onClick={() => void session.signOut()}>Stop</Button>}
        </div>
      </form>
    </main>
  );
}

/** The shell: signed in or not, navigation, the state of the connection, and the view that the address asks for. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ConsoleContext, useOwned } from "./console.js";
import { Samples } from "./data/samples.js";
import type { Http } from "./data/http.js";
import { AUDIT, href, page, route, ROOM } from "./route.js";
import type { Route } from "./route.js";
import type { Client } from "./session/port.js";
import type { Session } from "./session/session.js";
import { choose, theme, THEMES } from "./theme.js";
import type { Theme } from "./theme.js";
import { Announcer, ConnectionBar, ConnectionState } from "./ui/connection.js";
import { listShortcuts, Shortcuts } from "./ui/shortcuts.js";
import { ActorsView } from "./view/actors.js";
import { ActorView } from "./view/actor.js";
import { ApiKeysView } from "./view/api-keys.js";
import { AuditView } from "./view/audit.js";
import { LimitsView } from "./view/limits.js";
import { MetricsView } from "./view/metrics.js";
import { OperationView } from "./view/operation.js";
import { OperationsView } from "./view/operations.js";
import { OverviewView } from "./view/overview.js";
import { RolesView } from "./view/roles.js";
import { RoomView } from "./view/room.js";
import { SessionsView } from "./view/sessions.js";
import { SignIn } from "./view/sign-in.js";
import { SubmitView } from "./view/submit.js";
import { UserView } from "./view/user.js";
import { UsersView } from "./view/users.js";

interface AppProps {
  session: Session;
  http: Http;
}

export function App({ session, http }: AppProps) {
  const client = session.client.value;
  return (
    <>
      <Announcer session={session} />
      {client === undefined ? (
        <SignIn session={session} />
      ) : (
        <SignedIn session={session} http={http} client={client} />
      )}
    </>
  );
}

function SignedIn({ session, http, client }: AppProps & { client: Client }) {
  const samples = useOwned(() => new Samples(http, client), [http, client]);
  return (
    <ConsoleContext.Provider value={{ session, http, client, samples }}>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <Header session={session} />
      <ConnectionBar session={session} />
      <main id="main" tabIndex={-1}>
        <View route={route.value} />
      </main>
      <Shortcuts />
    </ConsoleContext.Provider>
  );
}

/** The address is the router's: the link must not change it. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

const NAVIGATION: readonly (readonly [string, Route, readonly Route["view"][]])[] = [
  ["Overview", { view: "overview" }, ["overview"]],
  [
    "Operations",
    { view: "operations", status: "", type: "", label: "" },
    ["operations", "operation", "submit"],
  ],
  ["Actors", { view: "actors", kind: "" }, ["actors", "actor"]],
  ["Sessions", { view: "sessions" }, ["sessions"]],
  ["Limits", { view: "limits" }, ["limits"]],
  ["Access", { view: "users" }, ["users", "user", "roles", "api-keys"]],
  ["Audit", AUDIT, ["audit"]],
  ["Metrics", { view: "metrics" }, ["metrics"]],
  ["Room", { view: "room", key: ROOM }, ["room"]],
];

function Header({ session }: { session: Session }) {
  const [isOpen, setOpen] = useState(false);
  const here = route.value;
  useEffect(() => {
    setOpen(false);
  }, [here]);
  return (
    <header class="shell">
      <a class="brand" href={href({ view: "overview" })}>
        <Mark />
        Selvedge
      </a>
      <ConnectionState session={session} />
      <button
        type="button"
        class="menu"
        aria-expanded={isOpen}
        aria-controls="menu"
        onClick={() => {
          setOpen(!isOpen);
        }}
      >
        Menu
      </button>
      <div id="menu" class={isOpen ? "open" : ""}>
        <nav aria-label="Views">
          <ul>
            {NAVIGATION.map(([name, to, views]) => (
              <li key={name}>
                <a href={href(to)} aria-current={views.includes(here.view) ? "page" : undefined}>
                  {name}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <Settings session={session} />
      </div>
    </header>
  );
}

const THEME_WORDS: Readonly<Record<Theme, string>> = {
  system: "Auto",
  light: "Light",
  dark: "Dark",
};

function Settings({ session }: { session: Session }) {
  const tenant = session.credentials?.tenant;
  return (
    <div class="settings">
      <p class="tenant">
        {"Tenant "}
        <strong>{tenant === undefined || tenant === "" ? "default" : tenant}</strong>
      </p>
      <fieldset class="themes">
        <legend class="unseen">Colours</legend>
        {THEMES.map((value) => (
          <label key={value}>
            <input
              type="radio"
              name="theme"
              value={value}
              checked={theme.value === value}
              onChange={() => {
                choose(value);
              }}
            />
            <span>{THEME_WORDS[value]}</span>
          </label>
        ))}
      </fieldset>
      <button type="button" class="button plain" onClick={listShortcuts}>
        Keys
      </button>
      <button type="button" class="button plain" onClick={() => void session.signOut()}>
        Sign out
      </button>
    </div>
  );
}

/** A woven edge. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 16 16" width="20" height="20" aria-hidden="true">
      <path d="M3 1.5v13" stroke-width="2.5" />
      <path d="M6.5 3.5H14M6.5 8H14M6.5 12.5H14" stroke-width="1.75" class="weft" />
    </svg>
  );
}

/** The heading of a view. It takes the focus when somebody comes to the view, so that they hear where they are. */
export function View({ route }: { route: Route }) {
  const here = page(route);
  const before = useRef(here);
  useEffect(() => {
    const heading = document.querySelector<HTMLElement>("main h1");
    document.title = `${heading?.textContent ?? "Console"} · Selvedge`;
    if (before.current === here) return;
    before.current = here;
    scrollTo(0, 0);
    heading?.focus();
  }, [here]);
  return <Content key={here} route={route} />;
}

function Content({ route }: { route: Route }) {
  switch (route.view) {
    case "overview":
      return <OverviewView />;
    case "operations":
      return <OperationsView filter={route} />;
    case "submit":
      return <SubmitView type={route.type} />;
    case "operation":
      return <OperationView id={route.id} />;
    case "actors":
      return <ActorsView kind={route.kind} />;
    case "actor":
      return <ActorView kind={route.kind} name={route.key} />;
    case "sessions":
      return <SessionsView />;
    case "limits":
      return <LimitsView />;
    case "audit":
      return <AuditView filter={route} />;
    case "users":
      return <UsersView />;
    case "user":
      return <UserView id={route.id} />;
    case "roles":
      return <RolesView />;
    case "api-keys":
      return <ApiKeysView />;
    case "metrics":
      return <MetricsView />;
    case "room":
      return <RoomView room={route.key} />;
    case "unknown":
      return (
        <>
          <h1 tabIndex={-1}>There is nothing here</h1>
          <p>
            {`No view has the address ${route.path}. `}
            <a href={href({ view: "overview" })}>Go to the overview</a>.
          </p>
        </>
      );
  }
}

/** Starts the console: the session of this tab, its clock, its address, its colours, and the page. */

import { connect } from "@selvedge/client";
import { render } from "preact";
import { App } from "./app.js";
import { startClock } from "./data/clock.js";
import { Http } from "./data/http.js";
import { watchRoute } from "./route.js";
import { recall } from "./session/credentials.js";
import { OAuth, takeReturned } from "./session/oauth.js";
import { Session } from "./session/session.js";
import { startTheme } from "./theme.js";
import { startShortcuts } from "./ui/shortcuts.js";
import "./style/index.css";

/** Where the session goes: beside this page. */
function sessionUrl(): string {
  const url = new URL("ws", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url.href;
}

// Before anything else, so that no code stays in the address.
const returned = takeReturned();
startTheme();
startClock();
watchRoute();
startShortcuts();
const session = new Session(connect, sessionUrl(), new OAuth(document.baseURI));
const http = new Http(document.baseURI, session);
const kept = recall();
// What goes wrong is shown by the form.
if (returned !== undefined) session.comeBack(returned).catch(() => undefined);
else if (kept !== undefined) session.signIn(kept).catch(() => undefined);
const place = document.getElementById("console");
if (place !== null) render(<App session={session} http={http} />, place);

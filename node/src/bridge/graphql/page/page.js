// Asks, tells and watches by GraphQL what its reader writes, and shows the schema. Nothing of it comes from elsewhere,
// what a node says is text alone, and what it keeps ends with the tab.
"use strict";

const byId = (id) => document.getElementById(id);

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const HISTORY_MAX = 20;
const SHOWN_MAX = 100;

const EXAMPLE = `{
  about { node version }
  operations(first: 5) { nodes { operationId type status createdAt } }
}
`;

/** What the tab keeps. */
const kept = {
  read: (name) => sessionStorage.getItem(`graphql.${name}`),
  write: (name, value) => sessionStorage.setItem(`graphql.${name}`, value),
};

const say = (id, text, isBad = false) => {
  byId(id).textContent = text;
  byId(id).classList.toggle("bad", isBad);
};

/** The operations of a document: their sorts and names. */
const operations = (text) => {
  const found = [];
  let [depth, heads] = [0, []];
  for (const [token] of text.matchAll(/"""[^]*?"""|"(?:\\.|[^"\\\n])*"|#.*|[{}()]|\w+/g)) {
    if (token === "{" && depth === 0) {
      const [type = "query", name = ""] = heads;
      if (type !== "fragment") found.push({ type, name });
      heads = [];
    }
    if ("{(".includes(token)) depth += 1;
    else if ("})".includes(token)) depth -= 1;
    else if (depth === 0 && /^\w/.test(token)) heads.push(token);
  }
  return found;
};

const who = () => {
  const [token, tenant] = [byId("token").value, byId("tenant").value];
  return { authorization: token ? `Bearer ${token}` : undefined, tenant: tenant || undefined };
};

const post = (request, accept, signal) => {
  const headers = new Headers({ accept, "content-type": "application/json" });
  const { authorization, tenant } = who();
  if (authorization) headers.set("authorization", authorization);
  if (tenant) headers.set("selvedge-tenant", tenant);
  return fetch("/graphql", { method: "POST", headers, body: JSON.stringify(request), signal });
};

/** JSON with line breaks; other text as it is. */
const pretty = (text) => {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
};

let shown = [];

/** Shows one more answer; of many the last. */
const show = (text) => {
  shown = [...shown, pretty(text)].slice(-SHOWN_MAX);
  const result = byId("result");
  const isAtEnd = result.scrollTop + result.clientHeight >= result.scrollHeight - 8;
  result.textContent = shown.join("\n\n");
  if (isAtEnd) result.scrollTop = result.scrollHeight;
};

const once = async (request, signal) => {
  const began = performance.now();
  const response = await post(request, "application/graphql-response+json", signal);
  show(await response.text());
  const took = Math.round(performance.now() - began);
  say("status", `${response.status} ${response.statusText}, ${took} ms`, !response.ok);
};

const counted = (count, is) => say("status", `${count} ${count === 1 ? "event" : "events"}, ${is}`);

/** A subscription as server-sent events. */
const overEvents = async (request, signal) => {
  const response = await post(request, "text/event-stream", signal);
  if (!response.ok) {
    show(await response.text());
    throw new Error(`${response.status} ${response.statusText}`);
  }
  let [text, count] = ["", 0];
  counted(count, "open");
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (text + piece).split("\n\n");
    text = events.pop();
    for (const event of events) {
      if (event.startsWith("event: complete")) return counted(count, "complete");
      const data = event.match(/^data: (.*)$/m);
      if (!data) continue;
      count += 1;
      show(data[1]);
      counted(count, "open");
    }
  }
  throw new Error(`${count} events, and the node ended the stream: run it again`);
};

/** The same over a WebSocket, by graphql-transport-ws. */
const overSocket = (request, signal) => new Promise((resolve, reject) => {
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/graphql`, "graphql-transport-ws");
  const send = (message) => socket.send(JSON.stringify(message));
  let count = 0;
  const end = (finish, how) => {
    finish(how);
    socket.close();
  };
  signal.addEventListener("abort", () => end(reject, signal.reason));
  socket.onopen = () => send({ type: "connection_init", payload: who() });
  socket.onmessage = ({ data }) => {
    const { type, payload } = JSON.parse(data);
    if (type === "connection_ack") {
      send({ id: "1", type: "subscribe", payload: request });
      counted(count, "open");
    } else if (type === "next") {
      count += 1;
      show(JSON.stringify(payload));
      counted(count, "open");
    } else if (type === "error") {
      show(JSON.stringify({ errors: payload }));
      end(reject, new Error("the node refused it"));
    } else if (type === "complete") {
      counted(count, "complete");
      end(resolve);
    }
  };
  // Where it has ended before, nothing comes of this.
  socket.onclose = ({ code, reason }) => reject(new Error(`the connection was closed: ${code} ${reason}`));
});

let running = null;

const run = async () => {
  running?.abort();
  const abort = new AbortController();
  running = abort;
  const query = byId("query").value;
  const found = operations(query);
  const chosen = found.find(({ name }) => found.length > 1 && name === byId("name").value) ?? found[0];
  const request = { query };
  if (chosen?.name) request.operationName = chosen.name;
  const variables = byId("variables").value.trim();
  try {
    if (variables) request.variables = JSON.parse(variables);
  } catch (error) {
    say("status", `The variables are no JSON: ${error.message}`, true);
    return byId("variables").focus();
  }
  remember(query, variables);
  shown = [];
  byId("result").textContent = "";
  byId("stop").disabled = false;
  say("status", "…");
  const way = byId("way").value === "socket" ? overSocket : overEvents;
  try {
    await (chosen?.type === "subscription" ? way : once)(request, abort.signal);
  } catch (error) {
    if (running === abort) say("status", abort.signal.aborted ? "Stopped." : error.message, !abort.signal.aborted);
  }
  if (running !== abort) return;
  running = null;
  byId("stop").disabled = true;
};

const past = () => JSON.parse(kept.read("history") ?? "[]");

const remember = (query, variables) => {
  const others = past().filter((it) => it.query !== query || it.variables !== variables);
  kept.write("history", JSON.stringify([{ query, variables }, ...others].slice(0, HISTORY_MAX)));
  showHistory();
};

const showHistory = () => {
  const lines = past().map(({ query, variables }) => {
    const again = element("button", { textContent: query.replace(/\s+/g, " ").trim(), title: query });
    again.onclick = () => write(query, variables);
    return element("li", {}, again);
  });
  byId("history").replaceChildren(...lines);
};

/** Puts a document into the editor. */
const write = (query, variables = "") => {
  byId("query").value = query;
  byId("variables").value = variables;
  written();
  byId("query").focus();
};

/** Offers the operations of the document by name, where there are several. */
const written = () => {
  const names = operations(byId("query").value).map(({ name }) => name);
  const before = byId("name").value;
  byId("name").replaceChildren(...names.map((name) => element("option", {}, name)));
  if (names.includes(before)) byId("name").value = before;
  byId("named").hidden = names.length < 2;
  kept.write("query", byId("query").value);
  kept.write("variables", byId("variables").value);
};

const TYPE = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
const VALUE = `name description defaultValue type { ${TYPE} }`;
const SCHEMA = `{ __schema { queryType { name } mutationType { name } subscriptionType { name } types {
  kind name description fields { name description args { ${VALUE} } type { ${TYPE} } }
  inputFields { ${VALUE} } enumValues { name description } possibleTypes { name } } } }`;

let types = new Map();

const innermost = (type) => (type.ofType ? innermost(type.ofType) : type.name);

const needed = (value) => value.type.kind === "NON_NULL" && value.defaultValue === null;

/** A type as it is written, its name a way to it. */
const typed = (type) => {
  if (type.kind === "NON_NULL") return [...typed(type.ofType), "!"];
  if (type.kind === "LIST") return ["[", ...typed(type.ofType), "]"];
  return [element("a", { href: `#type-${type.name}` }, type.name)];
};

const words = (type) => typed(type).map((part) => part.textContent ?? part).join("");

/** What is asked of a type at first: its plain fields, and those of what it has, so many levels deep. */
const selection = (name, deep, indent) => {
  const type = types.get(name);
  if (!type.fields && !type.possibleTypes) return "";
  if (deep < 0) return null;
  const inner = `${indent}  `;
  const lines = type.fields
    ? type.fields.filter(({ args, name }) => !args.some(needed) && name !== "edges")
      .map((it) => [it.name, selection(innermost(it.type), deep - 1, inner)])
    : type.possibleTypes.map(({ name }) => [`... on ${name}`, selection(name, deep - 1, inner)]);
  const asked = lines.filter(([, within]) => within !== null).map(([start, within]) => inner + start + within);
  return ` {\n${asked.join("\n")}\n${indent}}`;
};

/** Values to begin with. */
const blanks = (inputs) => Object.fromEntries(inputs.filter(needed).map(({ name, type }) => {
  const { inputFields } = types.get(innermost(type));
  return [name, type.ofType.kind === "LIST" ? [] : inputFields ? blanks(inputFields) : ""];
}));

/** A document that asks for a field of a root, with what it needs as variables. */
const insert = (sort, field) => {
  const args = field.args.filter(needed);
  const list = (line) => (args.length > 0 ? `(${args.map(line).join(", ")})` : "");
  const declared = list(({ name, type }) => `$${name}: ${words(type)}`);
  const given = list(({ name }) => `${name}: $${name}`);
  const asked = selection(innermost(field.type), 1, "  ");
  const values = args.length > 0 ? JSON.stringify(blanks(args), null, 2) : "";
  write(`${sort}${declared} {\n  ${field.name}${given}${asked}\n}\n`, values);
};

const member = (it, sort) => {
  const line = element("li", {}, element("code", {}, it.name));
  line.dataset.name = it.name.toLowerCase();
  const code = line.firstChild;
  (it.args ?? []).forEach((arg, at) => {
    code.append(at === 0 ? "(" : ", ", `${arg.name}: `, ...typed(arg.type));
    if (arg.defaultValue !== null) code.append(` = ${arg.defaultValue}`);
  });
  if (it.args?.length > 0) code.append(")");
  if (it.type) code.append(": ", ...typed(it.type));
  if (it.defaultValue) code.append(` = ${it.defaultValue}`);
  if (sort) {
    const button = element("button", { ariaLabel: `Write ${it.name} into the document` }, "Write");
    button.onclick = () => insert(sort, it);
    line.append(button);
  }
  if (it.description) line.append(element("p", {}, it.description));
  return line;
};

const typeShown = (type, sort) => {
  const summary = element("summary", {}, element("code", {}, type.name), " ");
  summary.append(element("small", {}, sort ?? type.kind.toLowerCase().replace("_", " ")));
  const shown = element("details", { id: `type-${type.name}`, open: sort === "query" }, summary);
  if (type.description) shown.append(element("p", {}, type.description));
  const members = type.fields ?? type.inputFields ?? type.enumValues ?? [];
  const possible = (type.possibleTypes ?? []).map((it) => element("li", {}, ...typed(it)));
  shown.append(element("ul", {}, ...members.map((it) => member(it, sort)), ...possible));
  return shown;
};

/** Asks for the schema, which needs a token. */
const load = async () => {
  if (!byId("token").value) return say("known", "A token shows the schema.");
  const { data, errors } = await (await post({ query: SCHEMA }, "application/json")).json();
  if (!data) throw new Error(errors[0].message);
  const { __schema: schema } = data;
  const roots = new Map(["query", "mutation", "subscription"].map((sort) => [schema[`${sort}Type`]?.name, sort]));
  types = new Map(schema.types.map((type) => [type.name, type]));
  const others = schema.types.filter(({ name }) => !name.startsWith("__") && !roots.has(name));
  const all = [...[...roots.keys()].map((name) => types.get(name)), ...others].filter(Boolean);
  byId("types").replaceChildren(...all.map((type) => typeShown(type, roots.get(type.name))));
  find();
};

/** Shows the types that have the text in their name, or in that of a part. */
const find = () => {
  const text = byId("find").value.trim().toLowerCase();
  let count = 0;
  for (const type of byId("types").children) {
    const isNamed = type.id.slice(5).toLowerCase().includes(text);
    let isPart = false;
    for (const line of type.querySelectorAll("li")) {
      const isFound = (line.dataset.name ?? "").includes(text);
      line.hidden = !isNamed && !isFound;
      isPart ||= isFound;
    }
    type.hidden = !isNamed && !isPart;
    if (text) type.open = isPart;
    count += type.hidden ? 0 : 1;
  }
  say("known", `${count} of ${byId("types").children.length} types`);
};

/** Opens the type that the address names. */
const open = () => {
  const type = byId(location.hash.slice(1));
  if (type?.tagName !== "DETAILS") return;
  byId("find").value = "";
  find();
  type.open = true;
  type.scrollIntoView({ block: "nearest" });
  type.firstChild.focus();
};

const loaded = () => load().catch((error) => say("known", `The schema cannot be shown: ${error.message}`, true));

for (const id of ["token", "tenant"]) {
  byId(id).value = kept.read(id) ?? "";
  byId(id).addEventListener("change", () => {
    kept.write(id, byId(id).value);
    loaded();
  });
}
for (const id of ["query", "variables"]) byId(id).addEventListener("input", written);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
byId("who").addEventListener("submit", (event) => event.preventDefault());
byId("run").onclick = run;
byId("stop").onclick = () => running?.abort();
byId("find").addEventListener("input", find);
addEventListener("hashchange", open);
const asked = new URLSearchParams(location.search);
byId("query").value = asked.get("query") ?? kept.read("query") ?? EXAMPLE;
byId("variables").value = asked.get("variables") ?? kept.read("variables") ?? "";
written();
showHistory();
loaded();

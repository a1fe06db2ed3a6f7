// Shows the description of the API of this node, and sends what is tried. Nothing of it comes from elsewhere, and
// texts of the description are text alone.
"use strict";

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const byId = (id) => document.getElementById(id);

/** The schema that a reference names. */
const resolved = (api, schema) => {
  const path = schema?.$ref?.slice(2).split("/") ?? [];
  return path.length === 0 ? schema : path.reduce((value, part) => value?.[part], api);
};

/** A schema in a few words. */
const shape = (schema) => {
  if (schema?.enum) return schema.enum.join(" | ");
  if (schema?.$ref) return schema.$ref.split("/").at(-1);
  const types = [schema?.type ?? "any"].flat().join(" | ");
  return schema?.pattern ? `${types} ${schema.pattern}` : types;
};

/** What a body or an answer is made of, one line a field. */
const fields = (api, schema) => {
  const object = resolved(api, schema);
  const list = element("dl");
  for (const [name, field] of Object.entries(object?.properties ?? {})) {
    const needed = object.required?.includes(name) ? "" : " (optional)";
    const items = field.items ? `${shape(field.items)}[]` : shape(field);
    const what = [items + needed, field.description].filter(Boolean).join(": ");
    list.append(element("dt", { textContent: name }), element("dd", { textContent: what }));
  }
  return list;
};

/** An input for each parameter, by name. */
const parameterInputs = (form, operation) => {
  const inputs = new Map();
  for (const parameter of operation.parameters ?? []) {
    if (parameter.name === "Selvedge-Tenant") continue;
    const input = element("input", { required: parameter.required === true, spellcheck: false });
    const label = `${parameter.name} (${parameter.in}): ${parameter.description ?? ""} ${shape(parameter.schema)}`;
    form.append(element("label", {}, label, element("br"), input));
    inputs.set(parameter, input);
  }
  return inputs;
};

/** The request that the inputs make. */
const request = (method, path, inputs, body) => {
  const headers = new Headers();
  const query = new URLSearchParams();
  let target = path;
  for (const [parameter, { value }] of inputs) {
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value === "") continue;
    else if (parameter.in === "query") query.append(parameter.name, value);
    else headers.set(parameter.name, value);
  }
  if (byId("token").value) headers.set("Authorization", `Bearer ${byId("token").value}`);
  if (byId("tenant").value) headers.set("Selvedge-Tenant", byId("tenant").value);
  if (body) headers.set("Content-Type", "application/json");
  const asked = query.size > 0 ? `${target}?${query}` : target;
  return [asked, { method: method.toUpperCase(), headers, body: body || undefined }];
};

/** JSON with line breaks; other text as it is. */
const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

/** Shows an answer as it comes: a stream of events does not end. */
const show = async (output, response) => {
  const head = [`${response.status} ${response.statusText}`, ...[...response.headers].map((pair) => pair.join(": "))];
  output.textContent = `${head.join("\n")}\n\n`;
  const start = output.textContent;
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  if (!isStream) {
    output.textContent = start + pretty(await response.text());
    return;
  }
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) output.textContent += text;
};

const tryOut = (api, method, path, operation) => {
  const form = element("form");
  const inputs = parameterInputs(form, operation);
  const content = operation.requestBody?.content?.["application/json"];
  const body = element("textarea", { value: content ? JSON.stringify(content.example, null, 2) : "", spellcheck: false });
  if (content) form.append(element("h3", { textContent: "Body" }), fields(api, content.schema), body);
  const stop = element("button", { type: "button", textContent: "Stop", disabled: true });
  const output = element("pre", { hidden: true, ariaLive: "polite" });
  form.append(element("button", { textContent: "Send" }), stop, output);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const abort = new AbortController();
    stop.disabled = false;
    stop.onclick = () => abort.abort();
    output.hidden = false;
    output.textContent = "…";
    try {
      const [asked, init] = request(method, path, inputs, body.value);
      await show(output, await fetch(asked, { ...init, signal: abort.signal }));
    } catch (error) {
      output.textContent += `\n${error.message}`;
    }
    stop.disabled = true;
  });
  return form;
};

const answers = (api, operation) => {
  const list = element("dl");
  for (const [status, answer] of Object.entries(operation.responses)) {
    const schema = answer.content?.["application/json"]?.schema;
    const what = element("dd", { textContent: answer.description });
    if (schema) what.append(fields(api, schema));
    list.append(element("dt", { textContent: status }), what);
  }
  return list;
};

/** One method of one path; what is within is made when it is opened. */
const operationShown = (api, method, path, operation) => {
  const line = element("summary", {}, element("span", { className: "method", textContent: method }));
  line.append(element("code", { textContent: path }), ` ${operation.summary ?? ""}`);
  const details = element("details", { id: operation.operationId }, line);
  details.addEventListener("toggle", () => {
    const within = element("div", {}, tryOut(api, method, path, operation));
    within.append(element("h3", { textContent: "Answers" }), answers(api, operation));
    details.append(within);
  }, { once: true });
  return details;
};

const load = async () => {
  const api = await (await fetch("/openapi.json")).json();
  byId("about").textContent = api.info.description;
  for (const tag of api.tags) {
    const section = element("section", {}, element("h2", { textContent: tag.name }), element("p", { textContent: tag.description }));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (operation.tags?.includes(tag.name)) section.append(operationShown(api, method, path, operation));
      }
    }
    byId("paths").append(section);
  }
};

byId("who").addEventListener("submit", (event) => event.preventDefault());
load().catch((error) => { byId("about").textContent = `The description cannot be shown: ${error.message}`; });

/** The page: a form to enter, the messages, who is typing, and how the connection is. */

import { SelvedgeError } from "@selvedge/client";

import { enter } from "./room.js";
import type { Message, Room } from "./room.js";

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

const entrance = element("enter", HTMLFormElement);
const sayings = element("say", HTMLFormElement);
const state = element("state", HTMLParagraphElement);
const messages = element("messages", HTMLOListElement);
const typing = element("typing", HTMLParagraphElement);

/** How long somebody counts as typing after the last letter. */
const TYPING_MS = 2_000;
let room: Room | undefined;
let notTyping: ReturnType<typeof setTimeout> | undefined;

function field(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name);
  return typeof value === "string" ? value : "";
}

function show({ text, by, at }: Message): void {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleTimeString();
  line.append(time, `${by}: ${text}`);
  messages.append(line);
}

function showTyping(): void {
  typing.textContent = "Somebody is typing …";
  clearTimeout(notTyping);
  notTyping = setTimeout(() => (typing.textContent = ""), TYPING_MS);
}

function words(error: unknown): string {
  return error instanceof SelvedgeError ? `${error.message} (${error.code})` : String(error);
}

entrance.addEventListener("submit", (event) => {
  event.preventDefault();
  void (async () => {
    await room?.leave();
    messages.replaceChildren();
    state.textContent = "connecting";
    try {
      room = await enter({
        url: `${location.origin.replace(/^http/, "ws")}/ws`,
        token: field(entrance, "token"),
        key: field(entrance, "room"),
        onState: (now, why) => (state.textContent = why === undefined ? now : `${now}: ${why}`),
        onMessage: show,
        onTyping: showTyping,
        onReset: () => {
          messages.replaceChildren();
        },
      });
      sayings.hidden = false;
    } catch (error) {
      state.textContent = words(error);
    }
  })();
});

sayings.addEventListener("input", () => room?.typing());

sayings.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = field(sayings, "text");
  sayings.reset();
  room?.say(text).catch((error: unknown) => {
    state.textContent = words(error);
  });
});

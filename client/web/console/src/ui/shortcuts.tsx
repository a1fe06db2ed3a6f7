/**
 * Keys of the page: `g` and a letter goes to a view, `/` to the filter, `?` lists them. They can be switched off, for
 * those whose tools type letters by themselves; the choice is this browser's.
 */

import { signal } from "@preact/signals";
import type { Route } from "../route.js";
import { AUDIT, go, ROOM } from "../route.js";
import { Dialog } from "./dialog.js";

/** Where a letter after `g` goes. */
export const PLACES: readonly (readonly [string, string, Route])[] = [
  ["v", "Overview", { view: "overview" }],
  ["o", "Operations", { view: "operations", status: "", type: "", label: "" }],
  ["n", "Submit an operation", { view: "submit", type: "" }],
  ["a", "Actors", { view: "actors", kind: "" }],
  ["s", "Sessions", { view: "sessions" }],
  ["l", "Limits", { view: "limits" }],
  ["u", "Users, roles and API keys", { view: "users" }],
  ["t", "Audit trail", AUDIT],
  ["m", "Metrics", { view: "metrics" }],
  ["r", "Room", { view: "room", key: ROOM }],
];

const KEY = "selvedge.shortcuts";
/** How long `g` waits for its letter. */
const CHORD_MS = 1_500;

const isOn = signal(true);
const isListed = signal(false);
let chordAt = 0;

/** Listens to keys from now on. The answer ends it. */
export function startShortcuts(): () => void {
  try {
    isOn.value = localStorage.getItem(KEY) !== "off";
  } catch {
    // On, then.
  }
  document.addEventListener("keydown", press);
  return () => {
    document.removeEventListener("keydown", press);
  };
}

export function listShortcuts(): void {
  isListed.value = true;
}

function press(event: KeyboardEvent): void {
  const target = event.target instanceof HTMLElement ? event.target : undefined;
  const isTyping = target?.matches("input, textarea, select, [contenteditable]") ?? false;
  const isHeld = event.ctrlKey || event.metaKey || event.altKey;
  if (!isOn.value || isTyping || isHeld || document.querySelector("dialog[open]") !== null) return;
  const isChord = Date.now() - chordAt < CHORD_MS;
  chordAt = 0;
  if (isChord) {
    const place = PLACES.find(([letter]) => letter === event.key);
    if (place === undefined) return;
    event.preventDefault();
    go(place[2]);
  } else if (event.key === "g") {
    chordAt = Date.now();
  } else if (event.key === "?") {
    event.preventDefault();
    listShortcuts();
  } else if (event.key === "/") {
    const filter = document.querySelector<HTMLElement>("[data-filter] input, [data-filter] select");
    if (filter === null) return;
    event.preventDefault();
    filter.focus();
  }
}

function toggle(on: boolean): void {
  isOn.value = on;
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // The choice lasts as long as the page.
  }
}

/** The list of keys, while it is asked for. */
export function Shortcuts() {
  if (!isListed.value) return null;
  return (
    <Dialog
      title="Keys"
      onClose={() => {
        isListed.value = false;
      }}
    >
      <table class="keys">
        <thead class="unseen">
          <tr>
            <th scope="col">Keys</th>
            <th scope="col">What they do</th>
          </tr>
        </thead>
        <tbody>
          {PLACES.map(([letter, name]) => (
            <tr key={letter}>
              <td>
                <kbd>g</kbd> <kbd>{letter}</kbd>
              </td>
              <td>{name}</td>
            </tr>
          ))}
          <tr>
            <td>
              <kbd>/</kbd>
            </td>
            <td>To the filter of this view</td>
          </tr>
          <tr>
            <td>
              <kbd>?</kbd>
            </td>
            <td>This list</td>
          </tr>
          <tr>
            <td>
              <kbd>Esc</kbd>
            </td>
            <td>Closes a dialog</td>
          </tr>
        </tbody>
      </table>
      <label class="check">
        <input
          type="checkbox"
          checked={isOn.value}
          onChange={(event) => {
            toggle(event.currentTarget.checked);
          }}
        />
        Single keys do something on this page
      </label>
    </Dialog>
  );
}

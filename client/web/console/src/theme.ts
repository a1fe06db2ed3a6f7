/** Light, dark, or as the system says. The choice is this browser's and is kept. */

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const KEY = "selvedge.theme";
const chosen = signal<Theme>("system");
const shown = signal<"light" | "dark">("light");

export const theme: ReadonlySignal<Theme> = chosen;

/** What is on screen, for what is drawn and not styled. */
export const scheme: ReadonlySignal<"light" | "dark"> = shown;

export function choose(theme: Theme): void {
  chosen.value = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // The choice lasts as long as the page.
  }
  apply();
}

/** Takes up the choice of before, and follows the system from now on. */
export function startTheme(): void {
  try {
    chosen.value = THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? "system";
  } catch {
    // As the system says, then.
  }
  dark().addEventListener("change", apply);
  apply();
}

const dark = (): MediaQueryList => matchMedia("(prefers-color-scheme: dark)");

function apply(): void {
  const { value } = chosen;
  if (value === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = value;
  const isDark = value === "dark" || (value === "system" && dark().matches);
  shown.value = isDark ? "dark" : "light";
}

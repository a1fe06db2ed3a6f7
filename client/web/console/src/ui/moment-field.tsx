/** A moment that somebody types in the local zone, as the API has it: RFC 3339, UTC. */

import { Input } from "./field.js";

interface MomentProps {
  label: string;
  /** RFC 3339, or nothing. */
  value: string;
  hint?: string;
  error?: string | undefined;
  onInput: (value: string) => void;
}

export function MomentInput({ value, onInput, ...rest }: MomentProps) {
  return (
    <Input
      {...rest}
      type="datetime-local"
      value={toLocal(value)}
      onInput={(text) => {
        onInput(fromLocal(text));
      }}
    />
  );
}

/** As an input of the browser has it, to the minute. */
export function toLocal(text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** What it means in UTC; nothing where it is no moment. */
export function fromLocal(text: string): string {
  const at = new Date(text);
  return text === "" || Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

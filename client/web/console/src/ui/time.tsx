/** Moments: in the local zone, with UTC in the title. */

import { useComputed } from "@preact/signals";
import { now } from "../data/clock.js";
import { moment, relative, utc } from "../format.js";

const NONE = "–";

/** Date and time, or a dash. */
export function Moment({ at }: { at: Date | undefined }) {
  if (at === undefined) return <>{NONE}</>;
  return (
    <time dateTime={at.toISOString()} title={utc(at)}>
      {moment(at, new Date())}
    </time>
  );
}

/** How long ago, or until when; counts on. */
export function Ago({ at }: { at: Date | undefined }) {
  const ms = at?.getTime();
  const text = useComputed(() => (ms === undefined ? NONE : relative(ms, now.value)));
  if (at === undefined) return <>{NONE}</>;
  return (
    <time dateTime={at.toISOString()} title={`${moment(at, new Date())} here, ${utc(at)}`}>
      {text}
    </time>
  );
}

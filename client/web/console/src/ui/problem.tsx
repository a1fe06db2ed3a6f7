/** An error on screen: what went wrong, which field, what helps. */

import { remedy } from "../problem.js";
import type { Problem } from "../problem.js";

/** Words that others may follow. */
function sentence(words: string): string {
  return /[.!?…]$/.test(words) ? words : `${words}.`;
}

export function ProblemNote({ problem }: { problem: Problem }) {
  const help = remedy(problem);
  return (
    <p class="problem">
      <code>{problem.code}</code>
      {problem.field !== undefined && (
        <>
          {" in "}
          <code>{problem.field}</code>
        </>
      )}
      {": "}
      {sentence(problem.message)}
      {help !== undefined && <span class="remedy">{` ${help}`}</span>}
    </p>
  );
}

/** A room of the demo application, over the SDK: what the page shows and does, without the page. */

import type { State } from "@selvedge/client";
import { connect } from "@selvedge/client";

export interface Message {
  text: string;
  by: string;
  at: Date;
}

/** A message as the actor keeps it. */
interface Said {
  text: string;
  by: string;
  at: number;
}

export interface Entering {
  url: string;
  token: string;
  key: string;
  onState: (state: State, why?: string) => void;
  onMessage: (message: Message) => void;
  onTyping: () => void;
  /** What was shown is out of date: messages follow anew. */
  onReset: () => void;
}

export interface Room {
  say: (text: string) => Promise<void>;
  typing: () => void;
  leave: () => Promise<void>;
}

/** Others need not hear of every letter. */
const TYPING_MS_MIN = 500;

export async function enter(entering: Entering): Promise<Room> {
  const { url, token, key, onState } = entering;
  const client = await connect({ url, token, agent: "selvedge-example/0.1.0" });
  client.onState((state, why) => {
    onState(state, why?.message);
  });
  onState(client.state);
  const room = client.actor("room", key);
  const show = ({ text, by, at }: Said): void => {
    entering.onMessage({ text, by, at: new Date(at) });
  };

  async function follow(): Promise<void> {
    const { body, seq } = await room.state<{ messages: Said[] }>();
    body.messages.forEach(show);
    for await (const item of room.events({ after: seq })) {
      if (item.type === "event" && item.kind === "said") {
        show(item.data as Said);
      } else if (item.type === "gap") {
        entering.onReset();
        (item.snapshot as { messages: Said[] } | null)?.messages.forEach(show);
      } else if (item.type === "ephemeral" && item.from !== client.session?.id) {
        entering.onTyping();
      }
    }
  }
  follow().catch((error: unknown) => {
    onState(client.state, String(error));
  });

  let toldAt = -Infinity;
  return {
    say: async (text) => {
      await room.send("say", { text });
    },
    typing: () => {
      if (performance.now() - toldAt < TYPING_MS_MIN) return;
      toldAt = performance.now();
      room.tell("typing", {});
    },
    leave: () => client.close(),
  };
}

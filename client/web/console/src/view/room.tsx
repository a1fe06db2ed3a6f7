/** The shared room: what was said, who is typing, and a line to say something. */

import { useEffect, useRef, useState } from "preact/hooks";
import { TEXT_BYTES_MAX } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { Room } from "../data/room.js";
import type { Message, Outgoing } from "../data/room.js";
import { go } from "../route.js";
import { Button } from "../ui/action.js";
import { Input } from "../ui/field.js";
import { Panel } from "../ui/panel.js";
import { ProblemNote } from "../ui/problem.js";
import { Moment } from "../ui/time.js";

export function RoomView({ room: key }: { room: string }) {
  const { client } = useConsole();
  const room = useOwned(() => new Room(client, key), [client, key]);
  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{`Room ${key}`}</h1>
        <RoomForm room={key} />
      </div>
      <Panel title={`room/${key}`} class="room">
        <Messages room={room} />
        <Typing room={room} />
        <Composer room={room} />
      </Panel>
    </>
  );
}

function RoomForm({ room }: { room: string }) {
  const [key, setKey] = useState(room);
  return (
    <form
      class="filters"
      data-filter
      aria-label="Go to another room"
      onSubmit={(event) => {
        event.preventDefault();
        if (key.trim() !== "") go({ view: "room", key: key.trim() });
      }}
    >
      <Input label="Room" value={key} onInput={setKey} mono />
      <Button type="submit">Go</Button>
    </form>
  );
}

function Messages({ room }: { room: Room }) {
  const log = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const messages = room.messages.value;
  const outgoing = room.outgoing.value;
  const problem = room.problem.value;
  useEffect(() => {
    // Whoever reads what is above is left there.
    if (isAtEnd.current) log.current?.scrollTo({ top: log.current.scrollHeight });
  }, [messages, outgoing]);
  return (
    <div
      class="messages"
      ref={log}
      role="log"
      aria-label="Messages"
      aria-live="polite"
      tabIndex={0}
      onScroll={(event) => {
        const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
        isAtEnd.current = scrollHeight - scrollTop - clientHeight < END_PX;
      }}
    >
      {problem !== undefined && <ProblemNote problem={problem} />}
      {messages.length === 0 && outgoing.length === 0 && problem === undefined && (
        <p class="empty">
          {room.isOpen.value
            ? "Nobody has said anything yet. Open this room in a second tab, or run “selvedge actor watch”."
            : "Loading…"}
        </p>
      )}
      <ol>
        {messages.map((message) => (
          <Said key={message.key} message={message} />
        ))}
        {outgoing.map((message) => (
          <Sent key={message.number} message={message} room={room} />
        ))}
      </ol>
    </div>
  );
}

/** This near to the end counts as at the end. */
const END_PX = 48;

function Said({ message }: { message: Message }) {
  return (
    <li>
      <p class="by">
        <strong>{message.by}</strong> <Moment at={message.at} />
      </p>
      <p class="text">{message.text}</p>
    </li>
  );
}

function Sent({ message, room }: { message: Outgoing; room: Room }) {
  const { number, text, problem } = message;
  return (
    <li class={problem === undefined ? "sending" : "failed"}>
      <p class="by">{problem === undefined ? "Sending…" : "Not sent"}</p>
      <p class="text">{text}</p>
      {problem !== undefined && (
        <>
          <ProblemNote problem={problem} />
          <div class="buttons">
            <Button
              onClick={() => {
                room.forget(number);
                void room.say(text);
              }}
            >
              Send again
            </Button>
            <Button
              onClick={() => {
                room.forget(number);
              }}
            >
              Discard
            </Button>
          </div>
        </>
      )}
    </li>
  );
}

function Typing({ room }: { room: Room }) {
  const typing = room.typing.value;
  const names = typing.map((session) => `session …${session.slice(-4)}`);
  const verb = names.length === 1 ? "is" : "are";
  return (
    <p class="typing" aria-live="polite">
      {names.length === 0 ? "" : `${names.join(", ")} ${verb} typing…`}
    </p>
  );
}

function Composer({ room }: { room: Room }) {
  const [text, setText] = useState("");
  const length = new TextEncoder().encode(text).length;
  const isLong = length > TEXT_BYTES_MAX;
  const say = (event: Event): void => {
    event.preventDefault();
    if (text.trim() === "" || isLong) return;
    void room.say(text.trim());
    setText("");
  };
  return (
    <form class="composer" onSubmit={say} noValidate>
      <Input
        label="Message"
        value={text}
        onInput={(value) => {
          setText(value);
          if (value !== "") room.tellTyping();
        }}
        error={
          isLong
            ? `A message has at most ${TEXT_BYTES_MAX} bytes; this one has ${length}.`
            : undefined
        }
      />
      <Button type="submit" kind="primary" disabled={text.trim() === "" || isLong}>
        Say
      </Button>
    </form>
  );
}

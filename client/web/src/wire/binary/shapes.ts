/** What the frames of the binary form hold, as the tables of wire.md have it. Read by the reader and the writer. */

/** A field: its name, and the type that says how it is written. */
export type Member = readonly [name: string, type: string];

/** Frames of servers have this ordinal and greater ones. */
export const SERVER_ORDINALS = 128;

/** Each frame by its ordinal: its name, then its fields as `name:type`; `?` stands for an option, `*` for a list. */
const FRAMES = {
  1: "hello versions:u8* token:text tenant:text? agent:text resume:bytes? ext:ext*",
  2: "command number:number id:uuid? acknowledged:number target:|target name:text body:json payload:|payload deadlineMs:number ext:ext*",
  3: "query number:number target:|target name:text body:json consistency:|consistency deadlineMs:number ext:ext*",
  4: "subscribe subscription:number target:|target since:|since ext:ext*",
  5: "unsubscribe subscription:number",
  6: "ack acknowledged:number positions:position*",
  7: "workerReady types:text* capacity:number ext:ext*",
  8: "stepResult lease:number report:|report ext:ext*",
  9: "ping nonce:number",
  10: "goodbye failure:failure?",
  11: "ephemeral target:|target name:text data:json",
  12: "chunk request:|request data:piece last:flag",
  129: "welcome version:u8 session:uuid resumed:flag resumeToken:bytes node:text limits:limits ext:ext*",
  130: "reply request:|request outcome:|outcome ext:ext*",
  131: "event subscription:number seq:number kind:text timeMs:number data:json",
  132: "gap subscription:number after:number seq:number snapshot:json",
  133: "task lease:number operation:|target operationType:text step:text attempt:number input:json leaseMs:number ext:ext*",
  134: "notice notice:|notice",
  135: "redirect address:text ext:ext*",
  136: "goodbye failure:failure?",
  137: "pong nonce:number",
  138: "ephemeral subscription:number from:uuid name:text data:json",
  139: "largeGap subscription:number after:number seq:number length:number",
  140: "chunk request:|request data:piece last:flag",
  141: "window request:|request bytes:number",
};

/** Structures; and enums, whose name begins with `|`: each variant at its ordinal, with the type of what it holds. */
const PARTS = {
  actor: "kind:text key:text",
  position: "subscription:number seq:number",
  limits:
    "window:number queries:number subscriptions:number inlineBytes:number payloadBytes:number idleMs:number",
  success: "body:answer seq:number version:number",
  failure: "code:code message:text field:text? retryAfterMs:number?",
  limited: "limit:text retryAfterMs:number",
  "|target": "actor:actor operation:text operations actors cluster",
  "|payload": "none inline:bytes attached:number streamed:number?",
  "|consistency": "linearizable eventual",
  "|since": "after:number latest",
  "|request": "command:number query:number subscription:number",
  "|outcome": "success:success failure:failure",
  "|report": "heartbeat:json success:json failure:failure",
  "|notice": "draining:number limited:limited taskCancelled:number resultRefused:number",
};

/** The members of each structure and enum. */
export const SHAPES = new Map(
  Object.entries(PARTS).map(([name, text]) => [name, membersOf(text.split(" "))]),
);

/** The name and the fields of the frame of each ordinal. */
export const BY_ORDINAL = new Map(
  Object.entries(FRAMES).map(([ordinal, text]) => {
    const [name = "", ...fields] = text.split(" ");
    return [Number(ordinal), { name, fields: membersOf(fields) }];
  }),
);

/** The ordinal of each frame of a client. */
export const ORDINALS = new Map(
  [...BY_ORDINAL]
    .filter(([ordinal]) => ordinal < SERVER_ORDINALS)
    .map(([ordinal, { name }]) => [name, ordinal]),
);

function membersOf(texts: string[]): Member[] {
  return texts.map((text) => {
    const [name = "", type = ""] = text.split(":");
    return [name, type];
  });
}

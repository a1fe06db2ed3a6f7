/** Who acts, by the name that the cluster has for them; that of a user leads to what it is. */

import { href } from "../route.js";

const USER = /^user:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

export function Principal({ name }: { name: string }) {
  const id = USER.exec(name)?.[1];
  return id === undefined ? <>{name}</> : <a href={href({ view: "user", id })}>{name}</a>;
}

// The client that openapi-fetch makes of the document's types, with a record of the operations that succeeded.

import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema.js";

const address = process.argv[2];
if (address === undefined) throw new Error("give the address of a server");

const names = new WeakMap<Response, string>();
const remember: Middleware = {
  onResponse({ request, response, schemaPath }) {
    names.set(response, `${request.method.toLowerCase()} ${schemaPath}`);
    return undefined;
  },
};

const key = process.env.DIFFUSION_PIPE_API_KEY;
export const api = createClient<paths>({ baseUrl: address, headers: { Authorization: `Bearer ${key}` } });
api.use(remember);

/** Operations with the expected response. */
export const called = new Set<string>();

interface Answer {
  error?: unknown;
  response: Response;
}

function nameOf(answer: Answer): string {
  const name = names.get(answer.response);
  if (name === undefined) throw new Error(`${answer.response.url} is no answer to this client`);
  return name;
}

function wrong(answer: Answer): Error {
  return new Error(`${nameOf(answer)}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
}

/** Returns the data of a success; anything else ends the walk. */
export function data<T>(answer: Answer & { data?: { data: T } | string }): T {
  if (answer.data === undefined || typeof answer.data === "string") throw wrong(answer);
  called.add(nameOf(answer));
  return answer.data.data;
}

/** Returns the text of a response without envelope. */
export function text(answer: Answer & { data?: unknown }): string {
  if (typeof answer.data !== "string" || answer.data === "") throw wrong(answer);
  called.add(nameOf(answer));
  return answer.data;
}

/** Returns the bytes of a response without envelope. */
export function bytes(answer: Answer & { data?: unknown }): Uint8Array {
  if (!(answer.data instanceof ArrayBuffer)) throw wrong(answer);
  called.add(nameOf(answer));
  return new Uint8Array(answer.data);
}

/** Expects a success without data. */
export function succeeded(answer: Answer): void {
  if (!answer.response.ok) throw wrong(answer);
  called.add(nameOf(answer));
}

/** Expects a failure with this code. */
export function refused(answer: { error?: components["schemas"]["Failure"]; response: Response }, code: string): void {
  if (answer.error?.error.code !== code) throw wrong(answer);
  called.add(nameOf(answer));
}

/** Ends the walk unless both values are equal. */
export function same<T>(found: T, expected: T): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== other) throw new Error(`${one} is not ${other}`);
}

export async function until(look: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("timeout");
}

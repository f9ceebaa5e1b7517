/** From what a handler gave back to what is sent. */
import { estimateShallowMemoryUsageOf as memoryOf } from "bun:jsc";
import { type Exchange, fromReader, toBytes } from "./exchange";
import type { Answer } from "./options";
import { held } from "./response";
import { headerLines } from "./routes";

const TEXT = "content-type:text/plain;charset=utf-8\n";
const BINARY = "content-type:application/octet-stream\n";

/** Bytes of a body that are gathered before it is sent bit by bit. */
const AT_ONCE = 256 * 1024;

/** What Bun counts as the memory of a response without a body, bytes. */
const BARE = memoryOf(new Response(null));
/** Whether this Bun counts a body at hand with it, and no stream: before 1.4 one that was fetched counts as well. */
const COUNTS = Bun.semver.satisfies(Bun.version, ">=1.4.0")
  && memoryOf(new Response("x")) > BARE && memoryOf(new Response(new ReadableStream())) === BARE;

interface Many {
  value: unknown[];
  done: boolean;
}

/** Sends an answer. The promise, if there is one, is through when a streamed body is. */
export function send(exchange: Exchange, answer: Answer): Promise<void> | void {
  if (typeof answer === "string") return exchange.respond(200, TEXT, answer);
  if (answer instanceof Uint8Array) return exchange.respond(200, BINARY, answer);
  if (!(answer instanceof Response)) {
    throw new TypeError("lorraine: a handler must give back a Response, a string or bytes");
  }
  const known = held(answer);
  if (known !== null) {
    const lines = headerLines(answer.headers);
    const type = typeof known === "string" && !answer.headers.has("content-type") ? TEXT : "";
    return exchange.respond(answer.status, lines + type, known);
  }
  const headers = headerLines(answer.headers);
  const { status } = answer;
  if (isAtHand(answer)) {
    const whole = answer.bytes();
    const bytes: unknown = Bun.peek(whole);
    if (bytes instanceof Uint8Array) return exchange.respond(status, headers, bytes);
    // It comes later, or never: of what has failed, `peek` gives the error.
    return whole.then(bytes => exchange.respond(status, headers, bytes));
  }
  const { body } = answer;
  if (body === null) return exchange.respond(status, headers, null);
  if (body.locked) throw new TypeError("lorraine: the body of a response was used before it was sent");
  // Bun's own: all that is there at once, without a promise. For a body at hand that is the whole.
  const reader = body.getReader() as ReadableStreamDefaultReader<unknown> & { readMany(): Many | Promise<Many> };
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const many = reader.readMany();
    if (many instanceof Promise) return stream(exchange, status, headers, pieces, reader, many);
    for (const value of many.value) {
      const piece = toBytes(value);
      pieces.push(piece);
      length += piece.length;
    }
    if (many.done) break;
    // One piece of any size may be the whole of a body that was at hand.
    if (length > AT_ONCE && pieces.length > 1) return stream(exchange, status, headers, pieces, reader, null);
  }
  exchange.respond(status, headers, pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
}

/**
 * Whether the body is text or bytes that need not be waited for.
 *
 * Bun has no property that says so, and asking the body's stream costs as much as all the rest of an answer. But it counts
 * the bytes of such a body as memory of the response, beside its URL and its status text, and none of a stream or a file. A
 * wrong `false` would cost only time, a wrong `true` only that the body is gathered before it is sent.
 */
function isAtHand(response: Response): boolean {
  if (!COUNTS || response.bodyUsed) return false;
  const more = memoryOf(response) - BARE;
  return more > 0 && more > response.url.length + 2 * response.statusText.length;
}

/** The rest of a body comes as it comes; `pending` is a read that is under way. */
async function stream(
  exchange: Exchange, status: number, headers: string, pieces: Uint8Array[],
  reader: ReadableStreamDefaultReader<unknown>, pending: Promise<Many> | null,
): Promise<void> {
  const source = fromReader(reader);
  const next = source.next;
  if (pending !== null) {
    // A body that was at hand goes out whole, with its length: Bun gives it in two pieces and an end, a few microtasks
    // apart. The fields of others do not wait for their body.
    for (let reads = 0; reads < READS_AT_HAND && await isThere(pending); reads++) {
      const many = await pending;
      pieces.push(...many.value.map(toBytes));
      if (many.done) return exchange.respond(status, headers, pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
      pending = (reader as unknown as { readMany(): Promise<Many> }).readMany();
    }
    let queue: unknown[] = [];
    let ended = false;
    source.next = async () => {
      if (pending !== null) {
        const many = await pending;
        pending = null;
        queue = many.value;
        ended = many.done;
      }
      if (queue.length > 0) return toBytes(queue.shift());
      return ended ? null : next();
    };
  }
  return exchange.respondWith(status, headers, pieces, source);
}

const READS_AT_HAND = 3;
const MICROTASKS_AT_HAND = 8;

/** Whether a promise is through within a few microtasks. */
async function isThere(promise: unknown): Promise<boolean> {
  for (let n = 0; n < MICROTASKS_AT_HAND && Bun.peek.status(promise) === "pending"; n++) await undefined;
  return Bun.peek.status(promise) !== "pending";
}

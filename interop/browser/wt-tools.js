// What the cases share: sessions that are closed when the case is over, waits with a deadline, errors as sentences.

/** Thrown by a case that this browser cannot make; the text says why. */
export class Skip extends Error {}

const WAIT_MS = 30_000;

/** A case's view of the server: its address, its certificate and what the browser is known to do. */
export class Visit {
  #sessions = [];

  constructor({ base, hash, wrongHash, expect }) {
    Object.assign(this, { base, hash, wrongHash, expect });
  }

  /** Begins a session; `ready` may still fail. */
  begin(path, options = {}) {
    const trusted = { serverCertificateHashes: [{ algorithm: "sha-256", value: bytesOfBase64(this.hash) }] };
    const session = new WebTransport(this.base + path, { ...trusted, ...options });
    this.#sessions.push(session);
    // Looked at where it matters; elsewhere a rejection is no news.
    for (const promise of [session.ready, session.closed]) promise.catch(() => {});
    return session;
  }

  /** A session that is ready. */
  async open(path, options) {
    const session = this.begin(path, options);
    await within(session.ready, `session at ${path}`);
    // Chromium keeps one datagram that nobody reads yet, and drops the rest.
    if ("incomingHighWaterMark" in session.datagrams) session.datagrams.incomingHighWaterMark = 1_000;
    return session;
  }

  /** Ends the sessions of the case, whatever state they are in. */
  close() {
    for (const session of this.#sessions) {
      try {
        session.close();
      } catch {
        // It never opened, or is closed already.
      }
    }
  }
}

/** The promise's value, or an error that says what did not come. */
export async function within(promise, what, milliseconds = WAIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } catch (error) {
    throw error.message.startsWith(what) ? error : new Error(`${what}: ${describe(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

/** What the promise is rejected with; an error if it is not. */
export async function rejection(promise, what, milliseconds) {
  const outcome = promise.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  const { error, value } = await within(outcome, what, milliseconds);
  if (error === undefined) throw new Error(`${what} did not fail but gave ${show(value)}`);
  return error;
}

export function describe(error) {
  if (!(error instanceof Error)) return show(error);
  const { name, message, source, streamErrorCode } = error;
  const more = source === undefined ? "" : ` (source ${source}, stream code ${streamErrorCode})`;
  return `${name}: ${message}${more}`;
}

export function equal(actual, expected, what) {
  const [is, should] = [show(actual), show(expected)];
  if (is !== should) throw new Error(`${what}: ${is} came, not ${should}`);
}

function show(value) {
  if (value instanceof Error) return describe(value);
  const text = value instanceof Uint8Array ? `${value.length} bytes ${hex(value.slice(0, 16))}` : JSON.stringify(value);
  return text === undefined ? String(value) : text.slice(0, 300);
}

/** Bytes that differ from one seed to another. */
export function pattern(length, seed = 0) {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = (index * 7919 + seed * 104_729) >> 4;
  return bytes;
}

export async function sha256(bytes) {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

export async function readAll(readable) {
  const reader = readable.getReader();
  const chunks = [];
  for (let read = await reader.read(); !read.done; read = await reader.read()) chunks.push(read.value);
  return concat(chunks);
}

/** Writes everything in pieces, waits for room before each, and ends the stream. */
export async function writeAll(writable, bytes, piece = 65_536) {
  const writer = writable.getWriter();
  for (let at = 0; at < bytes.length; at += piece) {
    await writer.ready;
    writer.write(bytes.subarray(at, at + piece)).catch(() => {});
  }
  await writer.close();
}

/** The next `count` streams of `session.incomingUnidirectionalStreams` or its bidirectional sibling. */
export async function accept(incoming, count, what) {
  const reader = incoming.getReader();
  const streams = [];
  try {
    while (streams.length < count) {
      const { value, done } = await within(reader.read(), `${what} ${streams.length + 1} of ${count}`);
      if (done) throw new Error(`the session ended after ${streams.length} of ${count}: ${what}`);
      streams.push(value);
    }
  } finally {
    reader.releaseLock();
  }
  return streams;
}

export function concat(chunks) {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function bytesOfBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One request while JavaScript works on it: reading its body, writing its response, hearing that its client is gone. */
import type { Bridge, Live } from "./bridge";
import { BodyTooLargeError, ConnectionGoneError, StreamResetError, TimeoutError } from "./errors";
import { RESPOND_RELEASE, RESPOND_STREAM } from "./events";
import { address, AGAIN, ERROR_ARGUMENT, ERROR_LIMIT, ERROR_RESET, lastError, native } from "./native";
import { Patience } from "./patience";

/** Most bytes read in one piece. */
const PIECE = 64 * 1024;
const scratch = new Uint8Array(PIECE);
const code = new Uint32Array(1);

/** Reads what is there. `null`: the end; `undefined`: nothing yet. */
export function readPiece(handle: number): Uint8Array | null | undefined {
  const length = native.lorraine_read(handle, scratch, PIECE, code);
  if (length > 0) return scratch.slice(0, length);
  if (length === 0) return null;
  if (length === AGAIN) return undefined;
  if (length === ERROR_RESET) throw new StreamResetError(code[0]!);
  throw new ConnectionGoneError();
}

/** The trailers of a body that was read to its end; `null`: there are none. */
function readTrailers(handle: number): Headers | null {
  // A field section of a request has at most 16 KiB.
  const length = native.lorraine_request_trailers(handle, scratch, PIECE);
  if (length < 0 || length > PIECE) throw new ConnectionGoneError();
  if (length === 0) return null;
  const lines = Buffer.from(scratch.buffer, 0, length).toString("latin1").split("\n");
  return fieldsOf(lines, 0, lines.length - 1);
}

/** Fields that are `name:value` or `name: value` lines: `count` of them, from `first` on. */
export function fieldsOf(lines: string[], first: number, count: number): Headers {
  const pairs: [string, string][] = [];
  for (let at = first; at < first + count; at++) {
    const line = lines[at] ?? "";
    const colon = line.indexOf(":");
    // Space before a value is dropped by `Headers`.
    pairs.push([line.slice(0, colon), line.slice(colon + 1)]);
  }
  return new Headers(pairs);
}

export class Exchange implements Live {
  readonly handle: number;
  readonly #bridge: Bridge;
  readonly #maxBody: number;
  readonly #onDone: () => void;
  #readable: (() => void) | null = null;
  #writable: (() => void) | null = null;
  #read = 0;
  /** The body was read to its end. */
  #ended = false;
  #failed: unknown = null;
  #trailers: PromiseWithResolvers<Headers | null> | null = null;
  #done = false;
  #answered = false;
  #registered = false;
  #patience: Patience | null = null;
  /** What it was given up for, before the response was through. */
  #gone: Error | null = null;
  #abort: AbortController | null = null;
  #cancel: ((reason: unknown) => void) | null = null;

  constructor(handle: number, bridge: Bridge, maxBody: number, onDone: () => void) {
    this.handle = handle;
    this.#bridge = bridge;
    this.#maxBody = maxBody;
    this.#onDone = onDone;
  }

  get answered(): boolean {
    return this.#answered;
  }

  get done(): boolean {
    return this.#done;
  }

  /** Aborted when the client goes away before the response is through, or {@link allow} had it given up. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#gone !== null) this.#abort.abort(this.#gone);
    return this.#abort.signal;
  }

  /** From here on events of this request come here. Needed by whatever does not end within the handler's first turn. */
  register(): void {
    if (this.#registered || this.#done) return;
    this.#registered = true;
    this.#bridge.live.set(this.handle, this);
  }

  onReadable(): void {
    const readable = this.#readable;
    this.#readable = null;
    readable?.();
  }

  onWritable(): void {
    const writable = this.#writable;
    this.#writable = null;
    writable?.();
  }

  onEnded(): void {
    if (this.#done) return;
    native.lorraine_release(this.handle);
    this.#giveUp(new ConnectionGoneError());
  }

  /** Lets it stand still for so long, then answers it, or breaks its answer off; 0: as long as it likes. */
  allow(milliseconds: number): void {
    this.#patience?.stop();
    if (milliseconds === 0 || this.#done) this.#patience = null;
    else this.#patience = new Patience(milliseconds, () => this.#onStill(milliseconds));
  }

  #onStill(milliseconds: number): void {
    if (this.#answered) {
      native.lorraine_reset(this.handle, 0);
      native.lorraine_release(this.handle);
    } else {
      this.#answered = true;
      // RFC 9110 §15.5.9: the client did not send all of its request. Otherwise it is the handler that is late.
      this.#bridge.respond(this.handle, this.#readable === null ? 503 : 408, "", null, RESPOND_RELEASE);
    }
    this.#giveUp(new TimeoutError(milliseconds / 1000));
  }

  /** It is over before the response is through: everyone who waits for something hears of it. */
  #giveUp(error: Error): void {
    const cancel = this.#cancel;
    this.#gone = error;
    this.#finish();
    this.#abort?.abort(error);
    cancel?.(error);
    this.onReadable();
    this.onWritable();
  }

  /** The next piece of the body; `null` at the end. */
  async next(): Promise<Uint8Array | null> {
    for (;;) {
      const piece = this.#take();
      if (piece !== undefined) return piece;
      this.register();
      await new Promise<void>(resolve => { this.#readable = resolve; });
    }
  }

  /** As {@link next}; `undefined`: there is nothing yet. */
  #take(): Uint8Array | null | undefined {
    try {
      if (this.#done) throw this.#gone ?? new ConnectionGoneError();
      const piece = readPiece(this.handle);
      if (piece !== undefined) this.#patience?.moved();
      if (piece === null) this.#onEndOfBody();
      else if (piece !== undefined) this.#count(piece.length);
      return piece;
    } catch (error) {
      this.#failBody(error);
      throw error;
    }
  }

  /** The end of the body will not be read, nor what follows it. */
  #failBody(error: unknown): void {
    this.#failed ??= error;
    this.#trailers?.reject(error);
  }

  #onEndOfBody(): void {
    this.#ended = true;
    this.#trailers?.resolve(readTrailers(this.handle));
  }

  #count(length: number): void {
    this.#read += length;
    if (this.#read <= this.#maxBody) return;
    native.lorraine_stop_sending(this.handle, 0);
    throw new BodyTooLargeError(this.#maxBody);
  }

  /** What follows the body, once that was read to its end. Rejected where it will not be, which nobody need hear of. */
  get trailers(): Promise<Headers | null> {
    if (this.#trailers !== null) return this.#trailers.promise;
    const trailers = (this.#trailers = Promise.withResolvers());
    trailers.promise.catch(() => {});
    if (this.#done) trailers.reject(this.#gone ?? new ConnectionGoneError());
    else if (this.#ended) this.#onEndOfBody();
    else if (this.#failed !== null) trailers.reject(this.#failed);
    else this.register();
    return trailers.promise;
  }

  /** The whole body. */
  async all(): Promise<Uint8Array<ArrayBuffer>> {
    const pieces: Uint8Array[] = [];
    for (let piece = await this.next(); piece !== null; piece = await this.next()) pieces.push(piece);
    if (pieces.length === 1) return pieces[0] as Uint8Array<ArrayBuffer>;
    return new Uint8Array(Bun.concatArrayBuffers(pieces) as ArrayBuffer);
  }

  /** The body as a stream, which reads as it is read; `onUse` is told when that begins. */
  stream(onUse: () => void): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      pull: async controller => {
        onUse();
        const piece = await this.next();
        if (piece === null) controller.close();
        else controller.enqueue(piece);
      },
      cancel: () => {
        onUse();
        if (!this.#done) native.lorraine_stop_sending(this.handle, 0);
        this.#failBody(new Error("lorraine: the body was cancelled"));
        // A read that is under way hears of nothing more.
        this.onReadable();
      },
    }, { highWaterMark: 0 });
  }

  /** Sends an interim response (1xx) at once, before the answer. */
  inform(status: number, headers: string): void {
    // RFC 9114 §4.5: HTTP/3 does not switch protocols.
    if (!Number.isInteger(status) || status < 100 || status > 199 || status === 101) {
      throw new RangeError(`lorraine: an interim response has a status from 100 to 199 but 101, not ${status}`);
    }
    if (this.#gone !== null) throw this.#gone;
    if (this.#answered) throw new Error("lorraine: the request was answered: an interim response must come before that");
    if (this.#done) throw new ConnectionGoneError();
    const lines = Buffer.from(headers, "latin1");
    const told = native.lorraine_request_inform(
      this.handle, status, address(lines.length > 0 ? lines : null), lines.length,
    );
    if (told < 0) throw this.#failure(told, "an interim response cannot be sent");
    this.#patience?.moved();
  }

  /** Answers with all there is. */
  respond(status: number, headers: string, body: string | Uint8Array | null): void {
    if (this.#done || this.#answered) return;
    this.#answered = true;
    this.#bridge.respond(this.handle, status, headers, body, RESPOND_RELEASE);
    this.#finish();
    // Who still reads the body hears that it is over.
    this.onReadable();
  }

  /** Answers with what `source` brings, as fast as the client takes it. */
  async respondWith(status: number, headers: string, first: Uint8Array[], source: ByteSource): Promise<void> {
    if (this.#done || this.#answered) return source.cancel(new ConnectionGoneError());
    this.#answered = true;
    this.register();
    const lines = Buffer.from(headers, "latin1");
    // What was gathered before must not overtake it.
    this.#bridge.flush();
    const begun = native.lorraine_respond(
      this.handle, status, address(lines.length > 0 ? lines : null), lines.length, null, 0, RESPOND_STREAM,
    );
    if (begun < 0) {
      const error = this.#failure(begun, "an answer cannot be sent");
      // Without an answer, it is answered with 500.
      this.#release();
      // The event that says so is not waited for any more.
      if (error instanceof ConnectionGoneError) this.#giveUp(error);
      await source.cancel(error).catch(() => {});
      throw error;
    }
    this.#patience?.moved();
    this.#cancel = reason => void source.cancel(reason).catch(() => {});
    try {
      for (const piece of first) await this.#write(piece);
      for (let piece = await source.next(); piece !== null; piece = await source.next()) await this.#write(piece);
    } catch (error) {
      if (this.#done) return;
      native.lorraine_reset(this.handle, 0);
      this.#release();
      // The event that says so is not waited for any more.
      if (error instanceof ConnectionGoneError) this.#giveUp(error);
      await source.cancel(error).catch(() => {});
      throw error;
    }
    if (this.#done) return;
    native.lorraine_finish(this.handle, null, 0);
    this.#release();
  }

  /** What a call failed of: the client is gone, or what was passed cannot be sent. */
  #failure(result: number, what: string): Error {
    if (result === ERROR_ARGUMENT || result === ERROR_LIMIT) return new Error(`lorraine: ${what}: ${lastError()}`);
    return new ConnectionGoneError();
  }

  async #write(piece: Uint8Array): Promise<void> {
    let rest = piece;
    while (rest.length > 0) {
      if (this.#done) throw new ConnectionGoneError();
      const taken = native.lorraine_write(this.handle, rest, rest.length);
      if (taken < 0) throw this.#failure(taken, "a body cannot be sent");
      if (taken > 0) this.#patience?.moved();
      if (taken === rest.length) return;
      rest = rest.subarray(taken);
      await new Promise<void>(resolve => { this.#writable = resolve; });
    }
  }

  #release(): void {
    native.lorraine_release(this.handle);
    this.#finish();
    // Who still reads the body hears that it is over.
    this.onReadable();
    this.onWritable();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#cancel = null;
    this.#patience?.stop();
    this.#trailers?.reject(this.#gone ?? new ConnectionGoneError());
    if (this.#registered) this.#bridge.live.delete(this.handle);
    this.#onDone();
  }
}

/** Where the bytes of a response come from. */
export interface ByteSource {
  next(): Promise<Uint8Array | null>;
  cancel(reason: unknown): Promise<void>;
}

const encoder = new TextEncoder();

/** A stream as a source of bytes; text is encoded as UTF-8. */
export function fromReader(reader: ReadableStreamDefaultReader<unknown>): ByteSource {
  return {
    async next() {
      const { value, done } = await reader.read();
      return done ? null : toBytes(value);
    },
    async cancel(reason) {
      await reader.cancel(reason);
    },
  };
}

export function toBytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string") return encoder.encode(value);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError("lorraine: a stream gave something that is neither bytes nor text");
}

/** Streams of sessions, as the W3C has them, with a quicker way to write. */
import type { Bridge, Live } from "./bridge";
import { ConnectionGoneError, StreamResetError } from "./errors";
import { readPiece, toBytes } from "./exchange";
import { native } from "./native";

/** What a stream or a session failed of. */
export class WebTransportError extends Error {
  override readonly name = "WebTransportError";
  constructor(message: string, readonly source: "stream" | "session", readonly streamErrorCode: number | null = null) {
    super(message);
  }
}

/** Both halves of a stream, while either lives. */
export class StreamLive implements Live {
  readonly handle: number;
  readonly bridge: Bridge;
  readonly #onDone: (stream: StreamLive) => void;
  readonly opened = Promise.withResolvers<void>();
  #receives: boolean;
  #sends: boolean;
  #over = false;
  #readable: (() => void) | null = null;
  #writable: (() => void) | null = null;
  #stopped: number | null = null;
  /** Writes that wait for room, and whether the end is to follow them. */
  #writing = 0;
  #lastWrite: Promise<void> | null = null;
  #finishing = false;
  onStop: ((error: WebTransportError) => void) | null = null;

  constructor(handle: number, bridge: Bridge, receives: boolean, sends: boolean, onDone: (stream: StreamLive) => void) {
    this.handle = handle;
    this.bridge = bridge;
    this.#receives = receives;
    this.#sends = sends;
    this.#onDone = onDone;
    this.opened.promise.catch(() => {});
    bridge.live.set(handle, this);
  }

  get id(): number {
    const id = this.#over ? -1 : (native.lorraine_id(this.handle) as number);
    return id;
  }

  get over(): boolean {
    return this.#over;
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

  onStreamOpen(): void {
    this.opened.resolve();
  }

  onStopped(code: number): void {
    this.#stopped = code;
    this.onStop?.(new WebTransportError(`the peer stopped the stream with code ${code}`, "stream", code));
    this.onWritable();
    this.sendDone();
  }

  /** The session is over, or the stream with it. */
  onEnded(): void {
    if (this.#over) return;
    this.opened.reject(new WebTransportError("the session is over", "session"));
    this.onStop?.(new WebTransportError("the session is over", "session"));
    this.#end();
    this.onReadable();
    this.onWritable();
  }

  /** The next bytes; `null` at the end. */
  async next(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#over || !this.#receives) throw this.#gone();
      let piece: Uint8Array | null | undefined;
      try {
        piece = readPiece(this.handle);
      } catch (error) {
        this.receiveDone();
        throw error instanceof StreamResetError
          ? new WebTransportError(error.message, "stream", error.code)
          : error instanceof ConnectionGoneError ? this.#gone() : error;
      }
      if (piece !== undefined) {
        if (piece === null) this.receiveDone();
        return piece;
      }
      await new Promise<void>(resolve => { this.#readable = resolve; });
    }
  }

  /** Takes what there is room for, if nothing else waits for it; the number of bytes, or throws. */
  offer(bytes: Uint8Array): number {
    if (this.#finishing) throw this.#gone();
    return this.#writing > 0 ? 0 : this.#take(bytes);
  }

  /** Writes everything, behind the writes that wait for room. */
  write(bytes: Uint8Array): Promise<void> {
    const written = this.#write(bytes, this.#lastWrite);
    this.#lastWrite = this.#writing > 0 ? written : null;
    return written;
  }

  #take(bytes: Uint8Array): number {
    if (this.#over || !this.#sends) throw this.#gone();
    const taken = native.lorraine_write(this.handle, bytes, bytes.length);
    if (taken >= 0) return taken;
    throw this.#gone();
  }

  async #write(bytes: Uint8Array, before: Promise<void> | null): Promise<void> {
    let rest = bytes;
    this.#writing++;
    try {
      // What that failed of, this one fails of too.
      if (before !== null) await before.catch(() => {});
      while (rest.length > 0) {
        rest = rest.subarray(this.#take(rest));
        if (rest.length > 0) await new Promise<void>(resolve => { this.#writable = resolve; });
      }
    } finally {
      this.#writing--;
      if (this.#writing === 0) this.#lastWrite = null;
    }
    if (this.#finishing && this.#writing === 0) this.finish();
  }

  /** Ends the stream, behind what is being written. */
  finish(): void {
    if (this.#over || !this.#sends) return;
    this.#finishing = this.#writing > 0;
    if (this.#finishing) return;
    native.lorraine_finish(this.handle, null, 0);
    this.sendDone();
  }

  reset(code: number): void {
    if (this.#over || !this.#sends) return;
    native.lorraine_reset(this.handle, code >>> 0);
    this.sendDone();
    this.onWritable();
  }

  stop(code: number): void {
    if (this.#over || !this.#receives) return;
    native.lorraine_stop_sending(this.handle, code >>> 0);
    this.receiveDone();
    this.onReadable();
  }

  /** Nobody wants it. */
  refuse(): void {
    this.reset(0);
    this.stop(0);
  }

  order(order: number): void {
    if (!this.#over) native.lorraine_stream_order(this.handle, Math.max(-0x8000_0000, Math.min(order, 0x7fff_ffff)));
  }

  receiveDone(): void {
    this.#receives = false;
    if (!this.#sends) this.#end();
  }

  sendDone(): void {
    this.#sends = false;
    if (!this.#receives) this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.bridge.live.delete(this.handle);
    native.lorraine_release(this.handle);
    this.#onDone(this);
  }

  #gone(): WebTransportError {
    if (this.#stopped !== null) {
      return new WebTransportError(`the peer stopped the stream with code ${this.#stopped}`, "stream", this.#stopped);
    }
    return new WebTransportError("the stream is closed on this side, or its session is over", "session");
  }
}

/** The receiving half of a stream. Reads from the connection as it is read; cancelling it stops the peer. */
export class ReceiveStream extends ReadableStream<Uint8Array> {
  readonly #live: StreamLive;
  readonly #id: number;

  /** @internal */
  constructor(live: StreamLive) {
    super({
      pull: async controller => {
        const piece = await live.next();
        if (piece === null) controller.close();
        else controller.enqueue(piece);
      },
      cancel: reason => live.stop(codeOf(reason)),
    }, { highWaterMark: 0 });
    this.#live = live;
    this.#id = live.id;
  }

  /** Its ID on the wire. */
  get id(): number {
    return this.#id;
  }

  /** Asks the peer to send no more. */
  stopSending(code = 0): void {
    this.#live.stop(code);
  }
}

/** The sending half of a stream. Aborting it resets the stream. */
export class SendStream extends WritableStream<string | ArrayBuffer | ArrayBufferView> {
  readonly #live: StreamLive;
  readonly #id: number;
  #order = 0;

  /** @internal */
  constructor(live: StreamLive) {
    super({
      start: controller => {
        live.onStop = error => controller.error(error);
        // `abort` below waits for the write that is under way, which may be for room that never comes.
        const { signal } = controller as WritableStreamDefaultController & { signal: AbortSignal };
        signal.addEventListener("abort", () => live.reset(codeOf(signal.reason)));
      },
      write: chunk => live.write(toBytes(chunk)),
      close: () => live.finish(),
      abort: reason => live.reset(codeOf(reason)),
    });
    this.#live = live;
    this.#id = live.id;
  }

  /** Its ID on the wire. */
  get id(): number {
    return this.#id;
  }

  /** Streams of the session with a higher order go first; eight levels, from -4 to 3. */
  get sendOrder(): number {
    return this.#order;
  }

  set sendOrder(order: number) {
    this.#order = order;
    this.#live.order(order);
  }

  /**
   * Writes without the queue of a `WritableStream`: gives the number of bytes if all were taken at once, or a promise that
   * is through when the rest was taken. Who does not wait for it has the rest kept, however much that is.
   */
  write(chunk: string | ArrayBuffer | ArrayBufferView): number | Promise<void> {
    const bytes = toBytes(chunk);
    const taken = this.#live.offer(bytes);
    return taken === bytes.length ? taken : this.#live.write(bytes.subarray(taken));
  }

  /** Ends the stream, behind a last chunk if one is given. */
  end(chunk?: string | ArrayBuffer | ArrayBufferView): void | Promise<void> {
    const written = chunk === undefined ? 0 : this.write(chunk);
    if (written instanceof Promise) return written.then(() => this.#live.finish());
    this.#live.finish();
  }

  /** Gives the stream up: what was written may not arrive. */
  reset(code = 0): void {
    this.#live.reset(code);
  }
}

/** A stream both ways. */
export interface BidiStream {
  readonly id: number;
  readonly readable: ReceiveStream;
  readonly writable: SendStream;
}

export function bidi(live: StreamLive): BidiStream {
  return { id: live.id, readable: new ReceiveStream(live), writable: new SendStream(live) };
}

function codeOf(reason: unknown): number {
  if (typeof reason === "number") return reason;
  return reason instanceof WebTransportError ? (reason.streamErrorCode ?? 0) : 0;
}

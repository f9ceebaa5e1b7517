/**
 * One server's side of the bridge: takes events in batches, hands each to whom it is about, and gathers what is to be
 * sent back into one call.
 *
 * The doorbell is a socket whose byte says that events wait; no native thread ever touches JavaScript. A batch has at
 * most 256 events, so that timers and other I/O get their turn under load.
 */
import { JSCallback } from "bun:ffi";
import {
  COMMAND_DATAGRAM, COMMAND_RESPOND, COMMAND_SIZE, EVENT_DATAGRAM, EVENT_ENDED, EVENT_READABLE, EVENT_SESSION_CLOSED,
  EVENT_SESSION_DRAINING, EVENT_SESSION_OPEN, EVENT_SIZE, EVENT_STOPPED, EVENT_STREAM, EVENT_STREAM_OPEN,
  EVENT_STREAM_RESET, EVENT_STREAM_STOPPED, EVENT_WRITABLE, EVENT_REQUEST, EVENT_SESSION_REQUEST,
} from "./events";
import { address, check, ERROR_ARGUMENT, ERROR_TOO_LARGE, lastError, native } from "./native";

/** How a server's events reach JavaScript. */
export type Doorbell = "socket" | "callback" | "poll";

/** What lives behind a handle. Each is told only what can happen to it. */
export interface Live {
  onReadable?(): void;
  onWritable?(): void;
  onEnded?(): void;
  onStreamOpen?(): void;
  onStopped?(code: number): void;
  onReset?(code: number): void;
  onSessionOpen?(protocol: string): void;
  onSessionClosed?(code: number, reason: string, flags: number): void;
  onDraining?(): void;
  onStream?(handle: number, flags: number): void;
  onDatagram?(bytes: Uint8Array): void;
}

/** What a server does with what is new. */
export interface Listener {
  onRequest(handle: number, route: number, counts: number, flags: number, text: string): void;
  onSessionRequest(handle: number, route: number, counts: number, flags: number, text: string): void;
  onStopped(error: string | null): void;
  onError(error: unknown): void;
}

/** Buffers with the methods that Bun has and its types leave out. */
interface Text {
  latin1Slice(begin: number, end: number): string;
  utf8Slice(begin: number, end: number): string;
  latin1Write(text: string, at: number): number;
  utf8Write(text: string, at: number): number;
}

function buffer(length: number): Buffer<ArrayBuffer> & Text {
  return Buffer.from(new ArrayBuffer(length)) as Buffer<ArrayBuffer> & Text;
}

const BATCH = 256;
/** What is gathered before it is handed over in mid-batch, bytes. */
const SUBMIT_BYTES = 512 * 1024;
/** How often events are looked for where nothing rings. */
const UNRUNG_MS = 5;
const HIGH = 0x1_0000_0000;

export class Bridge {
  readonly live = new Map<number, Live>();
  readonly #server: number;
  readonly #listener: Listener;
  #events = buffer(256 * 1024);
  #words = new Uint32Array(this.#events.buffer);
  #commands = buffer(SUBMIT_BYTES);
  #commandWords = new Uint32Array(this.#commands.buffer);
  #used = 0;
  #draining = false;
  #flushQueued = false;
  #closed = false;
  #socket: { end(): void; ref(): void; unref(): void } | null = null;
  #callback: JSCallback | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;
  #referenced = true;
  readonly counters = { batches: 0, events: 0 };

  constructor(server: number, listener: Listener, doorbell: Doorbell) {
    this.#server = server;
    this.#listener = listener;
    this.#hang(doorbell);
  }

  get closed(): boolean {
    return this.#closed;
  }

  ref(): void {
    this.#referenced = true;
    this.#socket?.ref();
    this.#timer?.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#socket?.unref();
    this.#timer?.unref();
  }

  /** Takes what waits, at once: for a server without a doorbell. How many events there were. */
  poll(): number {
    const before = this.counters.events;
    this.#drain();
    return this.counters.events - before;
  }

  #hang(doorbell: Doorbell): void {
    const wake = () => this.#drain();
    if (doorbell === "socket") {
      const fd = check(native.lorraine_doorbell(this.#server), "no doorbell");
      // Documented in bun-types as FdSocketOptions only.
      const connected = Bun.connect({ fd, socket: { data: wake, close: () => {}, error: () => {} } } as never) as Promise<{
        end(): void; ref(): void; unref(): void;
      }>;
      connected.then(
        socket => {
          if (this.#closed) return socket.end();
          this.#socket = socket;
          if (!this.#referenced) socket.unref();
          this.#drain();
        },
        error => {
          const words = `lorraine: the doorbell cannot be connected, so events are looked for every ${UNRUNG_MS} ms`;
          this.#listener.onError(new Error(words, { cause: error }));
          if (this.#closed) return;
          // It would find nobody, and take the host for gone.
          native.lorraine_set_doorbell(this.#server, null, null);
          this.#timer = setInterval(wake, UNRUNG_MS);
          if (!this.#referenced) this.#timer.unref();
        },
      );
    } else if (doorbell === "callback") {
      if (!Bun.isMainThread) throw new Error("lorraine: the doorbell \"callback\" works on the main thread only");
      this.#callback = new JSCallback(wake, { args: ["ptr"], returns: "void", threadsafe: true });
      check(native.lorraine_set_doorbell(this.#server, this.#callback.ptr, null), "no doorbell");
      // A callback does not keep the process alive; this does.
      this.#timer = setInterval(() => {}, 0x7fff_ffff);
      setImmediate(wake);
    } else if (doorbell !== "poll") {
      throw new RangeError(`lorraine: doorbell must be socket, callback or poll, not ${doorbell}`);
    }
  }

  /** The server has stopped: nothing is told any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket?.end();
    this.#socket = null;
    if (this.#timer !== null) clearInterval(this.#timer);
    const callback = this.#callback;
    // Waits for a native thread that is just ringing.
    if (callback !== null) native.lorraine_set_doorbell(this.#server, null, null);
    // What was queued before still runs once, and finds this closed.
    if (callback !== null) setImmediate(() => callback.close());
    for (const live of [...this.live.values()]) this.#guarded(() => live.onEnded?.());
    this.live.clear();
  }

  #drain(): void {
    if (this.#closed || this.#draining) return;
    this.#draining = true;
    let count = 0;
    try {
      count = this.#take();
      this.flush();
    } finally {
      this.#draining = false;
    }
    if (this.#closed) return;
    if (count > 0 || native.lorraine_arm(this.#server) === 0) setImmediate(() => this.#drain());
  }

  #take(): number {
    let count = native.lorraine_poll(this.#server, this.#events, this.#events.length, BATCH);
    while (count === ERROR_TOO_LARGE) {
      this.#events = buffer(this.#events.length * 2);
      this.#words = new Uint32Array(this.#events.buffer);
      count = native.lorraine_poll(this.#server, this.#events, this.#events.length, BATCH);
    }
    if (count <= 0) return 0;
    this.counters.batches++;
    this.counters.events += count;
    let at = 0;
    for (let n = 0; n < count && !this.#closed; n++) {
      const size = this.#words[(at >> 2) + 9]!;
      try {
        this.#dispatch(at);
      } catch (error) {
        this.#listener.onError(error);
      }
      at += size;
    }
    return count;
  }

  #dispatch(at: number): void {
    const words = this.#words;
    const base = at >> 2;
    const kind = words[base]!;
    const flags = words[base + 1]!;
    const handle = words[base + 2]! + words[base + 3]! * HIGH;
    const code = words[base + 7]!;
    const begin = at + EVENT_SIZE;
    const end = begin + words[base + 8]!;
    switch (kind) {
      case EVENT_REQUEST:
        return this.#listener.onRequest(handle, words[base + 6]!, code, flags, this.#events.latin1Slice(begin, end));
      case EVENT_SESSION_REQUEST:
        return this.#listener.onSessionRequest(
          handle, words[base + 6]!, code, flags, this.#events.latin1Slice(begin, end),
        );
      case EVENT_DATAGRAM:
        // No Buffer: its `slice` copies nothing, and who keeps a datagram must copy it.
        return this.live.get(handle)?.onDatagram?.(new Uint8Array(this.#events.buffer, begin, end - begin));
      case EVENT_READABLE:
        return this.live.get(handle)?.onReadable?.();
      case EVENT_WRITABLE:
        return this.live.get(handle)?.onWritable?.();
      case EVENT_ENDED:
        return this.#last(handle, live => live.onEnded?.());
      case EVENT_STREAM: {
        const session = this.live.get(words[base + 4]! + words[base + 5]! * HIGH);
        // Its session is over here.
        if (session === undefined) return void native.lorraine_release(handle);
        return session.onStream?.(handle, flags);
      }
      case EVENT_STREAM_OPEN:
        return this.live.get(handle)?.onStreamOpen?.();
      case EVENT_STREAM_STOPPED:
        return this.live.get(handle)?.onStopped?.(code);
      case EVENT_STREAM_RESET:
        return this.live.get(handle)?.onReset?.(code);
      case EVENT_SESSION_OPEN:
        return this.live.get(handle)?.onSessionOpen?.(this.#events.utf8Slice(begin, end));
      case EVENT_SESSION_CLOSED:
        return this.#last(handle, live => live.onSessionClosed?.(code, this.#events.utf8Slice(begin, end), flags));
      case EVENT_SESSION_DRAINING:
        return this.live.get(handle)?.onDraining?.();
      case EVENT_STOPPED: {
        const words = this.#events.utf8Slice(begin, end);
        return this.#listener.onStopped(code === 0 ? null : words);
      }
      default:
        // Of a newer library: nothing that concerns us.
        return;
    }
  }

  /** What nobody here holds is let go of: nothing more comes of it. */
  #last(handle: number, tell: (live: Live) => void): void {
    const live = this.live.get(handle);
    if (live === undefined) native.lorraine_release(handle);
    else tell(live);
  }

  /** Queues a complete response; headers are latin1 lines. */
  respond(handle: number, status: number, headers: string, body: string | Uint8Array | null, flags: number): void {
    const bodyRoom = body === null ? 0 : typeof body === "string" ? body.length * 3 : body.length;
    const at = this.#reserve(headers.length + bodyRoom);
    if (at < 0) return this.#respondAlone(handle, status, headers, body, flags);
    const headersLength = headers.length === 0 ? 0 : this.#commands.latin1Write(headers, at + COMMAND_SIZE);
    const bodyAt = at + COMMAND_SIZE + headersLength;
    let bodyLength = 0;
    if (typeof body === "string") bodyLength = this.#commands.utf8Write(body, bodyAt);
    else if (body !== null) {
      this.#commands.set(body, bodyAt);
      bodyLength = body.length;
    }
    this.#command(at, COMMAND_RESPOND, handle, status, flags, headersLength, bodyLength);
  }

  /** Queues a datagram. */
  datagram(handle: number, bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    if (at < 0) return;
    this.#commands.set(bytes, at + COMMAND_SIZE);
    this.#command(at, COMMAND_DATAGRAM, handle, 0, 0, 0, bytes.length);
  }

  /** Hands over what was gathered. */
  flush(): void {
    const used = this.#used;
    if (used === 0) return;
    this.#used = 0;
    const failed = native.lorraine_submit(this.#commands, used);
    if (failed !== 0) {
      try {
        check(failed < 0 ? failed : -1, "an answer cannot be sent");
      } catch (error) {
        this.#listener.onError(error);
      }
    }
  }

  /** Room for a command with so much behind it; -1: more than the buffer ever has. */
  #reserve(length: number): number {
    const room = COMMAND_SIZE + ((length + 7) & ~7);
    if (room > SUBMIT_BYTES) return -1;
    if (this.#used + room > SUBMIT_BYTES) this.flush();
    return this.#used;
  }

  #command(
    at: number, kind: number, handle: number, status: number, flags: number, headersLength: number, bodyLength: number,
  ): void {
    const size = (COMMAND_SIZE + headersLength + bodyLength + 7) & ~7;
    const words = this.#commandWords;
    const base = at >> 2;
    words[base] = kind;
    words[base + 1] = size;
    words[base + 2] = handle >>> 0;
    words[base + 3] = (handle / HIGH) >>> 0;
    words[base + 4] = status;
    words[base + 5] = flags;
    words[base + 6] = headersLength;
    words[base + 7] = bodyLength;
    this.#used = at + size;
    if (!this.#draining && !this.#flushQueued) {
      this.#flushQueued = true;
      queueMicrotask(() => {
        this.#flushQueued = false;
        this.flush();
      });
    }
  }

  /** A response too large for the buffer goes by itself. */
  #respondAlone(handle: number, status: number, headers: string, body: string | Uint8Array | null, flags: number): void {
    const lines = Buffer.from(headers, "latin1");
    const bytes = body === null ? Buffer.alloc(0) : typeof body === "string" ? Buffer.from(body) : body;
    const failed = native.lorraine_respond(
      handle, status, address(lines.length > 0 ? lines : null), lines.length,
      address(bytes.length > 0 ? bytes : null), bytes.length, flags,
    );
    // What the client's going away made stale is no failure.
    if (failed !== ERROR_ARGUMENT) return;
    const error = new Error(`lorraine: an answer cannot be sent: ${lastError()}`);
    // Without an answer, it is answered with 500.
    native.lorraine_release(handle);
    this.#listener.onError(error);
  }

  #guarded(f: () => void): void {
    try {
      f();
    } catch (error) {
      this.#listener.onError(error);
    }
  }
}

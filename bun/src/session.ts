/** WebTransport sessions: W3C's names on a server, with callbacks for those who want them. */
import type { Live } from "./bridge";
import { readSessionStats, type SessionStats } from "./metrics";
import { FLAG_BIDIRECTIONAL, FLAG_LOST } from "./events";
import { toBytes } from "./exchange";
import { address, ERROR_LIMIT, native } from "./native";
import type { MaybePromise } from "./options";
import { type H3Request, peerOf } from "./request";
import type { Server } from "./serve";
import type { SessionTable } from "./sessions";
import { bidi, type BidiStream, ReceiveStream, SendStream, StreamLive, WebTransportError } from "./streams";

/** Whom sessions are opened for, and what happens in them. The shape of Bun's `websocket`. */
export interface WebTransportOptions<D = undefined> {
  /** Decides on a request for a session: the session's `data`, alone or with more; or a response that refuses. */
  upgrade?(
    request: H3Request, server: Server<D>,
  ): MaybePromise<D | { data: D; headers?: ConstructorParameters<typeof Headers>[0]; protocol?: string } | Response>;
  open?(session: WebTransportSession<D>): MaybePromise<void>;
  /** A datagram. Its bytes are there during the call only: copy what is to stay. */
  datagram?(session: WebTransportSession<D>, data: Uint8Array): void;
  /** A stream both ways that the client opened. Without this, they come from `incomingBidirectionalStreams`. */
  bidi?(session: WebTransportSession<D>, stream: BidiStream): MaybePromise<void>;
  /** A stream one way that the client opened. Without this, they come from `incomingUnidirectionalStreams`. */
  uni?(session: WebTransportSession<D>, stream: ReceiveStream): MaybePromise<void>;
  /** The end of a session that `open` was called for. */
  close?(session: WebTransportSession<D>, code: number, reason: string): void;
  /** The client asks to begin nothing new. */
  drain?(session: WebTransportSession<D>): void;
  /** Subprotocols that are spoken; the first that the client names of them is taken, unless `upgrade` chooses. */
  protocols?: string[];
  /** Origins whose pages may open sessions, "*" for all; the server's own, unless set. */
  origins?: string[] | ((origin: string) => boolean);
  /** Incoming datagrams that wait for `datagrams.readable`, the oldest dropped first; 64. */
  datagramHighWaterMark?: number;
}

export interface SendOptions {
  sendOrder?: number;
}

export interface DatagramDuplex {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<string | ArrayBuffer | ArrayBufferView>;
  createWritable(): WritableStream<string | ArrayBuffer | ArrayBufferView>;
  readonly maxDatagramSize: number;
  incomingHighWaterMark: number;
}

const HIGH_WATER_MARK = 64;

/** A queue behind a `ReadableStream`, which drops nothing. */
class Incoming<T> {
  readonly stream: ReadableStream<T>;
  #controller!: ReadableStreamDefaultController<T>;
  #over = false;

  constructor() {
    this.stream = new ReadableStream<T>({ start: controller => { this.#controller = controller; } });
  }

  /** `false`: nobody will take it. */
  push(item: T): boolean {
    if (this.#over) return false;
    try {
      this.#controller.enqueue(item);
      return true;
    } catch {
      // The reader has gone away.
      return false;
    }
  }

  close(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    // A reader that has gone away has closed it itself.
    try {
      if (error === null) this.#controller.close();
      else this.#controller.error(error);
    } catch {}
  }
}

export class WebTransportSession<D = undefined> implements Live, AsyncDisposable {
  data: D;
  readonly request: H3Request;
  /** Through when the session is open; fails if the client went away before. */
  readonly ready: Promise<void>;
  /** Through at the end, by whichever side. It never fails. */
  readonly closed: Promise<{ closeCode: number; reason: string }>;
  /** Through when the client asks to begin nothing new. */
  readonly draining: Promise<void>;
  readonly datagrams: DatagramDuplex;
  readonly #handle: number;
  readonly #table: SessionTable<D>;
  readonly #streams = new Set<StreamLive>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<{ closeCode: number; reason: string }>();
  readonly #draining = Promise.withResolvers<void>();
  #bidi: Incoming<BidiStream> | null = null;
  #uni: Incoming<ReceiveStream> | null = null;
  #protocol = "";
  #opened = false;
  #greeted = false;
  #over = false;
  /** What its streams end with; `null`: they are through. */
  #failed: Error | null = null;
  #closing: { closeCode?: number; reason?: string } | null = null;
  #longest = 0;
  #id = -1;
  #highWaterMark: number;
  #waiting: Uint8Array[] = [];
  #wanted: (() => void) | null = null;

  /** @internal */
  constructor(handle: number, request: H3Request, data: D, table: SessionTable<D>) {
    this.#handle = handle;
    this.request = request;
    this.data = data;
    this.#table = table;
    this.ready = this.#ready.promise;
    this.closed = this.#closed.promise;
    this.draining = this.#draining.promise;
    this.#highWaterMark = table.options?.datagramHighWaterMark ?? HIGH_WATER_MARK;
    this.ready.catch(() => {});
    this.datagrams = this.#duplex();
  }

  /** The ID of its CONNECT stream. */
  get id(): number {
    return this.#id;
  }

  get url(): string {
    return this.request.url;
  }

  /** The subprotocol that was agreed on, or "". */
  get protocol(): string {
    return this.#protocol;
  }

  get remoteAddress(): string {
    return peerOf(this.request);
  }

  /** Streams both ways that the client opens, where there is no handler for them. */
  get incomingBidirectionalStreams(): ReadableStream<BidiStream> {
    return this.#incomingBidi().stream;
  }

  /** Streams one way that the client opens, where there is no handler for them. */
  get incomingUnidirectionalStreams(): ReadableStream<ReceiveStream> {
    return this.#incomingUni().stream;
  }

  /** Opens a stream both ways; waits while the client allows no more. */
  async createBidirectionalStream(options: SendOptions = {}): Promise<BidiStream> {
    const live = await this.#open(true, options);
    return bidi(live);
  }

  /** Opens a stream one way; waits while the client allows no more. */
  async createUnidirectionalStream(options: SendOptions = {}): Promise<SendStream> {
    return new SendStream(await this.#open(false, options));
  }

  /** Sends a datagram, soon. `false`: it is too large, or the session is over, and it was dropped. */
  sendDatagram(data: string | ArrayBuffer | ArrayBufferView): boolean {
    if (this.#over) return false;
    const bytes = toBytes(data);
    if (bytes.length > this.#maxDatagram()) return false;
    this.#table.bridge.datagram(this.#handle, bytes);
    return true;
  }

  subscribe(topic: string): void {
    if (!this.#over) this.#table.subscribe(topic, this);
  }

  unsubscribe(topic: string): void {
    this.#table.unsubscribe(topic, this);
  }

  isSubscribed(topic: string): boolean {
    return this.#table.isSubscribed(topic, this);
  }

  /** What passed through the session so far, and the state of its connection. Fails once it is over. */
  getStats(): SessionStats {
    if (this.#over || !this.#opened) throw new WebTransportError("the session is not open", "session");
    this.#table.bridge.flush();
    return readSessionStats(this.#handle);
  }

  /** Asks the client to begin nothing new. */
  drain(): void {
    if (!this.#over) native.lorraine_session_drain(this.#handle);
  }

  /** Closes the session; what is still under way is reset. */
  close(info: { closeCode?: number; reason?: string } = {}): void {
    if (this.#over) return;
    // As soon as it is open.
    if (!this.#opened) return void (this.#closing ??= info);
    // Datagrams that were sent before go first.
    this.#table.bridge.flush();
    const reason = Buffer.from(info.reason ?? "");
    const bytes = address(reason.length > 0 ? reason : null);
    native.lorraine_session_close(this.#handle, (info.closeCode ?? 0) >>> 0, bytes, reason.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.closed;
  }

  // --- What the bridge tells ---------------------------------------------------------------------------------------

  /** @internal */
  onSessionOpen(protocol: string): void {
    this.#protocol = protocol;
    this.#id = native.lorraine_id(this.#handle);
    this.#ready.resolve();
    this.#opened = true;
    if (this.#closing !== null) return this.close(this.#closing);
    this.#greeted = true;
    this.#table.run(this, () => this.#table.options?.open?.(this));
  }

  /** @internal */
  onSessionClosed(code: number, reason: string, flags: number): void {
    this.#end(code, reason, (flags & FLAG_LOST) !== 0);
  }

  /** @internal */
  onDraining(): void {
    this.#draining.resolve();
    this.#table.run(this, () => this.#table.options?.drain?.(this));
  }

  /** @internal */
  onStream(handle: number, flags: number): void {
    const both = (flags & FLAG_BIDIRECTIONAL) !== 0;
    const live = new StreamLive(handle, this.#table.bridge, true, both, stream => this.#streams.delete(stream));
    this.#streams.add(live);
    const options = this.#table.options;
    if (both) {
      const stream = bidi(live);
      if (options?.bidi) this.#table.run(this, () => options.bidi!(this, stream), live);
      else if (!this.#incomingBidi().push(stream)) live.refuse();
    } else {
      const stream = new ReceiveStream(live);
      if (options?.uni) this.#table.run(this, () => options.uni!(this, stream), live);
      else if (!this.#incomingUni().push(stream)) live.refuse();
    }
  }

  /** @internal */
  onDatagram(bytes: Uint8Array): void {
    const handler = this.#table.options?.datagram;
    if (handler) return this.#table.run(this, () => handler(this, bytes));
    this.#waiting.push(bytes.slice());
    if (this.#waiting.length > this.#highWaterMark) this.#waiting.shift();
    const wanted = this.#wanted;
    this.#wanted = null;
    wanted?.();
  }

  /** The client went away before the session was open, or the server has stopped. @internal */
  onEnded(): void {
    this.#ready.reject(new WebTransportError("the client went away", "session"));
    this.#end(0, "the connection is gone", true);
  }

  // --- Within ------------------------------------------------------------------------------------------------------

  #end(code: number, reason: string, lost: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#failed = lost ? new WebTransportError(reason, "session") : null;
    for (const stream of [...this.#streams]) stream.onEnded();
    this.#bidi?.close(this.#failed);
    this.#uni?.close(this.#failed);
    this.#wanted?.();
    native.lorraine_release(this.#handle);
    this.#table.forget(this.#handle, this);
    this.#closed.resolve({ closeCode: code, reason });
    if (this.#greeted) this.#table.run(this, () => this.#table.options?.close?.(this, code, reason));
  }

  #incomingBidi(): Incoming<BidiStream> {
    return (this.#bidi ??= this.#incoming());
  }

  #incomingUni(): Incoming<ReceiveStream> {
    return (this.#uni ??= this.#incoming());
  }

  #incoming<T>(): Incoming<T> {
    const incoming = new Incoming<T>();
    if (this.#over) incoming.close(this.#failed);
    return incoming;
  }

  async #open(both: boolean, options: SendOptions): Promise<StreamLive> {
    await this.ready;
    const bits = new BigUint64Array(1);
    const opened = native.lorraine_stream_open(this.#handle, both ? 1 : 0, bits);
    if (opened === ERROR_LIMIT) throw new WebTransportError("too many streams wait to be opened", "session");
    if (this.#over || opened < 0) throw new WebTransportError("the session is over", "session");
    const live = new StreamLive(Number(bits[0]), this.#table.bridge, both, true, stream => this.#streams.delete(stream));
    this.#streams.add(live);
    if (options.sendOrder !== undefined) live.order(options.sendOrder);
    await live.opened.promise;
    return live;
  }

  #maxDatagram(): number {
    if (this.#longest === 0) {
      const longest = native.lorraine_datagram_max(this.#handle);
      this.#longest = longest > 0 ? longest : 0;
    }
    // Not known yet: the least that every path carries.
    return this.#longest === 0 ? 1024 : this.#longest;
  }

  #duplex(): DatagramDuplex {
    const session = this;
    const readable = new ReadableStream<Uint8Array>({
      pull: async controller => {
        while (session.#waiting.length === 0 && !session.#over) {
          await new Promise<void>(resolve => { session.#wanted = resolve; });
        }
        const next = session.#waiting.shift();
        if (next === undefined) controller.close();
        else controller.enqueue(next);
      },
    }, { highWaterMark: 0 });
    const createWritable = () => new WritableStream<string | ArrayBuffer | ArrayBufferView>({
      write: chunk => void session.sendDatagram(chunk),
    });
    const writable = createWritable();
    return {
      readable,
      writable,
      createWritable,
      get maxDatagramSize() {
        return session.#maxDatagram();
      },
      get incomingHighWaterMark() {
        return session.#highWaterMark;
      },
      set incomingHighWaterMark(mark: number) {
        session.#highWaterMark = Math.max(0, mark);
      },
    };
  }
}

/** `serve`: a running server as a program holds it. */
import { Bridge, type Doorbell, type Listener } from "./bridge";
import { giveCertificates, readCertificates, tryCertificates } from "./certificates";
import { BodyTooLargeError, ConnectionGoneError, TimeoutError } from "./errors";
import { Exchange } from "./exchange";
import { readMetrics, type Metrics } from "./metrics";
import { check, native } from "./native";
import { type Answer, encodeOptions, type MaybePromise, type ServeOptions } from "./options";
import { exchangeOf, type H3Request, makeRequest, peerOf } from "./request";
import { send } from "./respond";
import { FALLBACK, RouteTable } from "./routes";
import type { WebTransportSession } from "./session";
import { SessionTable } from "./sessions";

const MAX_BODY = 128 * 1024 * 1024;
/** How long a stop waits for what is under way, unless it is told otherwise. */
const GRACE_MS = 30_000;
/** Seconds that a timer can hold. */
const MAX_TIMEOUT = 2_147_483;

/** A running server. */
export class Server<D = undefined> implements Listener, AsyncDisposable, Disposable {
  readonly port: number;
  readonly hostname: string;
  readonly url: URL;
  readonly id: string;
  readonly #handle: number;
  readonly #bridge: Bridge;
  readonly #sessions: SessionTable<D>;
  readonly #stopped = Promise.withResolvers<void>();
  #options: ServeOptions<D, string>;
  #table: RouteTable;
  #pending = 0;
  #isStopped = false;

  /** Use {@link serve}. */
  constructor(options: ServeOptions<D, string>, id: string) {
    this.#options = options;
    this.id = id;
    const { struct, held } = encodeOptions(options as never);
    const handle = new Float64Array(1);
    const bits = new BigUint64Array(handle.buffer);
    check(native.lorraine_new(struct, bits), "the server cannot be made");
    void held;
    this.#handle = Number(bits[0]);
    let bridge: Bridge | undefined;
    try {
      if (options.tls !== undefined) giveCertificates(this.#handle, readCertificates(options.tls));
      this.#table = this.#declare(options, null);
      bridge = new Bridge(this.#handle, this, options.doorbell ?? "socket");
      this.#bridge = bridge;
      this.#sessions = new SessionTable(bridge, this, options.webtransport);
      check(native.lorraine_start(this.#handle), "the server cannot start");
    } catch (error) {
      // It would keep the process alive.
      bridge?.close();
      native.lorraine_free(this.#handle);
      throw error;
    }
    this.port = native.lorraine_port(this.#handle);
    this.hostname = options.hostname ?? "::";
    this.url = new URL(`https://${isAny(this.hostname) ? "localhost" : bracketed(this.hostname)}:${this.port}/`);
    running.add(this as unknown as Server<never>);
  }

  /** Requests whose responses are not through. */
  get pendingRequests(): number {
    return this.#pending;
  }

  /** Sessions that are open. */
  get pendingSessions(): number {
    return this.#sessions.size;
  }

  /** Through when the server has stopped, by whomever; it fails with what a worker died of. */
  get stopped(): Promise<void> {
    return this.#stopped.promise;
  }

  /** The WebTransport sessions that are open. */
  get sessions(): Iterable<WebTransportSession<D>> {
    return this.#sessions.open;
  }

  /**
   * Stops: no new connections, GOAWAY on the old ones, and what is under way gets `timeout` ms (30,000; 0 with `true`).
   * Through when the last thread has ended. May be called in a handler, which must not wait for it: its own answer is what
   * the stop waits for.
   */
  stop(closeActive: boolean | { timeout?: number } = false): Promise<void> {
    // What is called the same from now on is another server.
    if (named.get(this.id) === (this as unknown)) named.delete(this.id);
    if (!this.#isStopped) {
      const grace = typeof closeActive === "object" ? (closeActive.timeout ?? GRACE_MS) : closeActive ? 0 : GRACE_MS;
      native.lorraine_stop(this.#handle, Math.max(0, Math.min(grace, 0xffff_ffff)));
    }
    return this.#stopped.promise;
  }

  /** Puts other routes, handlers and certificates into force, for new requests and connections. */
  reload(options: Partial<ServeOptions<D, string>>): this {
    this.#mustRun();
    const next = { ...this.#options, ...options };
    if (next.webtransport !== undefined && this.#options.webtransport === undefined) {
      throw new Error("lorraine: a server made without webtransport cannot take it up: clients were told at the start");
    }
    // First: nothing has changed yet where a certificate cannot be used.
    const identities = options.tls === undefined ? null : readCertificates(options.tls);
    if (identities !== null) tryCertificates(identities);
    const table = this.#declare(next, this.#table);
    check(native.lorraine_reload_routes(this.#handle), "the routes cannot be exchanged");
    this.#table = table;
    this.#options = next;
    this.#sessions.options = next.webtransport;
    if (identities !== null) {
      giveCertificates(this.#handle, identities);
      check(native.lorraine_reload_tls(this.#handle), "the certificates cannot be exchanged");
    }
    return this;
  }

  /** Where a request or a session came from; `null` for requests that did not come over a connection. */
  requestIP(from: Request | WebTransportSession<D>): { address: string; port: number; family: "IPv4" | "IPv6" } | null {
    const peer = peerOf(from instanceof Request ? from : from.request);
    const colon = peer.lastIndexOf(":");
    if (colon < 0) return null;
    let ip = peer.slice(0, colon).replace(/^\[|\]$/g, "");
    if (ip.startsWith("::ffff:") && ip.includes(".")) ip = ip.slice(7);
    return { address: ip, port: Number(peer.slice(colon + 1)), family: ip.includes(":") ? "IPv6" : "IPv4" };
  }

  /**
   * Lets a request stand still for `seconds`, from now and from each piece of its body that is read, each interim response,
   * the fields of its answer and each piece of that which the connection takes; 0: for as long as it likes.
   *
   * Where it stands still for longer, `request.signal` is aborted with a {@link TimeoutError}, what reads its body fails with
   * that, and the client gets 408 if the body is what was waited for, 503 if the handler is, or a reset if the answer had
   * begun. What the handler gives back after that goes nowhere. Nothing happens to requests that did not come over a
   * connection, and to those that are through.
   */
  timeout(request: Request, seconds: number): void {
    if (!(seconds >= 0 && seconds <= MAX_TIMEOUT)) {
      throw new RangeError(`lorraine: a timeout must be from 0 to ${MAX_TIMEOUT} seconds, not ${seconds}`);
    }
    const exchange = exchangeOf(request);
    if (exchange === null) throw new Error("lorraine: a request for a session has no timeout");
    exchange?.allow(seconds * 1000);
  }

  /** Asks `fetch` without a socket, for tests: routes are the native router's, and not asked. */
  fetch(request: Request | string): MaybePromise<Answer | undefined> {
    const own = typeof request === "string" ? new Request(new URL(request, this.url).href) : request;
    return this.#table.handler(FALLBACK)(own as H3Request, this as never);
  }

  /** The numbers of the server, in one call. */
  metrics(): Metrics {
    this.#mustRun();
    return readMetrics(this.#handle, this.#bridge.counters);
  }

  /** What a server on TCP sends as `alt-svc`, so that browsers come here. */
  altSvc(maxAge = 86_400): string {
    return `h3=":${this.port}"; ma=${maxAge}`;
  }

  /** The hash of the certificate, for `serverCertificateHashes` of a browser's `WebTransport`. */
  certificateHash(): { algorithm: "sha-256"; value: Uint8Array } {
    this.#mustRun();
    const value = new Uint8Array(32);
    check(native.lorraine_certificate_hash(this.#handle, value), "there is no certificate");
    return { algorithm: "sha-256", value };
  }

  /** Takes the events that wait: for servers whose doorbell is "poll". How many there were. */
  poll(): number {
    return this.#bridge.poll();
  }

  /** Sends a datagram to every session that subscribed to a topic. To how many. */
  publish(topic: string, datagram: string | Uint8Array | ArrayBuffer): number {
    return this.#sessions.publish(topic, datagram);
  }

  /** Keeps the process alive, as it does unless told otherwise. */
  ref(): void {
    this.#bridge.ref();
  }

  /** Lets the process end although the server runs. */
  unref(): void {
    this.#bridge.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(true);
  }

  [Symbol.dispose](): void {
    void this.stop(true);
  }

  // --- What the bridge tells ---------------------------------------------------------------------------------------

  /** @internal */
  onRequest(handle: number, route: number, counts: number, flags: number, text: string): void {
    this.#pending++;
    const exchange = new Exchange(handle, this.#bridge, this.#options.maxRequestBodySize ?? MAX_BODY, () => {
      this.#pending--;
    });
    const request = makeRequest(text, counts, flags, exchange);
    let answer: MaybePromise<Answer | undefined>;
    try {
      const handler = this.#table.handler(route);
      answer = handler.call(this, request, this as never);
      if (!(answer instanceof Promise)) {
        const sent = send(exchange, answer ?? new Response(null, { status: 404 }));
        if (sent === undefined) return;
        exchange.register();
        sent.catch(error => (exchange.answered ? this.#onStreamFailed(error) : this.#onFailed(exchange, error)));
        return;
      }
    } catch (error) {
      return this.#onFailed(exchange, error);
    }
    exchange.register();
    answer
      .then(answer => send(exchange, answer ?? new Response(null, { status: 404 })))
      .catch(error => (exchange.answered ? this.#onStreamFailed(error) : this.#onFailed(exchange, error)));
  }

  /** @internal */
  onSessionRequest(handle: number, _route: number, counts: number, flags: number, text: string): void {
    this.#sessions.onRequest(handle, makeRequest(text, counts, flags, null));
  }

  /** @internal */
  onStopped(error: string | null): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    if (named.get(this.id) === (this as unknown)) named.delete(this.id);
    running.delete(this as unknown as Server<never>);
    // Frees what is left only after everyone who still holds something has heard of the end.
    this.#bridge.close();
    native.lorraine_free(this.#handle);
    if (error === null) this.#stopped.resolve();
    else this.#stopped.reject(new Error(`lorraine: the server died: ${error}`));
  }

  /** @internal */
  onError(error: unknown): void {
    console.error(error);
  }

  // --- Within ------------------------------------------------------------------------------------------------------

  #mustRun(): void {
    if (this.#isStopped) throw new Error("lorraine: the server has stopped");
  }

  /** A handler threw: asks `error`, and answers 500 where that has nothing to say. */
  #onFailed(exchange: Exchange, error: unknown): void {
    if (exchange.done) return;
    if (error instanceof BodyTooLargeError) return exchange.respond(413, "", error.message);
    // Its client is gone: nobody is to be told.
    if (error instanceof ConnectionGoneError) return exchange.respond(500, "", null);
    const own = this.#options.error;
    const fail = (second?: unknown) => {
      if (own === undefined || second !== undefined) this.onError(second ?? error);
      exchange.respond(500, "", null);
    };
    if (own === undefined) return fail();
    exchange.register();
    Promise.resolve()
      .then(() => own.call(this, error instanceof Error ? error : new Error(String(error))))
      .then(answer => (answer === undefined ? fail() : send(exchange, answer)))
      .catch(second => (exchange.answered ? this.#onStreamFailed(second) : fail(second)));
  }

  /** A body failed after its response had begun: the client saw a reset. */
  #onStreamFailed(error: unknown): void {
    if (!(error instanceof ConnectionGoneError || error instanceof TimeoutError)) this.onError(error);
  }

  #declare(options: ServeOptions<D, string>, before: RouteTable | null): RouteTable {
    const table = new RouteTable(options.fetch as never, before);
    table.declare(this.#handle, (options.routes ?? {}) as Record<string, unknown>, options.webtransport !== undefined);
    return table;
  }
}

function isAny(hostname: string): boolean {
  return hostname === "::" || hostname === "0.0.0.0";
}

function bracketed(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

const running = new Set<Server<never>>();

process.on("exit", () => {
  // Not those of other threads: a worker that exits leaves the others alone.
  for (const server of running) void server.stop(true);
});

/** Whether programs are run again in the same process when their files change. */
const HOT = process.execArgv.includes("--hot");

/** Servers by name, kept where `--hot` keeps them. */
const named: Map<string, Server<never>> = ((globalThis as Record<symbol, unknown>)[Symbol.for("lorraine.servers")] ??=
  new Map()) as never;

/**
 * Starts a server; or gives one of the same `id`, or under `bun --hot` of the same port, its new routes and handlers.
 *
 * ```ts
 * import { serve } from "lorraine";
 *
 * const server = serve({ port: 4433, routes: { "/": new Response("Hello, HTTP/3!\n") } });
 * console.log(server.url.href);
 * ```
 */
export function serve<D = undefined, R extends string = string>(options: ServeOptions<D, R>): Server<D> {
  const own = options as unknown as ServeOptions<D, string>;
  const id = options.id ?? (HOT && options.port !== 0 ? String(options.port ?? 443) : "");
  const before = id === "" ? undefined : (named.get(id) as Server<D> | undefined);
  if (before !== undefined) return before.reload(own);
  const server = new Server<D>(own, id);
  if (id !== "") named.set(id, server as never);
  return server;
}

export type { Doorbell };

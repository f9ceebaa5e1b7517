/** The sessions of a server: who is let in, whose handlers run, who hears of what. */
import type { Bridge } from "./bridge";
import { RESPOND_RELEASE } from "./events";
import { toBytes } from "./exchange";
import { address, AGAIN, cstring, ERROR_ARGUMENT, lastError, native } from "./native";
import type { MaybePromise } from "./options";
import type { H3Request } from "./request";
import { headerLines } from "./routes";
import type { Server } from "./serve";
import { WebTransportSession, type WebTransportOptions } from "./session";
import { type StreamLive, WebTransportError } from "./streams";

/** What a session is closed with whose handler threw: HTTP/3's code for an internal error. */
const INTERNAL_ERROR = 0x102;

/** The sessions of a server. */
export class SessionTable<D> {
  readonly bridge: Bridge;
  readonly open = new Set<WebTransportSession<D>>();
  options: WebTransportOptions<D> | undefined;
  readonly #server: Server<D>;
  readonly #topics = new Map<string, Set<WebTransportSession<D>>>();

  constructor(bridge: Bridge, server: Server<D>, options: WebTransportOptions<D> | undefined) {
    this.bridge = bridge;
    this.#server = server;
    this.options = options;
  }

  get size(): number {
    return this.open.size;
  }

  /** A client asks for a session. */
  onRequest(handle: number, request: H3Request): void {
    if (this.options === undefined) return this.#refuse(handle, 404);
    const decide = () => this.options?.upgrade?.(request, this.#server);
    const failed = (error: unknown) => {
      this.#server.onError(error);
      this.#refuse(handle, 500);
    };
    try {
      if (!this.#accepts(request)) return this.#refuse(handle, 403);
      const decided = decide();
      if (decided instanceof Promise) decided.then(answer => this.#settle(handle, request, answer)).catch(failed);
      else this.#settle(handle, request, decided);
    } catch (error) {
      failed(error);
    }
  }

  #settle(handle: number, request: H3Request, decided: unknown): void {
    if (decided instanceof Response) return this.#refuse(handle, decided.status, headerLines(decided.headers));
    const more = isUpgrade<D>(decided) ? decided : { data: decided as D };
    const offered = offeredProtocols(request);
    if (more.protocol !== undefined && !offered.includes(more.protocol)) {
      throw new Error(`lorraine: the client does not offer the subprotocol ${JSON.stringify(more.protocol)}`);
    }
    const protocol = more.protocol ?? offered.find(name => this.options?.protocols?.includes(name));
    const headers = Buffer.from(more.headers === undefined ? "" : headerLines(new Headers(more.headers)), "latin1");
    const name = cstring(protocol ?? null);
    const session = new WebTransportSession<D>(handle, request, more.data, this);
    this.bridge.live.set(handle, session);
    this.open.add(session);
    const lines = address(headers.length > 0 ? headers : null);
    const accepted = native.lorraine_session_accept(handle, address(name), lines, headers.length);
    if (accepted >= 0 || accepted === AGAIN) return;
    // Of a client that has gone away nobody is to be told.
    if (accepted === ERROR_ARGUMENT) this.#server.onError(new Error(`lorraine: no session: ${lastError()}`));
    session.onEnded();
  }

  #refuse(handle: number, status: number, headers = ""): void {
    this.bridge.respond(handle, status >= 300 ? status : 403, headers, null, RESPOND_RELEASE);
  }

  /** draft-ietf-webtrans-http3 §3.2: the origin is to be verified where there is one. */
  #accepts(request: H3Request): boolean {
    const origin = request.headers.get("origin");
    const { origins } = this.options!;
    if (origin === null) return true;
    if (typeof origins === "function") return origins(origin);
    if (origins !== undefined) return origins.includes("*") || origins.includes(origin);
    // The authority as it came: not everything that HTTP takes for one is a URL's.
    return origin.toLowerCase() === `https://${request.headers.get("host")?.toLowerCase()}`;
  }

  forget(handle: number, session: WebTransportSession<D>): void {
    this.bridge.live.delete(handle);
    this.open.delete(session);
    for (const [topic, sessions] of this.#topics) {
      if (sessions.delete(session) && sessions.size === 0) this.#topics.delete(topic);
    }
  }

  /** A handler that fails ends its stream, or its session. */
  run(session: WebTransportSession<D>, handler: () => MaybePromise<void> | undefined, stream?: StreamLive): void {
    const failed = (error: unknown) => {
      // The end of a session or stream is no fault of the handler's.
      if (!(error instanceof WebTransportError)) this.#server.onError(error);
      if (stream !== undefined) {
        stream.reset(INTERNAL_ERROR);
        stream.stop(INTERNAL_ERROR);
      } else if (!(error instanceof WebTransportError)) {
        session.close({ closeCode: INTERNAL_ERROR, reason: "internal error" });
      }
    };
    try {
      const outcome = handler();
      if (outcome instanceof Promise) outcome.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  subscribe(topic: string, session: WebTransportSession<D>): void {
    const sessions = this.#topics.get(topic) ?? new Set();
    sessions.add(session);
    this.#topics.set(topic, sessions);
  }

  unsubscribe(topic: string, session: WebTransportSession<D>): void {
    const sessions = this.#topics.get(topic);
    if (sessions?.delete(session) && sessions.size === 0) this.#topics.delete(topic);
  }

  isSubscribed(topic: string, session: WebTransportSession<D>): boolean {
    return this.#topics.get(topic)?.has(session) ?? false;
  }

  publish(topic: string, datagram: string | Uint8Array | ArrayBuffer): number {
    let sent = 0;
    const bytes = toBytes(datagram);
    for (const session of this.#topics.get(topic) ?? []) if (session.sendDatagram(bytes)) sent++;
    return sent;
  }
}

/** The names in `wt-available-protocols`, a list of strings (RFC 9651); the client likes the first best. */
function offeredProtocols(request: H3Request): string[] {
  const list = request.headers.get("wt-available-protocols") ?? "";
  return [...list.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(name => name[1]!.replaceAll(/\\(.)/g, "$1"));
}

function isUpgrade<D>(value: unknown): value is { data: D; headers?: ConstructorParameters<typeof Headers>[0]; protocol?: string } {
  return typeof value === "object" && value !== null && "data" in value && !(value instanceof Response);
}

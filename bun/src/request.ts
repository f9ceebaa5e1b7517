/**
 * Requests, built as they are looked at: a handler that reads only `params` pays for nothing else.
 *
 * An object of this class is an `instanceof Request`, with every property and method of one. What is not cheap to have
 * (headers, a real `Request` for `clone`, `formData` and the like) is made on first use.
 */
import type { HeadersInit } from "bun";
import { FLAG_EARLY_DATA, FLAG_HAS_BODY } from "./events";
import { type Exchange, fieldsOf } from "./exchange";
import { headerLines } from "./routes";

/** A request as handlers get it. */
export interface H3Request<P = Record<string, string>> extends Request {
  /** The parameters of the route, decoded: `id` of `/users/:id`, `*` of `/files/*`. */
  readonly params: P;
  /** Whether it came in early data, and so may be a replay. */
  readonly earlyData: boolean;
  /**
   * Sends an interim response at once, before the answer: `inform(103, { link: "</style.css>; rel=preload; as=style" })`.
   * A status from 100 to 199 but 101. Throws if the request was answered, or 16 wait on their way already.
   */
  inform(status: number, headers?: HeadersInit): void;
  /**
   * The trailers, `null` if there are none: known when the body was read to its end, which does not happen by itself. To
   * be asked for before the answer. Rejected if the client breaks off, or the answer is through before the body's end.
   */
  readonly trailers: Promise<Headers | null>;
}

const LINES_BEFORE_PARAMS = 6;

/**
 * `new Request(request, init)` of Bun takes the method over from its own kind of objects only, and from any other says GET.
 * The cheapest of these to make is a `TextDecoder` (40 ns); nothing of it is to be seen, since the prototype is another.
 */
const Base = TextDecoder as unknown as new () => object;

class LazyRequest extends Base {
  readonly #text: string;
  readonly #counts: number;
  readonly #flags: number;
  readonly #exchange: Exchange | null;
  #lines: string[] | null = null;
  #params: Record<string, string> | null = null;
  #headers: Headers | null = null;
  #url: string | null = null;
  #real: Request | null = null;
  #stream: ReadableStream<Uint8Array> | null = null;
  #used = false;

  constructor(text: string, counts: number, flags: number, exchange: Exchange | null) {
    super();
    this.#text = text;
    this.#counts = counts;
    this.#flags = flags;
    this.#exchange = exchange;
  }

  #all(): string[] {
    return (this.#lines ??= this.#text.split("\n"));
  }

  #line(index: number): string {
    return this.#all()[index] ?? "";
  }

  get method(): string {
    return this.#text.slice(0, this.#text.indexOf("\n"));
  }

  get url(): string {
    return (this.#url ??= `${this.#line(3)}://${this.#line(2)}${this.#line(1)}`);
  }

  get params(): Record<string, string> {
    if (this.#params !== null) return this.#params;
    const params: Record<string, string> = {};
    for (let n = this.#counts >>> 16, at = LINES_BEFORE_PARAMS; n > 0; n--, at++) {
      const line = this.#line(at);
      const equals = line.indexOf("=");
      const value = line.slice(equals + 1);
      const name = line.slice(0, equals);
      params[name.includes("%") ? decodeURIComponent(name) : name] = value.includes("%") ? decodeURIComponent(value) : value;
    }
    return (this.#params = params);
  }

  get headers(): Headers {
    if (this.#headers !== null) return this.#headers;
    const headers = fieldsOf(this.#all(), LINES_BEFORE_PARAMS + (this.#counts >>> 16), this.#counts & 0xffff);
    // HTTP/3 has `:authority` in its place; programs look for `host`.
    if (!headers.has("host")) headers.set("host", this.#line(2));
    return (this.#headers = headers);
  }

  get earlyData(): boolean {
    return (this.#flags & FLAG_EARLY_DATA) !== 0;
  }

  inform(status: number, headers?: HeadersInit): void {
    if (this.#exchange === null) throw new Error("lorraine: a request for a session has no interim responses");
    this.#exchange.inform(status, headers === undefined ? "" : headerLines(new Headers(headers)));
  }

  get trailers(): Promise<Headers | null> {
    if (!this.hasBody || this.#exchange === null) return Promise.resolve(null);
    return this.#exchange.trailers;
  }

  get signal(): AbortSignal {
    return this.#exchange?.signal ?? new AbortController().signal;
  }

  get hasBody(): boolean {
    return (this.#flags & FLAG_HAS_BODY) !== 0;
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (!this.hasBody || this.#exchange === null) return null;
    if (this.#real !== null) return this.#real.body as ReadableStream<Uint8Array> | null;
    if (this.#stream === null) {
      this.#stream = this.#exchange.stream(() => { this.#used = true; });
      // Read by `bytes` and its like: nobody is to take it for a body.
      if (this.#used) this.#stream.getReader();
    }
    return this.#stream;
  }

  get bodyUsed(): boolean {
    return this.#used || (this.#real?.bodyUsed ?? false);
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#real !== null) return this.#real.bytes() as Promise<Uint8Array<ArrayBuffer>>;
    if (this.#used || this.#stream?.locked) throw new TypeError("Body already used");
    if (!this.hasBody || this.#exchange === null) return new Uint8Array(0);
    this.#used = true;
    return this.#exchange.all();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = await this.bytes();
    if (bytes.byteLength === bytes.buffer.byteLength) return bytes.buffer;
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }

  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async blob(): Promise<Blob> {
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" });
  }

  async formData(): Promise<FormData> {
    return this.#native().formData() as Promise<FormData>;
  }

  textStream(): ReadableStream<string> {
    return this.#native().textStream();
  }

  clone(): Request {
    return this.#native().clone() as unknown as Request;
  }

  /** A request of Bun's own, which takes the body over. */
  #native(): Request {
    if (this.#real !== null) return this.#real;
    if (this.#used) throw new TypeError("Body already used");
    const body = this.body;
    const init = { method: this.method, headers: this.headers, signal: this.signal };
    this.#real = new Request(this.url, body === null ? init : ({ ...init, body, duplex: "half" } as RequestInit));
    return this.#real;
  }

  get cache(): string { return "default"; }
  get credentials(): string { return "include"; }
  get destination(): string { return ""; }
  get integrity(): string { return ""; }
  get keepalive(): boolean { return false; }
  get mode(): string { return "navigate"; }
  get redirect(): string { return "follow"; }
  get referrer(): string { return ""; }
  get referrerPolicy(): string { return ""; }

  static peer(request: LazyRequest): string {
    return request.#line(4);
  }

  static exchange(request: LazyRequest): Exchange | null {
    return request.#exchange;
  }
}

Object.setPrototypeOf(LazyRequest.prototype, Request.prototype);

/** A request out of what the bridge told. */
export function makeRequest(text: string, counts: number, flags: number, exchange: Exchange | null): H3Request {
  return new LazyRequest(text, counts, flags, exchange) as unknown as H3Request;
}

/** The address that a request came from, as text; "" for requests that did not come over a connection. */
export function peerOf(request: Request): string {
  return request instanceof LazyRequest ? LazyRequest.peer(request) : "";
}

/** The exchange behind a request; `undefined` for requests that did not come over a connection, `null` for a session's. */
export function exchangeOf(request: Request): Exchange | null | undefined {
  return request instanceof LazyRequest ? LazyRequest.exchange(request) : undefined;
}

/** What `serve` takes, and the struct that carries the settings across. */
import type { BunFile } from "bun";
import type { Doorbell } from "./bridge";
import type { Routes } from "./routes";
import type { Server } from "./serve";
import type { H3Request } from "./request";
import type { WebTransportOptions } from "./session";
import { address, cstring } from "./native";

export type MaybePromise<T> = T | Promise<T>;
export type Bytes = ArrayBuffer | ArrayBufferView;
/** What a handler may give back. A string or bytes are the body of a 200, without the price of a `Response`. */
export type Answer = Response | string | Uint8Array;
export type PEM = string | Uint8Array | BunFile | Blob;

/** A certificate chain and its key, as PEM text, bytes, or files. */
export interface TLSOptions {
  cert: PEM;
  key: PEM;
  /**
   * A name that clients ask for, to whom this is to be shown. The names in the certificates decide; `serve` throws where
   * this is not among them, or another certificate has it first.
   */
  serverName?: string;
}

/** How packets are sent, and how much waits. */
export interface TransportOptions {
  /** Congestion control; "cubic". */
  congestionControl?: "cubic" | "bbr" | "reno";
  /** Whether clients must prove their address first: always, never, or when many connect at once (the default). */
  retry?: boolean;
  /** Streams both ways that a client may have open; 100. */
  initialMaxStreamsBidi?: number;
  /** Streams one way that a client may have open; 256. */
  initialMaxStreamsUni?: number;
  /** A directory for a qlog file of each connection. */
  qlogDir?: string;
  /** A file for TLS secrets (SSLKEYLOGFILE). */
  keylog?: string;
  /** `libev`, `epoll`, `kqueue` or `io_uring`, as far as they are built in. */
  eventLoop?: string;
}

/** Bounds. Each has a default, in brackets. */
export interface Limits {
  /** Connections of each worker (65,536). */
  maxConnections?: number;
  /** Sessions of one connection (16). */
  maxSessionsPerConnection?: number;
  /** Bytes of a body, or of one direction of a stream, that wait on their way to or from JavaScript (262,144). */
  maxQueuedBytes?: number;
  /** Bytes of events that wait for JavaScript; past it requests get 503 and datagrams are dropped (8 MiB). */
  maxEventBytes?: number;
  /** Requests, sessions and streams that live in JavaScript at once; past it requests get 503 (65,536). */
  maxHandles?: number;
}

export interface ServeOptions<D = undefined, R extends string = string> {
  /** The UDP port; 443. 0: the system chooses. */
  port?: number;
  /** The address to listen on; "::", which is every address. */
  hostname?: string;
  /** Certificates; several are chosen by the name the client asks for. Without any, a development certificate. */
  tls?: TLSOptions | TLSOptions[];
  routes?: Routes<D, R>;
  /** What no route takes; 404 without it. */
  fetch?(this: Server<D>, request: H3Request, server: Server<D>): MaybePromise<Answer | undefined>;
  /** What to answer where a handler throws; 500 without it. */
  error?(this: Server<D>, error: Error): MaybePromise<Response | undefined>;
  webtransport?: WebTransportOptions<D>;
  /**
   * Seconds of silence after which a connection is given up; 30, and at least 0.001. 0: none but the client's own limit,
   * and QUIC's twelve days.
   */
  idleTimeout?: number;
  /** Bytes that a request's body may have; 128 MiB. A longer one fails to read, and gets 413. */
  maxRequestBodySize?: number;
  /** Native threads that serve; 1. */
  workers?: number;
  transport?: TransportOptions;
  limits?: Limits;
  /** How events reach JavaScript. "socket", unless set. With "poll", call `server.poll()`. */
  doorbell?: Doorbell;
  /** A second `serve` with the name of a running server reloads that. Under `--hot` the port, unless set. */
  id?: string;
}

const OPTIONS_SIZE = 104;
const NO_WEBTRANSPORT = 1;
const RETRY_ALWAYS = 2;
const RETRY_NEVER = 4;
const CONGESTION: Record<string, number> = { cubic: 0, reno: 1, bbr: 2 };

/** The settings as `lorraine_options`, with what its pointers point to. */
export function encodeOptions(options: ServeOptions<never, never>): { struct: Uint8Array; held: unknown[] } {
  const struct = new Uint8Array(OPTIONS_SIZE);
  const view = new DataView(struct.buffer);
  const held: unknown[] = [];
  const { transport = {}, limits = {} } = options;
  const u32 = (offset: number, value: number | undefined, what: string) => {
    if (value === undefined) return;
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
      throw new RangeError(`lorraine: ${what} must be a whole number of at least 0, not ${value}`);
    }
    view.setUint32(offset, value, true);
  };
  const text = (offset: number, value: string | undefined) => {
    if (value === undefined) return;
    const bytes = cstring(value)!;
    held.push(bytes);
    view.setBigUint64(offset, BigInt(address(bytes)), true);
  };
  let flags = options.webtransport === undefined ? NO_WEBTRANSPORT : 0;
  if (transport.retry !== undefined) flags |= transport.retry ? RETRY_ALWAYS : RETRY_NEVER;
  const congestion = CONGESTION[transport.congestionControl ?? "cubic"];
  if (congestion === undefined) {
    throw new RangeError(`lorraine: congestionControl must be cubic, reno or bbr, not ${transport.congestionControl}`);
  }
  u32(0, OPTIONS_SIZE, "size");
  u32(4, options.port ?? 443, "port");
  text(8, options.hostname === "localhost" ? "127.0.0.1" : options.hostname);
  text(16, transport.eventLoop);
  u32(24, options.workers, "workers");
  u32(28, flags, "flags");
  u32(32, milliseconds(options.idleTimeout, "idleTimeout"), "idleTimeout");
  u32(36, congestion, "congestionControl");
  u32(40, limits.maxConnections, "maxConnections");
  u32(44, limits.maxSessionsPerConnection, "maxSessionsPerConnection");
  u32(48, transport.initialMaxStreamsBidi, "initialMaxStreamsBidi");
  u32(52, transport.initialMaxStreamsUni, "initialMaxStreamsUni");
  u32(56, limits.maxQueuedBytes, "maxQueuedBytes");
  u32(60, limits.maxEventBytes, "maxEventBytes");
  u32(64, limits.maxHandles, "maxHandles");
  text(72, transport.qlogDir);
  text(80, transport.keylog);
  return { struct, held };
}

/** What stands for no limit: the native side makes of it the longest that it can announce. */
const UNLIMITED = 0xffff_ffff;

/** Seconds as whole milliseconds. 0, which there stands for the default, is no limit here, as in `Bun.serve`. */
function milliseconds(seconds: number | undefined, what: string): number | undefined {
  if (seconds === undefined) return undefined;
  if (seconds === 0) return UNLIMITED;
  const whole = Math.round(seconds * 1000);
  if (whole >= 1 && whole <= UNLIMITED) return whole;
  throw new RangeError(`lorraine: ${what} must be 0, for none, or a number of seconds from 0.001 on, not ${seconds}`);
}

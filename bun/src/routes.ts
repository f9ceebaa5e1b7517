/** Routes: from the shapes that `Bun.serve` takes to numbers that the native router gives back. */
import type { Answer, MaybePromise } from "./options";
import type { H3Request } from "./request";
import type { Server } from "./serve";
import { address, check, cstring, native } from "./native";

export type Method = "GET" | "POST" | "PUT" | "DELETE" | "PATCH" | "HEAD" | "OPTIONS";

/** The parameters in a path: `Params<"/users/:id/*">` is `{ id: string; "*": string }`. */
export type Params<P extends string> = P extends `${string}:${infer K}/${infer Rest}`
  ? { [k in K]: string } & Params<`/${Rest}`>
  : P extends `${string}:${infer K}`
    ? { [k in K]: string }
    : P extends `${string}/*`
      ? { "*": string }
      : {};

export type Handler<D, P extends string> = (request: H3Request<Params<P>>, server: Server<D>) => MaybePromise<Answer>;

/** By path: a fixed response, which is answered without entering JavaScript; a handler; or either by method. */
export type Routes<D, R extends string> = {
  [P in R]: Response | Handler<D, P> | { [M in Method]?: Response | Handler<D, P> };
};

type AnyHandler = (request: H3Request, server: Server<never>) => MaybePromise<Answer | undefined>;

/** Number of the route for what no other takes. */
export const FALLBACK = 0;
/** Number of the route for sessions. */
export const SESSIONS = 1;
const FIRST = 2;

/** How many sets of routes before the current one still answer: requests may be on their way to them. */
const GENERATIONS = 8;

/** The handlers by number. */
export class RouteTable {
  readonly #fetch: AnyHandler;
  readonly #handlers: AnyHandler[] = [];
  readonly #first: number;
  #before: RouteTable | null;

  /** `before`: the table in whose place this one comes. Its numbers are not used again. */
  constructor(fetch: AnyHandler | undefined, before: RouteTable | null) {
    this.#fetch = fetch ?? (() => new Response(null, { status: 404 }));
    this.#before = before;
    this.#first = before === null ? FIRST : before.#first + before.#handlers.length;
    let table: RouteTable | null = this;
    for (let n = 0; n < GENERATIONS && table !== null; n++) table = table.#before;
    if (table !== null) table.#before = null;
  }

  /** Whose route a request took when it came, even if the routes were exchanged since. */
  handler(route: number): AnyHandler {
    if (route < FIRST) return this.#fetch;
    let table: RouteTable | null = this;
    while (table !== null && route < table.#first) table = table.#before;
    return (table === null ? undefined : table.#handlers[route - table.#first]) ?? this.#fetch;
  }

  /** Declares every route to the native router. */
  declare(server: number, routes: Record<string, unknown>, takesSessions: boolean): void {
    try {
      this.#declare(server, routes, takesSessions);
    } catch (error) {
      // What was declared before the mistake is forgotten with a set of routes that is refused.
      const nowhere = cstring("nowhere")!;
      native.lorraine_route(server, null, address(nowhere), FALLBACK);
      native.lorraine_reload_routes(server);
      throw error;
    }
  }

  #declare(server: number, routes: Record<string, unknown>, takesSessions: boolean): void {
    for (const [path, value] of Object.entries(routes)) {
      const isOne = typeof value === "function" || value instanceof Response || typeof value !== "object" || value === null;
      for (const one of isOne ? [value] : Object.values(value)) if (isOne || one !== undefined) checkHandler(path, one);
    }
    // `upgrade` decides on every path, also where there are routes. These go first: the end of a wildcard, as "/" is of
    // "/*", is given to the first route only.
    if (takesSessions) {
      for (const path of new Set(["/*", ...Object.keys(routes)])) {
        const pattern = cstring(path)!;
        check(native.lorraine_route_session(server, address(pattern), null, SESSIONS), `sessions at ${path}`);
      }
    }
    const declare = (method: string | null, path: string, value: unknown) => {
      if (value instanceof Response && declareStatic(server, method, path, value)) return;
      const number = this.#first + this.#handlers.length;
      this.#handlers.push((value instanceof Response ? () => value.clone() : value) as AnyHandler);
      const [name, pattern] = [cstring(method), cstring(path)];
      check(native.lorraine_route(server, address(name), address(pattern), number), `route ${path}`);
    };
    for (const [path, value] of Object.entries(routes)) {
      if (typeof value === "function" || value instanceof Response) declare(null, path, value);
      else for (const [method, own] of Object.entries(value as object)) {
        if (own !== undefined) declare(method, path, own);
      }
    }
    check(native.lorraine_route(server, null, null, FALLBACK), "fallback");
    // With sessions everywhere no path is without a route, so that this is for what has none of its own.
    if (takesSessions && !("/*" in routes)) declare(null, "/*", this.#fetch);
  }
}

function checkHandler(path: string, value: unknown): void {
  if (typeof value === "function" || value instanceof Response) return;
  throw new TypeError(`lorraine: the route ${path} must be a Response, a function, or an object of these by method`);
}

/** Hands a fixed response to the native side; `false`: its body is not at hand, such as a file's. */
function declareStatic(server: number, method: string | null, path: string, response: Response): boolean {
  const peeked = Bun.peek(response.clone().blob());
  if (peeked instanceof Promise) return false;
  const bytes = Bun.peek(peeked.bytes());
  if (bytes instanceof Promise) return false;
  const lines = Buffer.from(headerLines(response.headers, peeked.type), "latin1");
  const [name, pattern] = [cstring(method), cstring(path)];
  check(
    native.lorraine_route_static(
      server, address(name), address(pattern), response.status, address(lines.length > 0 ? lines : null), lines.length,
      address(bytes.length > 0 ? bytes : null), bytes.length,
    ),
    `route ${path}`,
  );
  return true;
}

/** Fields as lines, with a type for a body that has one of its own. */
export function headerLines(headers: Headers, type = ""): string {
  let lines = "";
  let typed = type === "";
  for (const [name, value] of headers) {
    // They describe the transfer of HTTP/1.1; HTTP/3 has none of them.
    if (name === "connection" || name === "transfer-encoding" || name === "keep-alive") continue;
    if (name === "content-type") typed = true;
    lines += `${name}:${value}\n`;
  }
  return typed ? lines : `${lines}content-type:${type}\n`;
}

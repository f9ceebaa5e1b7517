/** What is said of options that cannot be used, and of handlers that fail. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Server, serve, type ServeOptions } from "lorraine";
import { errorsTold, h3 } from "./tools";

const running: Server<never>[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop(true);
});

function start(options: Partial<ServeOptions<undefined, string>> = {}): Server {
  const server = serve({ port: 0, hostname: "127.0.0.1", ...options });
  running.push(server as never);
  return server;
}

describe("mistakes", () => {
  const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const mistakes: [string, Partial<ServeOptions<undefined, string>>, string][] = [
    ["certificate that is none", { tls: { cert: "x", key: "y" } }, "BEGIN CERTIFICATE"],
    ["certificate that is broken", { tls: { cert: certificate, key: certificate } }, "certificate"],
    ["certificate file that is missing", { tls: { cert: Bun.file("/no/such/file"), key: "" } }, "/no/such/file"],
    ["pattern without a slash", { routes: { users: () => "" } }, "users does not begin with a slash"],
    ["parameter twice", { routes: { "/:x/:x": () => "" } }, "two parameters called x"],
    ["two routes for the same requests", { routes: { "/a/:x": () => "", "/a/:y": () => "" } }, "/a/:y takes the same requests as any /a/:x"],
    ["method that is none", { routes: { "/": { "G T": () => "" } as never } }, '"G T" is no method'],
    ["route that is no handler", { routes: { "/": 5 as never } }, "the route / must be"],
    ["event loop that is unknown", { transport: { eventLoop: "nonesuch" } }, 'no event loop "nonesuch"'],
    ["address that is none", { hostname: "not an address" }, "is no IP address"],
    ["address of another machine", { hostname: "192.0.2.1" }, "no interface of this machine"],
    ["port that is none", { port: 70_000 }, "larger than 65535"],
    ["too many workers", { workers: 1_000 }, "at most 255 workers"],
    ["number that is none", { idleTimeout: NaN }, "idleTimeout must be 0, for none, or a number of seconds from 0.001 on, not NaN"],
    ["silence that is shorter than nothing", { idleTimeout: -1 }, "idleTimeout must be"],
    ["silence too short to be measured", { idleTimeout: 0.0001 }, "idleTimeout must be"],
    ["silence too long to be written", { idleTimeout: Infinity }, "idleTimeout must be"],
    ["congestion control that is unknown", { transport: { congestionControl: "x" as never } }, "cubic, reno or bbr, not x"],
    ["doorbell that is unknown", { doorbell: "x" as never }, "socket, callback or poll, not x"],
    ["NUL in a path", { routes: { "/a\0": () => "" } }, "NUL"],
  ];
  for (const [name, options, sentence] of mistakes) {
    test(`${name} is told`, () => {
      expect(() => start(options)).toThrow(sentence);
    });
  }

  test("port in use is told, with each doorbell", () => {
    const { port } = start();
    for (const doorbell of ["socket", "callback", "poll"] as const) {
      expect(() => start({ port, doorbell })).toThrow(/in use: .* choose another port/);
    }
  });

  test("errors of handlers go to error, whose answer is sent; what it throws is told", async () => {
    using errors = errorsTold();
    const server = start({
      routes: {
        "/sync": () => { throw new Error("sync"); },
        "/async": async () => { throw new Error("async"); },
        "/word": () => { throw "a word"; },
        "/again": () => { throw new Error("again"); },
        "/nothing": () => { throw new Error("nothing"); },
      },
      error(error) {
        if (error.message === "again") throw new Error("in error itself");
        if (error.message === "nothing") return undefined;
        return new Response(`caught ${error.message}`, { status: 503 });
      },
    });
    const ask = async (path: string) => {
      const response = await h3(new URL(path, server.url));
      return [response.status, await response.text()];
    };
    expect(await ask("/sync")).toEqual([503, "caught sync"]);
    expect(await ask("/async")).toEqual([503, "caught async"]);
    expect(await ask("/word")).toEqual([503, "caught a word"]);
    expect(await ask("/again")).toEqual([500, ""]);
    expect(await ask("/nothing")).toEqual([500, ""]);
    // Of the others `error` has heard.
    expect(errors.told.map(String)).toEqual(["Error: in error itself"]);
  });
});

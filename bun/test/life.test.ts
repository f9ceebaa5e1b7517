/** What a server goes through: stops, reloads, doorbells, load. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Doorbell, type Server, serve, type ServeOptions } from "lorraine";
import { errorsTold, FULL, h3, MIB, rss, until, within } from "./tools";

const running: Server<never>[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop(true);
});

function start(options: Partial<ServeOptions<undefined, string>> = {}): Server {
  const server = serve({ port: 0, hostname: "127.0.0.1", ...options });
  running.push(server as never);
  return server;
}

describe("stop", () => {
  test("ends requests whose handler never answers, by force", async () => {
    const aborted = Promise.withResolvers<void>();
    const server = start({
      fetch: request => {
        request.signal.addEventListener("abort", () => aborted.resolve());
        return new Promise(() => {});
      },
    });
    const asked = h3(server.url).catch(error => error);
    await until(() => server.pendingRequests === 1, "request");
    await within(server.stop(true), "stop");
    await within(aborted.promise, "abort");
    expect(server.pendingRequests).toBe(0);
    void asked;
  });

  test("waits for a running request, up to its grace", async () => {
    const go = Promise.withResolvers<void>();
    const server = start({
      fetch: async () => {
        await go.promise;
        return "in time";
      },
    });
    const asked = h3(server.url);
    await until(() => server.pendingRequests === 1, "request");
    let over = false;
    const stopping = server.stop({ timeout: 10_000 }).then(() => { over = true; });
    expect(await Promise.race([stopping, Bun.sleep(100).then(() => "waits")])).toBe("waits");
    expect(over).toBe(false);
    go.resolve();
    expect(await (await asked).text()).toBe("in time");
    await within(stopping, "stop");
  });

  test("a shorter stop after a longer one holds, and each is through", async () => {
    const server = start({ fetch: () => new Promise(() => {}) });
    void h3(server.url).catch(() => {});
    await until(() => server.pendingRequests === 1, "request");
    const patient = server.stop();
    const hasty = server.stop(true);
    await within(Promise.all([patient, hasty, server.stopped]), "stops");
    await within(server.stop(), "stop of a server that has stopped");
  });

  test("in a handler lets the handler's own answer out", async () => {
    const server = start({
      fetch: (_, own) => {
        void own.stop({ timeout: 5_000 });
        return "the last words";
      },
    });
    expect(await (await h3(server.url)).text()).toBe("the last words");
    await within(server.stopped, "stop");
  });

  test("by force in a handler does no harm", async () => {
    const server = start({
      fetch: async (_, own) => {
        void own.stop(true);
        await Bun.sleep(1);
        return "too late";
      },
    });
    void h3(server.url).catch(() => {});
    await within(server.stopped, "stop");
  });

  test("leaves methods that say so, and nothing that crashes", async () => {
    const server = start({ fetch: () => "x" });
    await server.stop(true);
    for (const call of [() => server.metrics(), () => server.reload({}), () => server.certificateHash()]) {
      expect(call).toThrow("the server has stopped");
    }
    server.ref();
    server.unref();
    expect([server.poll(), server.publish("topic", "x"), server.pendingRequests, server.pendingSessions]).toEqual([0, 0, 0, 0]);
    expect(server.altSvc()).toBe(`h3=":${server.port}"; ma=86400`);
  });

  test("is what await using does at the end", async () => {
    let stopped: Promise<void>;
    {
      await using server = serve({ port: 0, hostname: "127.0.0.1", fetch: () => "x" });
      stopped = server.stopped;
      expect(await (await h3(server.url)).text()).toBe("x");
    }
    await within(stopped, "stop");
  });

  test("frees the port for another server", async () => {
    const server = start({ fetch: () => "one" });
    const { port } = server;
    await server.stop(true);
    const other = start({ port, fetch: () => "two" });
    expect([other.port, await (await h3(other.url)).text()]).toEqual([port, "two"]);
  // Another program may have taken it in that moment.
  }, { timeout: 120_000, retry: 3 });
});

describe("reload", () => {
  test("exchanges routes and fetch; what is under way keeps its handler", async () => {
    const go = Promise.withResolvers<void>();
    const server = start({
      routes: {
        "/slow": async () => {
          await go.promise;
          return "old";
        },
        "/gone": () => "old",
      },
      fetch: () => "old fetch",
    });
    const slow = h3(new URL("/slow", server.url));
    await until(() => server.pendingRequests === 1, "request");
    server.reload({ routes: { "/slow": () => "new", "/more": new Response("new") }, fetch: () => "new fetch" });
    const words = async (path: string) => (await h3(new URL(path, server.url))).text();
    expect([await words("/slow"), await words("/more"), await words("/gone")]).toEqual(["new", "new", "new fetch"]);
    go.resolve();
    expect(await (await slow).text()).toBe("old");
  });

  test("under load loses no request and mixes up no routes", async () => {
    const routes = (generation: number) => {
      const named = (name: string) => () => `${name} ${generation}`;
      const names = ["/a", "/b", "/c", "/d"];
      // Another order each time, so that numbers of routes change their meaning.
      const order = names.map((_, n) => names[(n + generation) % names.length]!);
      return Object.fromEntries(order.map(name => [name, named(name)]));
    };
    const server = start({ routes: routes(0) });
    let over = false;
    let answered = 0;
    const ask = async (path: string) => {
      let last = 0;
      while (!over) {
        const response = await h3(new URL(path, server.url));
        const [name, generation] = (await response.text()).split(" ");
        expect([response.status, name]).toEqual([200, path]);
        expect(Number(generation)).toBeGreaterThanOrEqual(last);
        last = Number(generation);
        answered++;
      }
    };
    const asking = Promise.all(["/a", "/b", "/c", "/d", "/a", "/b", "/c", "/d"].map(ask));
    const reloads = FULL ? 1_000 : 100;
    for (let generation = 1; generation <= reloads; generation++) {
      const before = answered;
      server.reload({ routes: routes(generation) });
      if (generation % 5 === 0) await until(() => answered > before, "answers");
    }
    over = true;
    await asking;
    expect(answered).toBeGreaterThan(reloads / 5);
  });

  test("with a mistake keeps the old routes, and the next one works", async () => {
    const server = start({ routes: { "/a": () => "old" } });
    const wrong: Record<string, unknown>[] = [
      { "/b": () => "b", "/c": 5 }, { "/b": () => "b", "/a/:x": () => "", "/a/:y": () => "" }, { "/b": { "NO METHOD": () => "" } },
      { "/b": () => "b", "b": () => "" },
    ];
    for (const routes of wrong) expect(() => server.reload({ routes: routes as never })).toThrow("lorraine: ");
    expect(await (await h3(new URL("/a", server.url))).text()).toBe("old");
    expect((await h3(new URL("/b", server.url))).status).toBe(404);
    server.reload({ routes: { "/b": () => "new" } });
    expect(await (await h3(new URL("/b", server.url))).text()).toBe("new");
  });

  test("is what a second serve with the same id does; other servers are their own", async () => {
    const one = start({ id: "mine", routes: { "/": () => "one" } });
    const same = serve({ id: "mine", port: 0, routes: { "/": () => "two" } });
    expect(same as unknown).toBe(one);
    expect(await (await h3(one.url)).text()).toBe("two");
    expect(() => start({ port: one.port })).toThrow("in use");
    await one.stop(true);
    const next = start({ id: "mine", routes: { "/": () => "three" } });
    expect(next as unknown).not.toBe(one);
  });
});

describe("doorbells", () => {
  const basic = async (server: Server) => {
    const answers = await Promise.all(Array.from({ length: 50 }, async (_, n) => (await h3(new URL(`/users/${n}`, server.url))).text()));
    expect(answers).toEqual(Array.from({ length: 50 }, (_, n) => String(n)));
    const upload = await h3(new URL("/echo", server.url), { method: "POST", body: new Uint8Array(MIB) });
    expect((await upload.bytes()).length).toBe(MIB);
    await within(server.stop(true), "stop");
  };
  const options = (doorbell: Doorbell): Partial<ServeOptions<undefined, string>> => ({
    doorbell,
    routes: { "/users/:id": request => (request.params as { id: string }).id, "/echo": { POST: request => new Response(request.body) } },
  });

  for (const doorbell of ["socket", "callback"] as const) {
    test(`${doorbell} brings requests, bodies and the end`, () => basic(start(options(doorbell))));
  }

  test("poll brings requests, bodies and the end to who polls", async () => {
    const server = start(options("poll"));
    const timer = setInterval(() => server.poll(), 1);
    await basic(server);
    clearInterval(timer);
  });

  test("socket that cannot be connected is told, and requests come all the same", async () => {
    using errors = errorsTold();
    const connect = Bun.connect;
    let server: Server;
    try {
      Bun.connect = (() => Promise.reject(new Error("on purpose"))) as never;
      server = start(options("socket"));
    } finally {
      Bun.connect = connect;
    }
    await basic(server);
    expect(errors.told.map(String)).toEqual([expect.stringContaining("the doorbell cannot be connected")]);
  });

  test("two servers in one process answer for themselves", async () => {
    const servers = [start({ fetch: () => "one" }), start({ fetch: () => "two", doorbell: "callback" })];
    const texts = await Promise.all(servers.map(async server => (await h3(server.url)).text()));
    expect(texts).toEqual(["one", "two"]);
    await servers[0]!.stop(true);
    expect(await (await h3(servers[1]!.url)).text()).toBe("two");
  });

  test("several workers answer", async () => {
    const server = start({ workers: 3, fetch: () => "x" });
    const all = await Promise.all(Array.from({ length: 30 }, async () => (await h3(server.url)).text()));
    expect(new Set(all)).toEqual(new Set(["x"]));
  });
});

describe("in the long run", () => {
  test("collecting garbage all the time loses nothing", async () => {
    const server = start({ fetch: async request => new Response(await request.text()) });
    let over = false;
    const collect = (async () => {
      while (!over) {
        Bun.gc(true);
        await Bun.sleep(0);
      }
    })();
    for (let n = 0; n < 20; n++) {
      const bodies = Array.from({ length: 20 }, (_, m) => `${n} ${m} `.repeat(1_000));
      const answers = await Promise.all(bodies.map(async body => (await h3(server.url, { method: "POST", body })).text()));
      expect(answers).toEqual(bodies);
    }
    over = true;
    await collect;
    await until(() => server.metrics().bridge.handles === 0, "end of every handle");
  });

  const cycles = FULL ? 1_000 : 200;
  test(`${cycles} servers that start, answer and stop leave memory flat`, async () => {
    const cycle = async () => {
      const server = serve({ port: 0, hostname: "127.0.0.1", routes: { "/": new Response("x") }, fetch: () => "x" });
      await server.stop(true);
    };
    // What a collector has not got round to is no leak, nor is what grows once.
    const least = async () => {
      let least = Infinity;
      for (let n = 0; n < 10; n++) {
        Bun.gc(true);
        await Bun.sleep(20);
        least = Math.min(least, rss());
      }
      return least;
    };
    const half = async (length: number) => {
      const before = await least();
      for (let n = 0; n < length; n++) await cycle();
      return (await least()) - before;
    };
    await half(50);
    const grown = [await half(cycles / 2), await half(cycles / 2)];
    if (FULL) console.log(`${cycles} servers: memory grew by ${grown.map(bytes => (bytes / MIB).toFixed(1)).join(" and ")} MiB`);
    expect(Math.min(...grown)).toBeLessThan(12 * MIB);
  }, 120_000);
});

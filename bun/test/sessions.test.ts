/** Sessions, with the native client on the other side. */
import { afterEach, describe, expect } from "bun:test";
import { type Server, serve, WebTransportError, type WebTransportOptions, type WebTransportSession } from "lorraine";
import { client, errorsTold, h3, listen, talk, testWithClient, until, visit, within } from "./tools";

const running: Server<never>[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop(true);
});

function site<D = undefined>(webtransport: WebTransportOptions<D>): Server<D> {
  const server = serve<D>({ port: 0, hostname: "127.0.0.1", idleTimeout: 10, webtransport, fetch: () => "a page" });
  running.push(server as never);
  return server;
}
const closeAtOnce = (session: Pick<WebTransportSession, "close">) => session.close({ closeCode: 1, reason: "seen" });

describe("who is let in", () => {
  testWithClient("refusals have their status", async () => {
    using errors = errorsTold();
    const server = site({
      upgrade(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/401") return new Response(null, { status: 401 });
        if (pathname === "/late") return Promise.resolve(new Response("no", { status: 429 }));
        if (pathname === "/throws") throw new Error("on purpose");
        if (pathname === "/rejects") return Promise.reject(new Error("later"));
      },
      open: closeAtOnce,
    });
    for (const [path, status] of [["401", "401"], ["late", "429"], ["throws", "500"], ["rejects", "500"]]) {
      const { code, stderr } = await talk(new URL(`/${path}`, server.url), []);
      expect([code, stderr]).toEqual([1, expect.stringContaining(status!)]);
    }
    expect(errors.told.map(String)).toEqual(["Error: on purpose", "Error: later"]);
    expect((await listen(server.url)).stdout).toContain("closed: by the server, code 1, seen");
    await until(() => server.metrics().bridge.handles === 0, "end of every handle");
  });

  testWithClient("response that refuses with a status of success is a refusal all the same", async () => {
    const server = site({ upgrade: () => new Response("fine") });
    expect((await talk(server.url, [])).stderr).toContain("403");
  });

  testWithClient("server without webtransport opens no session, and requests go on", async () => {
    const server = serve({ port: 0, hostname: "127.0.0.1", fetch: () => "a page" });
    running.push(server as never);
    expect((await talk(server.url, [])).code).toBe(1);
    expect(await (await h3(server.url)).text()).toBe("a page");
  });

  testWithClient("origins are the server's own, those of a list, what a function says, or all", async () => {
    const lets = async (origins: WebTransportOptions["origins"], origin: string | null) => {
      const server = site({ ...(origins === undefined ? {} : { origins }), open: closeAtOnce });
      const named = origin === "own" ? server.url.origin.replace("localhost", "127.0.0.1") : origin;
      const { code, stderr } = await listen(server.url, [], ...(named === null ? [] : ["--origin", named]));
      return code === 0 ? "in" : /\d{3}/.exec(stderr)?.[0];
    };
    expect(await lets(undefined, "own")).toBe("in");
    expect(await lets(undefined, null)).toBe("in");
    expect(await lets(undefined, "https://other.example")).toBe("403");
    expect(await lets(["https://a.example"], "https://a.example")).toBe("in");
    expect(await lets(["https://a.example"], "https://b.example")).toBe("403");
    expect(await lets(["*"], "https://b.example")).toBe("in");
    expect(await lets(origin => origin.endsWith(".example"), "https://b.example")).toBe("in");
    expect(await lets(origin => origin.endsWith(".example"), "https://b.test")).toBe("403");
  }, 120_000);

  testWithClient("subprotocol is the first that the client names of those that are spoken", async () => {
    const server = site({ protocols: ["v1", "v2"], open: session => session.close({ closeCode: 1, reason: `spoke ${session.protocol || "none"}` }) });
    const spoken = async (...names: string[]) => {
      const { stdout } = await listen(server.url, [], ...names.flatMap(name => ["--protocol", name]));
      return [/subprotocol: (\S+)/.exec(stdout)?.[1], /spoke (\S+)/.exec(stdout)?.[1]];
    };
    expect(await spoken("v2", "v1")).toEqual(["v2", "v2"]);
    expect(await spoken("v9", "v1")).toEqual(["v1", "v1"]);
    expect(await spoken("v9")).toEqual(["none", "none"]);
    expect(await spoken()).toEqual(["none", "none"]);
  });

  testWithClient("upgrade chooses data, subprotocol and fields, and sees who asks", async () => {
    const seen: unknown[] = [];
    const server = site<{ room: string }>({
      upgrade(request, own) {
        seen.push([request.method, new URL(request.url).search, own.requestIP(request)?.address]);
        return { data: { room: new URL(request.url).pathname }, protocol: "mine", headers: { "x-own": "1" } };
      },
      open: session => session.close({ closeCode: 3, reason: `${session.data.room} ${session.protocol}` }),
    });
    const { stdout } = await listen(new URL("/blue?a=1", server.url), [], "--protocol", "mine");
    expect(stdout).toContain("closed: by the server, code 3, /blue mine");
    expect(seen).toEqual([["CONNECT", "?a=1", "127.0.0.1"]]);
  });

  testWithClient("subprotocol that the client did not offer opens no session, and is told", async () => {
    using errors = errorsTold();
    const opened: unknown[] = [];
    const server = site({ upgrade: () => ({ data: undefined, protocol: "unheard-of" }), open: () => void opened.push(1) });
    expect((await talk(server.url, [])).code).toBe(1);
    expect([errors.told.length, opened.length, server.pendingSessions]).toEqual([1, 0, 0]);
  });
});

describe("the end of a session", () => {
  testWithClient("codes and reasons of closes pass both ways", async () => {
    const ends: unknown[] = [];
    const server = site({ close: (_, code, reason) => void ends.push([code, reason]) });
    expect((await talk(server.url, ["/close 7 so long"])).stdout).toContain("closed: by this side, code 7, so long");
    await talk(server.url, ["/quit"]);
    await talk(server.url, ["/close 4294967295 Grüße"]);
    await until(() => ends.length === 3, "three ends");
    expect(ends).toEqual([[7, "so long"], [0, ""], [4_294_967_295, "Grüße"]]);
    const closing = site({ open: session => session.close({ closeCode: 4_294_967_295, reason: "genug, Jürgen" }) });
    expect((await listen(closing.url)).stdout).toContain("closed: by the server, code 4294967295, genug, Jürgen");
  });

  testWithClient("everything that waits ends with the session: closed, streams, datagrams, new streams", async () => {
    const found = Promise.withResolvers<unknown[]>();
    const server = site({
      async open(session) {
        await session.ready;
        const ends = await Promise.all([
          session.closed,
          session.incomingBidirectionalStreams.getReader().read(),
          session.incomingUnidirectionalStreams.getReader().read(),
          session.datagrams.readable.getReader().read(),
        ]);
        const late = await session.createBidirectionalStream().catch(error => error);
        found.resolve([...ends, late, session.sendDatagram("late")]);
        session.close();
        session.drain();
        session.subscribe("topic");
      },
    });
    await talk(server.url, ["/close 5 over"]);
    const [closed, bidi, uni, datagrams, late, sent] = await within(found.promise, "ends");
    expect(closed).toEqual({ closeCode: 5, reason: "over" });
    for (const end of [bidi, uni, datagrams]) expect(end).toEqual({ done: true, value: undefined });
    expect(late).toBeInstanceOf(WebTransportError);
    expect(sent).toBe(false);
    expect(server.publish("topic", "x")).toBe(0);
  });

  testWithClient("streams that are first asked for after the end are at their end", async () => {
    const opened = Promise.withResolvers<WebTransportSession>();
    const server = site({ open: session => opened.resolve(session) });
    await talk(server.url, ["/close 5 over"]);
    const session = await within(opened.promise, "session");
    await within(session.closed, "end");
    for (const streams of [session.incomingBidirectionalStreams, session.incomingUnidirectionalStreams]) {
      const reader = streams.getReader() as ReadableStreamDefaultReader<unknown>;
      expect(await within(reader.read(), "end of the streams")).toEqual({ done: true, value: undefined });
    }
  });

  testWithClient("session that is closed before it is open has neither open nor close", async () => {
    const told: string[] = [];
    const server = site({
      upgrade(_, own) {
        queueMicrotask(() => { for (const session of own.sessions) session.close({ closeCode: 9, reason: "early" }); });
        return undefined;
      },
      open: () => void told.push("open"),
      close: () => void told.push("close"),
    });
    expect((await listen(server.url)).stdout).toContain("closed: by the server, code 9, early");
    await until(() => server.pendingSessions === 0, "end of the session");
    expect(told).toEqual([]);
  });

  testWithClient("handler that throws closes the session with 0x102, at once or later; the server goes on", async () => {
    const throws: WebTransportOptions[] = [
      { open: () => { throw new Error("open"); } },
      { open: async () => { await Bun.sleep(1); throw new Error("open, later"); } },
      { datagram: () => { throw new Error("datagram"); } },
    ];
    for (const webtransport of throws) {
      using errors = errorsTold();
      const server = site(webtransport);
      expect((await listen(server.url, ["word"])).stdout).toContain("closed: by the server, code 258, internal error");
      expect(errors.told).toHaveLength(1);
      expect(await (await h3(server.url)).text()).toBe("a page");
    }
  });

  testWithClient("handler of a stream that throws resets its stream, and the session goes on", async () => {
    using errors = errorsTold();
    const server = site({
      async bidi(_, stream) {
        if ((await new Response(stream.readable).text()) === "throw") throw new Error("on purpose");
        await stream.writable.end("fine");
      },
    });
    const client = visit(server.url);
    client.say("/bi throw");
    await client.heard(/bi \d+: the peer reset the stream, with code 258/);
    client.say("/bi go on");
    await client.heard(/bi \d+: fine\n/);
    await client.kill();
    expect(errors.told.map(String)).toEqual(["Error: on purpose"]);
  });

  testWithClient("session whose client is killed ends when its silence has lasted, and leaves nothing", async () => {
    const opened = Promise.withResolvers<WebTransportSession>();
    const server = serve({
      port: 0, hostname: "127.0.0.1", idleTimeout: 3, webtransport: { open: session => opened.resolve(session) },
    });
    running.push(server as never);
    const child = Bun.spawn(client("wt", "--insecure", "--linger", "60", server.url.href), { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
    const session = await within(opened.promise, "session");
    const incoming = session.incomingBidirectionalStreams.getReader().read().catch(error => error);
    child.kill("SIGKILL");
    expect(await within(session.closed, "end")).toMatchObject({ closeCode: 0 });
    expect(await incoming).toBeInstanceOf(WebTransportError);
    // Also what is first asked for now.
    const late = session.incomingUnidirectionalStreams.getReader().read().catch(error => error);
    expect(await within(late, "late reader")).toBeInstanceOf(WebTransportError);
    await until(() => server.pendingSessions === 0 && server.metrics().bridge.handles === 0, "end of every handle");
  });

  testWithClient("stopping server drains its sessions and closes them at the deadline", async () => {
    const opened = Promise.withResolvers<WebTransportSession>();
    const server = site({ open: session => opened.resolve(session) });
    const client = listen(server.url);
    const session = await within(opened.promise, "session");
    await server.stop({ timeout: 3_000 });
    const { stdout } = await client;
    expect(stdout).toContain("the server asks to wind the session down");
    expect(stdout).toContain("closed: by the server, code 0");
    expect(await session.closed).toMatchObject({ closeCode: 0 });
  });

  testWithClient("await using closes the session", async () => {
    const server = site({
      async open(session) {
        await using _ = session;
      },
    });
    expect((await listen(server.url)).stdout).toContain("closed: by the server, code 0");
  });

  testWithClient("client that asks to wind down is heard", async () => {
    const heard: string[] = [];
    const server = site({
      drain: () => void heard.push("handler"),
      async open(session) {
        await session.draining;
        heard.push("promise");
        session.close({ closeCode: 2, reason: "as you wish" });
      },
    });
    expect((await listen(server.url, ["/drain"])).stdout).toContain("as you wish");
    expect(heard.sort()).toEqual(["handler", "promise"]);
  });
});

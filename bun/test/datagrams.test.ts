/** Datagrams of sessions, streams that wait, and sessions beside requests; the native client is on the other side. */
import { afterEach, describe, expect, test } from "bun:test";
import { type SendStream, type Server, serve, WebTransportError, type WebTransportOptions, type WebTransportSession } from "lorraine";
import { h3, listen, settled, testWithClient, until, visit, within } from "./tools";

const running: Server<never>[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop(true);
});

function site<D = undefined>(webtransport: WebTransportOptions<D>): Server<D> {
  const server = serve<D>({ port: 0, hostname: "127.0.0.1", idleTimeout: 10, webtransport, fetch: () => "a page" });
  running.push(server as never);
  return server;
}

describe("datagrams", () => {
  testWithClient("come and go, the empty one too", async () => {
    const came: string[] = [];
    const server = site({
      datagram(session, data) {
        came.push(Buffer.from(data).toString());
        session.sendDatagram(`got ${came.at(-1)}`);
        if (came.length === 3) session.sendDatagram("");
      },
    });
    const client = visit(server.url);
    client.say("one", "", "thrée");
    await client.heard("datagram: got one\n");
    await client.heard("datagram: got thrée\n");
    await client.heard(/^datagram: ?$/m);
    await client.kill();
    expect(came).toEqual(["one", "", "thrée"]);
  });

  testWithClient("one that is too large is not sent, and said to be", async () => {
    const opened = Promise.withResolvers<WebTransportSession>();
    const server = site({ open: session => opened.resolve(session) });
    const client = visit(server.url);
    const session = await within(opened.promise, "session");
    // Until then it is what every path carries.
    await until(() => session.datagrams.maxDatagramSize !== 1024, "the size");
    const most = session.datagrams.maxDatagramSize;
    expect(most).toBeGreaterThan(1_000);
    expect([session.sendDatagram(new Uint8Array(most)), session.sendDatagram(new Uint8Array(most + 1))]).toEqual([true, false]);
    session.close();
    await client.ended;
  });

  testWithClient("of those that nobody reads the oldest are dropped", async () => {
    const opened = Promise.withResolvers<WebTransportSession>();
    const server = site({ datagramHighWaterMark: 2, open: session => opened.resolve(session) });
    const client = visit(server.url);
    const session = await opened.promise;
    client.say("1", "2", "3", "4", "5");
    await until(() => server.metrics().webtransport.datagramsIn === 5, "five datagrams");
    session.close();
    await session.closed;
    const read: string[] = [];
    for await (const datagram of session.datagrams.readable) read.push(Buffer.from(datagram).toString());
    expect(read).toEqual(["4", "5"]);
  });

  testWithClient("are counted in the session's numbers, which are gone with it", async () => {
    const opened = Promise.withResolvers<WebTransportSession>();
    const server = site({ open: session => opened.resolve(session), datagram: (session, data) => void session.sendDatagram(data) });
    const client = visit(server.url);
    const session = await opened.promise;
    client.say("1", "2", "3");
    await until(() => session.getStats().datagrams.received === 3 && session.getStats().datagrams.sent === 3, "three echoes");
    const { rttMs, bytesSent } = session.getStats();
    expect([rttMs! > 0, bytesSent]).toEqual([true, 0]);
    session.close();
    await session.closed;
    expect(() => session.getStats()).toThrow("not open");
  });

  testWithClient("are written by W3C's streams too", async () => {
    const server = site({
      async open(session) {
        for (const stream of [session.datagrams.writable, session.datagrams.createWritable()]) {
          const writer = stream.getWriter();
          await writer.write(new TextEncoder().encode("by a stream"));
        }
      },
    });
    const client = visit(server.url);
    await client.heard(/datagram: by a stream\n[^]*datagram: by a stream\n/);
    await client.kill();
  });

  testWithClient("publish reaches those who subscribed, until they unsubscribe or leave", async () => {
    const sessions: WebTransportSession[] = [];
    const server = site({
      open(session) {
        sessions.push(session);
        session.subscribe("news");
      },
    });
    const clients = [];
    // One after the other, so that each session's client is known.
    for (let n = 1; n <= 3; n++) {
      clients.push(visit(server.url));
      await until(() => sessions.length === n, "session");
    }
    sessions[2]!.unsubscribe("news");
    expect(sessions.map(session => session.isSubscribed("news"))).toEqual([true, true, false]);
    expect([server.publish("news", "extra!"), server.publish("other", "x")]).toEqual([2, 0]);
    await clients[0]!.heard("datagram: extra!\n");
    await clients[1]!.heard("datagram: extra!\n");
    sessions[0]!.close();
    await sessions[0]!.closed;
    expect(server.publish("news", "again")).toBe(1);
    await clients[1]!.heard("datagram: again\n");
    for (const session of sessions.slice(1)) session.close();
    const [first, , third] = await Promise.all(clients.map(client => client.ended));
    expect(first).not.toContain("again");
    expect(third).not.toContain("datagram: extra!");
  });
});

describe("streams that the client allows no more of", () => {
  /** Opens more than that; what is written and ended makes room. */
  const openMany = async () => {
    const opened = Promise.withResolvers<WebTransportSession>();
    const server = site({ open: session => opened.resolve(session) });
    const client = visit(server.url);
    const session = await within(opened.promise, "session");
    const open: SendStream[] = [];
    const failed: unknown[] = [];
    const all = Array.from({ length: 900 }, () => session.createUnidirectionalStream().then(
      stream => void open.push(stream), error => void failed.push(error),
    ));
    await until(() => open.length > 0, "the first stream");
    const most = await settled(() => open.length, 1_500);
    expect([most > 0, most < 900]).toEqual([true, true]);
    return { client, session, open, failed, all, most };
  };

  testWithClient("createUnidirectionalStream waits until there is room", async () => {
    const { client, open, failed, all, most } = await openMany();
    await open[0]!.end("the first");
    await until(() => open.length > most, "room");
    let ended = 1;
    while (open.length < 900) {
      await until(() => open.length > ended, "room");
      await open[ended++]!.end("x");
    }
    await Promise.all(all);
    expect(failed).toEqual([]);
    await client.heard(": the first\n");
    await client.kill();
  });

  testWithClient("those that wait fail when the session ends", async () => {
    const { client, session, open, failed, all } = await openMany();
    client.say("/close 3");
    await within(session.closed, "end");
    await within(Promise.all(all), "every stream");
    expect([failed.length > 0, failed.length + open.length]).toEqual([true, 900]);
    for (const error of failed) expect(error).toBeInstanceOf(WebTransportError);
    await client.ended;
  });
});

describe("beside requests", () => {
  test("fetch gets what no route takes", async () => {
    const server = site({});
    expect(await (await h3(new URL("/deep/path", server.url))).text()).toBe("a page");
  });

  testWithClient("sessions open at paths that have routes, of every kind", async () => {
    const server = serve({
      port: 0,
      hostname: "127.0.0.1",
      routes: {
        "/": new Response("fixed"),
        "/users/:id": request => request.params.id,
        "/item": { POST: () => "posted" },
        "/files/*": request => request.params["*"],
      },
      webtransport: { open: session => session.close({ closeCode: 1, reason: new URL(session.url).pathname }) },
    });
    running.push(server as never);
    for (const path of ["/", "/users/7", "/item", "/files/a/b", "/elsewhere"]) {
      const { stdout } = await listen(new URL(path, server.url));
      expect(stdout).toContain(`code 1, ${path}\n`);
    }
    expect(await (await h3(server.url)).text()).toBe("fixed");
    expect(await (await h3(new URL("/users/7", server.url))).text()).toBe("7");
    expect((await h3(new URL("/item", server.url))).status).toBe(405);
    expect((await h3(new URL("/elsewhere", server.url))).status).toBe(404);
  });

  testWithClient("own route for every path stays in force", async () => {
    const server = serve({
      port: 0, hostname: "127.0.0.1", routes: { "/*": () => "mine" }, fetch: () => "not mine",
      webtransport: { open: session => session.close({ closeCode: 1, reason: "in" }) },
    });
    running.push(server as never);
    expect(await (await h3(new URL("/x", server.url))).text()).toBe("mine");
    expect((await listen(server.url)).stdout).toContain("code 1, in");
  });
});

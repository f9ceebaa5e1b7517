import { afterAll, describe, expect, test } from "bun:test";
import { Hono } from "hono";
import { type H3Request, serve } from "lorraine";
import { client, h3, testWithClient, until, within } from "./tools";

type Ask = (request: H3Request) => unknown;

/** Each request names the question in its path. */
const questions = new Map<string, Ask>();
const server = serve({
  port: 0,
  hostname: "127.0.0.1",
  routes: {
    "/ask/:name": async request => Response.json((await questions.get(request.params.name)!(request)) ?? null),
  },
});
afterAll(() => server.stop(true));

let next = 0;
/** What a handler finds out about a request; errors come out here. */
async function ask<T>(find: (request: H3Request) => T, init: RequestInit = {}, query = ""): Promise<Awaited<T>> {
  const name = String(next++);
  const found = Promise.withResolvers<Awaited<T>>();
  questions.set(name, async request => {
    try {
      found.resolve(await find(request));
    } catch (error) {
      found.reject(error);
    }
  });
  const [value] = await Promise.all([found.promise, h3(new URL(`/ask/${name}${query}`, server.url), init)]);
  return value;
}
const post = (body: RequestInit["body"], headers: Record<string, string> = {}): RequestInit =>
  ({ method: "POST", body, headers });

describe("H3Request", () => {
  test("is a Request for instanceof and for toString", async () => {
    const found = await ask(request => [request instanceof Request, Object.prototype.toString.call(request)]);
    expect(found).toEqual([true, "[object Request]"]);
  });

  test("has every property that a Request has", async () => {
    const names = Object.getOwnPropertyNames(Request.prototype).filter(name => name !== "constructor");
    expect(names.length).toBeGreaterThan(10);
    const missing = await ask(request => names.filter(name => (request as never)[name] === undefined));
    expect(missing).toEqual([]);
  });

  test("url and method are those that were asked for", async () => {
    const found = await ask(({ url, method }) => ({ url, method }), post("x"), "?a=%20b&c");
    expect(found.method).toBe("POST");
    expect(found.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/ask\/\d+\?a=%20b&c$/);
  });

  test("headers are Headers: names in any case, host among them, and they may be changed", async () => {
    const found = await ask(({ headers }) => {
      headers.set("x-own", "mine");
      return [headers instanceof Headers, headers.get("X-Word"), headers.get("host"), headers.get("x-own")];
    }, { headers: { "x-word": "a b" } });
    expect(found).toEqual([true, "a b", server.url.host.replace("localhost", "127.0.0.1"), "mine"]);
  });

  test("body is read as text, JSON, bytes, buffer and blob", async () => {
    const json = JSON.stringify({ text: "grüß dich" });
    const init = post(json, { "content-type": "application/json" });
    expect(await ask(request => request.text(), init)).toBe(json);
    expect(await ask(request => request.json(), init)).toEqual(JSON.parse(json));
    expect(Buffer.from(await ask(request => request.bytes(), init)).toString()).toBe(json);
    expect(Buffer.from(await ask(request => request.arrayBuffer(), init)).toString()).toBe(json);
    const blob = await ask(request => request.blob(), init);
    expect([blob.type.split(";")[0], await blob.text()]).toEqual(["application/json", json]);
  });

  test("UTF-8's byte order mark is left out of text and JSON", async () => {
    expect(await ask(request => request.text(), post("\ufeffword"))).toBe("word");
    expect(await ask(request => request.json(), post('\ufeff{"a":1}'))).toEqual({ a: 1 });
  });

  test("body is read as a stream of text", async () => {
    const found = await ask(async request => {
      let text = "";
      for await (const piece of request.textStream()) text += piece;
      return [text, request.bodyUsed];
    }, post("grüß dich"));
    expect(found).toEqual(["grüß dich", true]);
  });

  test("body that is no JSON or no form fails to be read as one", async () => {
    const json = await ask(request => request.json().catch((error: unknown) => error), post("{"));
    expect(json).toBeInstanceOf(SyntaxError);
    const plain = post("a", { "content-type": "text/plain" });
    expect(await ask(request => request.formData().catch((error: unknown) => error), plain)).toBeInstanceOf(TypeError);
  });

  test("body without bytes is null, and reads as nothing", async () => {
    const found = await ask(async request => {
      const { body, bodyUsed } = request;
      return [body, bodyUsed, await request.text(), (await request.bytes()).length, request.bodyUsed];
    });
    expect(found).toEqual([null, false, "", 0, false]);
  });

  test("body can be read once", async () => {
    const found = await ask(async request => {
      const before = request.bodyUsed;
      await request.text();
      const again = await request.text().catch(error => error);
      const stream = await request.bytes().catch(error => error);
      return { before, after: request.bodyUsed, again, stream };
    }, post("x"));
    expect([found.before, found.after]).toEqual([false, true]);
    expect(found.again).toBeInstanceOf(TypeError);
    expect(found.stream).toBeInstanceOf(TypeError);
  });

  test("body that was read is no stream to read again", async () => {
    const found = await ask(async request => {
      await request.text();
      const again = await (async () => new Response(request.body).text())().catch(error => error);
      return { again, locked: request.body!.locked };
    }, post("x"));
    expect(found.locked).toBe(true);
    expect(found.again).toBeInstanceOf(TypeError);
  });

  test("body is the same stream each time, and reading it uses it up", async () => {
    const found = await ask(async request => {
      const [body, same] = [request.body!, request.body === request.body];
      const before = request.bodyUsed;
      let text = "";
      for await (const piece of body) text += Buffer.from(piece).toString();
      const after = await request.text().catch(error => error);
      return { same, before, text, used: request.bodyUsed, after };
    }, post("streamed"));
    expect(found).toMatchObject({ same: true, before: false, text: "streamed", used: true });
    expect(found.after).toBeInstanceOf(TypeError);
  });

  test("clone has the same body, and both can be read", async () => {
    const found = await ask(async request => {
      const clone = request.clone();
      const plain = [clone instanceof Request, clone.url === request.url, clone.method, clone.headers.get("x-a")];
      return [...plain, await clone.text(), await request.text()];
    }, post("twice", { "x-a": "1" }));
    expect(found).toEqual([true, true, "POST", "1", "twice", "twice"]);
  });

  test("new Request(request) takes over all of it", async () => {
    const found = await ask(async request => {
      const copy = new Request(request);
      return [copy.url === request.url, copy.method, copy.headers.get("x-a"), await copy.text()];
    }, post("moved", { "x-a": "1" }));
    expect(found).toEqual([true, "POST", "1", "moved"]);
  });

  test("new Request(url, request) has another address and the rest of it", async () => {
    const found = await ask(async request => {
      const copy = new Request("https://other.example/", request);
      return [copy.url, copy.method, copy.headers.get("x-a"), await copy.text()];
    }, post("moved", { "x-a": "1" }));
    expect(found).toEqual(["https://other.example/", "POST", "1", "moved"]);
  });

  test("new Request(request, init) changes what init says and keeps the rest", async () => {
    const changed: [string, RequestInit, (string | null)[]][] = [
      ["nothing", {}, ["POST", "1", null, "follow", "moved"]],
      ["headers", { headers: { "x-b": "2" } }, ["POST", null, "2", "follow", "moved"]],
      ["method", { method: "PUT" }, ["PUT", "1", null, "follow", "moved"]],
      ["body", { body: "other" }, ["POST", "1", null, "follow", "other"]],
      ["redirect", { redirect: "manual" }, ["POST", "1", null, "manual", "moved"]],
    ];
    for (const [name, init, expected] of changed) {
      const found = await ask(async request => {
        const copy = new Request(request, init);
        return [copy.method, copy.headers.get("x-a"), copy.headers.get("x-b"), copy.redirect, await copy.text(), copy.url === request.url];
      }, post("moved", { "x-a": "1" }));
      expect([name, found]).toEqual([name, [...expected, true]]);
    }
  });

  test("is nothing but a Request, whatever it is made of", async () => {
    const found = await ask(request => [
      request instanceof TextDecoder, "decode" in request, "encoding" in request, Object.keys(request), JSON.stringify(request),
      Bun.inspect(request).includes("TextDecoder"),
    ]);
    expect(found).toEqual([false, false, false, [], "{}", false]);
  });

  test("new Request(request.clone(), { headers }) keeps the method", async () => {
    const found = await ask(async request => {
      const copy = new Request(request.clone() as Request as never, { headers: { "x-b": "2" } });
      return [copy.method, copy.headers.get("x-b"), await copy.text()];
    }, post("moved"));
    expect(found).toEqual(["POST", "2", "moved"]);
  });

  test("request that came after the handshake is no early data", async () => {
    expect(await ask(request => request.earlyData)).toBe(false);
  });
});

describe("frameworks", () => {
  const app = new Hono();
  app.use(async (context, go) => {
    await go();
    context.header("x-by", "hono");
  });
  app.get("/hono/hello/:name", context => context.text(`hello ${context.req.param("name")}`));
  app.post("/hono/json", async context => context.json({ got: await context.req.json(), type: context.req.header("content-type") }));
  app.post("/hono/form", async context => context.json(await context.req.parseBody()));
  app.get("/hono/cookie", context => {
    context.header("set-cookie", "a=1", { append: true });
    context.header("set-cookie", "b=2", { append: true });
    return context.body(null, 204);
  });
  app.mount("/hono/mounted", request => new Response(`${request.method} ${new URL(request.url).pathname}`));
  app.onError((error, context) => context.text(error.message, 500));
  app.get("/hono/throws", () => {
    throw new Error("hono's own");
  });
  const framed = serve({ port: 0, hostname: "127.0.0.1", fetch: request => app.fetch(request) });
  afterAll(() => framed.stop(true));
  const at = (path: string) => new URL(path, framed.url);

  test("Hono has its parameters, bodies and headers", async () => {
    const hello = await h3(at("/hono/hello/J%C3%BCrgen"));
    expect([await hello.text(), hello.headers.get("x-by")]).toEqual(["hello Jürgen", "hono"]);
    const type = "application/json";
    const json = await h3(at("/hono/json"), post('{"a":1}', { "content-type": type }));
    expect(await json.json()).toEqual({ got: { a: 1 }, type });
    const form = await h3(at("/hono/form"), post(new URLSearchParams({ a: "1" })));
    expect(await form.json()).toEqual({ a: "1" });
    expect((await h3(at("/hono/cookie"))).headers.getSetCookie()).toEqual(["a=1", "b=2"]);
  });

  test("Hono mounts applications, and answers errors and what it does not know by itself", async () => {
    expect(await (await h3(at("/hono/mounted/x"))).text()).toBe("GET /x");
    const error = await h3(at("/hono/throws"));
    expect([error.status, await error.text()]).toEqual([500, "hono's own"]);
    expect((await h3(at("/hono/none"))).status).toBe(404);
  });
});

describe("signal", () => {
  const begun: H3Request[] = [];
  const forever = serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 2,
    routes: {
      "/never": request => {
        begun.push(request);
        return new Promise<Response>(() => {});
      },
      "/body": request => {
        begun.push(request);
        return new Response(new ReadableStream({ pull: () => new Promise(() => {}) }));
      },
      "/much": request => {
        begun.push(request);
        return new Response(new ReadableStream({
          async pull(controller) {
            controller.enqueue(new Uint8Array(65_536));
            await Bun.sleep(0);
          },
        }));
      },
      "/done": request => {
        begun.push(request);
        return "done";
      },
    },
  });
  afterAll(() => forever.stop(true));

  test("is aborted when the client gives its request up", async () => {
    const own = new AbortController();
    const asked = h3(new URL("/never", forever.url), { signal: own.signal }).catch(error => error);
    await until(() => begun.length === 1, "request");
    const { signal } = begun.pop()!;
    const heard = new Promise(resolve => signal.addEventListener("abort", resolve, { once: true }));
    expect(signal.aborted).toBe(false);
    own.abort();
    await within(heard, "abort");
    expect((signal.reason as Error).name).toBe("ConnectionGoneError");
    expect(await asked).toBeInstanceOf(Error);
    await until(() => forever.pendingRequests === 0, "end of the request");
  });

  test("is aborted when the client goes while the body of the response is sent", async () => {
    const own = new AbortController();
    const response = await h3(new URL("/body", forever.url), { signal: own.signal });
    const { signal } = begun.pop()!;
    const heard = new Promise(resolve => signal.addEventListener("abort", resolve, { once: true }));
    const text = response.text().catch(error => error);
    own.abort();
    await within(heard, "abort");
    expect(await text).toBeInstanceOf(Error);
  });

  test("is aborted when the client goes while the body comes faster than it is taken", async () => {
    const own = new AbortController();
    const response = await h3(new URL("/much", forever.url), { signal: own.signal });
    const { signal } = begun.pop()!;
    const heard = new Promise(resolve => signal.addEventListener("abort", resolve, { once: true }));
    const text = response.text().catch(error => error);
    own.abort();
    await within(heard, "abort");
    expect((signal.reason as Error).name).toBe("ConnectionGoneError");
    await text;
  });

  test("that is asked for only after the client went is aborted already", async () => {
    const own = new AbortController();
    const asked = h3(new URL("/never", forever.url), { signal: own.signal }).catch(() => {});
    await until(() => begun.length === 1, "request");
    const request = begun.pop()!;
    own.abort();
    await asked;
    await until(() => forever.pendingRequests === 0, "end of the request");
    expect(request.signal.aborted).toBe(true);
  });

  test("is not aborted by an answer", async () => {
    expect(await (await h3(new URL("/done", forever.url))).text()).toBe("done");
    const request = begun.pop()!;
    expect(request.signal.aborted).toBe(false);
  });

  testWithClient("is aborted when the client's process is killed and its silence has lasted", async () => {
    const child = Bun.spawn(client("get", "--insecure", new URL("/never", forever.url).href), { stderr: "ignore" });
    await until(() => begun.length === 1, "request");
    const { signal } = begun.pop()!;
    const heard = new Promise(resolve => signal.addEventListener("abort", resolve, { once: true }));
    child.kill("SIGKILL");
    await within(heard, "abort");
    await until(() => forever.pendingRequests === 0, "end of the request");
  }, 120_000);
});

import { afterAll, describe, expect, test } from "bun:test";
import { demo } from "./demo";
import { errorsTold, get, h3, MIB, parse, pattern, testWithClient } from "./tools";

const server = demo();
afterAll(() => server.stop(true));
const at = (path: string) => new URL(path, server.url);
const ask = async (path: string, ...more: string[]) => {
  const { code, stdout, stderr } = await get("-i", ...more, `${server.url.origin}${path}`);
  expect(stderr).toBe("");
  return { code, ...parse(stdout) };
};
const field = (headers: [string, string][], name: string) => headers.filter(([n]) => n === name).map(([, value]) => value);

describe("routes", () => {
  test("static Response is answered without JavaScript, with its headers", async () => {
    const before = server.metrics().requests.total;
    const response = await h3(at("/"));
    expect([response.status, response.headers.get("x-kind")]).toEqual([200, "static"]);
    expect(await response.text()).toBe("a page that is always the same\n");
    expect(server.metrics().requests.total).toBe(before);
  });

  test("static Response keeps its type and its empty body", async () => {
    const json = await h3(at("/static/json"));
    expect(json.headers.get("content-type")).toStartWith("application/json");
    expect(await json.json()).toEqual({ fixed: true });
    const empty = await h3(at("/static/empty"));
    expect([empty.status, await empty.text()]).toEqual([204, ""]);
  });

  test("parameters are decoded, also those beyond ASCII", async () => {
    expect(await (await h3(at("/users/42"))).json()).toEqual({ id: "42" });
    const name = "Jürgen Müller/日本 %?#&=";
    expect(await (await h3(at(`/users/${encodeURIComponent(name)}`))).json()).toEqual({ id: name });
  });

  test("path with two parameters gives both", async () => {
    const response = await h3(at("/teams/red/members/7"));
    expect(await response.json()).toEqual({ team: "red", member: "7" });
  });

  test("fixed path goes before a parameter", async () => {
    expect(await (await h3(at("/users/me"))).text()).toBe("me, by GET");
  });

  test("wildcard gives the rest of the path", async () => {
    expect(await (await h3(at("/files/a/b/c.txt"))).text()).toBe("a/b/c.txt");
  });

  test("path with broken percent-encoding is answered with 400", async () => {
    for (const path of ["/users/%zz", "/users/%", "/files/%ff"]) {
      const response = await h3(`${server.url.origin}${path}`);
      expect(response.status).toBe(400);
    }
  });

  test("methods of a route have their own handlers", async () => {
    const by = async (method: string, body?: string) => {
      const response = await h3(at("/item"), body === undefined ? { method } : { method, body });
      return [response.status, await response.text()];
    };
    expect(await by("GET")).toEqual([200, "got"]);
    expect(await by("PUT", "this")).toEqual([200, "put this"]);
    expect(await by("DELETE")).toEqual([204, ""]);
    expect(await by("PATCH", "x")).toEqual([200, "patched"]);
  });

  test("method that a route does not have is answered with 405 and what is allowed", async () => {
    const response = await h3(at("/item"), { method: "POST", body: "x" });
    expect(response.status).toBe(405);
    const allowed = response.headers.get("allow")!.split(/, */).sort();
    expect(allowed).toEqual(expect.arrayContaining(["DELETE", "GET", "PATCH", "PUT"]));
  });

  test("HEAD is answered by GET's handler without its body", async () => {
    const response = await h3(at("/item"), { method: "HEAD" });
    expect([response.status, response.headers.get("content-length")]).toEqual([200, "3"]);
    expect(await response.text()).toBe("");
    const streamed = await h3(at("/download/200000"), { method: "HEAD" });
    expect([streamed.status, await streamed.text()]).toEqual([200, ""]);
    expect((await h3(at("/"), { method: "HEAD" })).headers.get("x-kind")).toBe("static");
  });

  test("HEAD's own handler goes before GET's", async () => {
    expect((await h3(at("/head"), { method: "HEAD" })).headers.get("x-by")).toBe("HEAD");
  });

  test("what no route takes goes to fetch", async () => {
    const response = await h3(at("/no/such/path"));
    expect([response.status, await response.text()]).toEqual([404, "nothing at /no/such/path"]);
  });

  test("query is passed on, decoded by URL", async () => {
    const query = "?a=1&a=2&empty=&text=gr%C3%BC%C3%9F%20dich&plus=a+b";
    const pairs = [["a", "1"], ["a", "2"], ["empty", ""], ["text", "grüß dich"], ["plus", "a b"]];
    expect(await (await h3(at(`/query${query}`))).json()).toEqual(pairs);
  });

  test("redirects carry their location", async () => {
    const response = await h3(at("/redirect"), { redirect: "manual" });
    expect([response.status, response.headers.get("location")]).toEqual([302, "/item"]);
    expect(await (await h3(at("/redirect"))).text()).toBe("got");
    const fixed = await h3(at("/moved"), { redirect: "manual" });
    expect([fixed.status, fixed.headers.get("location")]).toEqual([308, "/item"]);
  });

  test("several set-cookie stay several", async () => {
    const response = await h3(at("/cookies"));
    expect(response.headers.getSetCookie()).toEqual(["a=1; Path=/; HttpOnly", "b=2; Secure", "c=3"]);
  });

  test("statuses without a body have none", async () => {
    for (const status of [204, 205, 304]) {
      const response = await h3(at(`/status/${status}`));
      expect([response.status, await response.text()]).toEqual([status, ""]);
    }
    for (const status of [200, 201, 418, 599]) expect((await h3(at(`/status/${status}`))).status).toBe(status);
  });

  test("JSON goes both ways", async () => {
    const value = { text: "grüß dich", list: [1, null, true], nested: { deep: {} } };
    const response = await h3(at("/json"), { method: "POST", body: JSON.stringify(value) });
    expect(await response.json()).toEqual({ got: value });
  });

  test("forms of both kinds are read, files included", async () => {
    const fields = new URLSearchParams({ name: "Grüße & so", n: "1" });
    expect(await (await h3(at("/form"), { method: "POST", body: fields })).json()).toEqual({ name: "Grüße & so", n: "1" });
    const form = new FormData();
    form.set("word", "hello");
    form.set("file", new File(["contents"], "a.txt", { type: "text/plain" }));
    const answer = (await (await h3(at("/form"), { method: "POST", body: form })).json()) as { file: { type: string } };
    expect(answer).toMatchObject({ word: "hello", file: { name: "a.txt", text: "contents" } });
    expect(answer.file.type).toStartWith("text/plain");
  });

  test("echo keeps every byte and the type", async () => {
    for (const length of [1, 1_000, 65_536, MIB + 17]) {
      const body = pattern(length);
      const response = await h3(at("/echo"), { method: "POST", body, headers: { "content-type": "x/y" } });
      expect(response.headers.get("content-type")).toBe("x/y");
      expect(Buffer.compare(await response.bytes(), body)).toBe(0);
    }
  });

  test("empty upload is an empty body", async () => {
    const response = await h3(at("/upload"), { method: "POST", body: "" });
    expect(await response.json()).toMatchObject({ length: 0 });
  });

  test("strings and bytes are answers of their own", async () => {
    const text = await h3(at("/text"));
    expect(text.headers.get("content-type")).toBe("text/plain;charset=utf-8");
    expect(await text.text()).toBe("just a string: grüß dich");
    const bytes = await h3(at("/bytes"));
    expect(bytes.headers.get("content-type")).toBe("application/octet-stream");
    expect([...(await bytes.bytes())]).toEqual([1, 2, 3]);
  });

  test("handler that gives nothing is answered with 404", async () => {
    expect((await h3(at("/nothing"))).status).toBe(404);
  });

  test("handler that gives something else, throws or rejects is answered with 500, told, and the server goes on", async () => {
    using errors = errorsTold();
    for (const path of ["/wrong", "/throws", "/rejects"]) expect((await h3(at(path))).status).toBe(500);
    expect(errors.told.map(String)).toEqual([
      expect.stringContaining("must give back a Response"), "Error: on purpose", "Error: on purpose, later",
    ]);
    expect(await (await h3(at("/late"))).text()).toBe("late");
  });

  test("headers of 15 kB go both ways", async () => {
    const value = "h".repeat(15_000);
    const request = await h3(at("/headers"), { headers: { "x-big": value } });
    expect(await request.json()).toMatchObject({ "x-big": value });
    const response = await h3(at("/big-headers?n=15000"));
    expect(response.headers.get("x-big")).toHaveLength(15_000);
  });

  test("header beyond ASCII goes out as latin1, as fetch has it", async () => {
    const response = await h3(at("/latin1"));
    expect(response.headers.get("x-text")).toBe("café");
  });

  test("requestIP tells where a request came from", async () => {
    const peer = (await (await h3(at("/peer"))).json()) as { port: number };
    expect(peer).toMatchObject({ address: "127.0.0.1", family: "IPv4" });
    expect(peer.port).toBeGreaterThan(0);
  });

  test("a hundred requests at once each get their own answer", async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, async (_, n) => (await h3(at(`/users/${n}`))).json()));
    expect(answers).toEqual(Array.from({ length: 100 }, (_, n) => ({ id: String(n) })));
  });
});

describe("by the native client", () => {
  testWithClient("answer has length and date, and names in lower case", async () => {
    const { status, headers, body } = await ask("/text");
    expect([status, body]).toEqual([200, "just a string: grüß dich"]);
    expect(field(headers, "content-length")).toEqual([String(Buffer.byteLength(body))]);
    expect(field(headers, "date")).toHaveLength(1);
  });

  testWithClient("several set-cookie are lines of their own", async () => {
    expect(field((await ask("/cookies")).headers, "set-cookie")).toEqual(["a=1; Path=/; HttpOnly", "b=2; Secure", "c=3"]);
  });

  testWithClient("several cookie fields are one, joined as cookies are", async () => {
    const { body } = await ask("/headers", "-H", "cookie: a=1", "-H", "cookie: b=2", "-H", "x-two: 1", "-H", "x-two: 2");
    expect(JSON.parse(body)).toMatchObject({ cookie: "a=1; b=2", "x-two": "1, 2" });
  });

  testWithClient("404, 405 and 204 come as they are", async () => {
    expect((await ask("/none")).status).toBe(404);
    expect((await ask("/item", "-X", "POST", "-d", "x")).status).toBe(405);
    const { status, headers } = await ask("/item", "-X", "DELETE");
    expect([status, field(headers, "content-length")]).toEqual([204, []]);
  });

  testWithClient("body of the client's comes back", async () => {
    expect((await ask("/echo", "-d", "hello")).body).toBe("hello");
    expect(JSON.parse((await ask("/upload", "-d", "hello")).body)).toMatchObject({ length: 5 });
  });

  testWithClient("a thousand requests over one connection are all answered", async () => {
    const { code, stdout } = await get("-n", "1000", `${server.url.origin}/users/1`);
    expect(code).toBe(0);
    expect(stdout.split('{"id":"1"}').length - 1).toBe(1_000);
  });
});

import { afterAll, expect, test } from "bun:test";
import { Response as Remembering, serve } from "lorraine";
import { h3, MIB } from "./tools";

let answer: () => Response | Promise<Response> = () => new Remembering();
const server = serve({ port: 0, hostname: "127.0.0.1", fetch: () => answer() });
afterAll(() => server.stop(true));

async function ask(make: () => Response | Promise<Response>) {
  answer = make;
  const response = await h3(server.url);
  return { response, type: response.headers.get("content-type"), text: await response.text() };
}

test("a Response that remembers is a Response, and sends what one sends", async () => {
  expect(new Remembering("x")).toBeInstanceOf(Response);
  for (const Own of [Response, Remembering]) {
    expect((await ask(() => new Own("text", { status: 201, headers: { "x-a": "1" } }))).response.status).toBe(201);
    expect((await ask(() => new Own(null, { status: 204 }))).text).toBe("");
    expect((await ask(() => new Own("grüß dich"))).text).toBe("grüß dich");
    expect((await ask(() => new Own(new Uint8Array([65, 66])))).text).toBe("AB");
    expect((await ask(() => new Own("b".repeat(MIB)))).text).toHaveLength(MIB);
    expect((await ask(() => new Own(new Blob(["blob"])))).text).toBe("blob");
    const json = await ask(() => Own.json({ a: "ü" }, { status: 202 }));
    expect([json.response.status, json.text]).toEqual([202, '{"a":"ü"}']);
    expect(json.type).toStartWith("application/json");
  }
});

test("bytes that are changed after the response was made go out as they were", async () => {
  for (const bytes of [Buffer.from("before"), new TextEncoder().encode("before")]) {
    const { text } = await ask(() => {
      const made = new Remembering(bytes);
      bytes.fill(65);
      return made;
    });
    expect(text).toBe("before");
  }
});

test("headers that are set later are sent", async () => {
  const { response } = await ask(() => {
    const made = new Remembering("x");
    made.headers.set("x-later", "1");
    return made;
  });
  expect(response.headers.get("x-later")).toBe("1");
});

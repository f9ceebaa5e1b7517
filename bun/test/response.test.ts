import { afterAll, describe, expect, test } from "bun:test";
import { Response as Remembering, serve } from "lorraine";
import { errorsTold, h3, MIB, within } from "./tools";

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

describe("body", async () => {
  const pieces = (...texts: string[]) => new ReadableStream({
    async pull(controller) {
      await Bun.sleep(1);
      const text = texts.shift();
      if (text === undefined) controller.close();
      else controller.enqueue(text);
    },
  });
  const touched = (response: Response) => {
    void response.body;
    return response;
  };
  const file = Bun.file(import.meta.path);
  /**
   * What it is, how it is made, what arrives; its length: `null` where nobody knows it when the fields go out, `undefined`
   * where that is a matter of luck.
   */
  const bodies: [string, () => Response, string, number | null | undefined][] = [
    ["text", () => new Response("grüße"), "grüße", 7],
    ["bytes", () => new Response(new Uint8Array([65, 66])), "AB", 2],
    ["a buffer", () => new Response(new Uint8Array([65, 66]).buffer), "AB", 2],
    ["empty text", () => new Response(""), "", 0],
    ["no bytes", () => new Response(new Uint8Array(0)), "", 0],
    ["null", () => new Response(null), "", 0],
    ["nothing", () => new Response(), "", 0],
    ["a Blob", () => new Response(new Blob(["bl", "ob"])), "blob", 4],
    ["a form", () => new Response(new URLSearchParams({ a: "b c" })), "a=b+c", 5],
    ["JSON with a status text", () => Response.json([1], { statusText: "All is well" }), "[1]", 3],
    ["a file", () => new Response(file), await file.text(), undefined],
    ["a stream", () => new Response(pieces("a", "b")), "ab", null],
    ["a stream with a long status text", () => new Response(pieces("a", "b"), { statusText: "long ".repeat(40) }), "ab", null],
    ["a clone", () => new Response("twice").clone() as Response, "twice", 5],
    ["what was cloned", () => { const one = new Response("once"); one.clone(); return one; }, "once", 4],
    ["a clone of a stream", () => new Response(pieces("a", "b")).clone() as Response, "ab", null],
    ["text whose body was looked at", () => touched(new Response("seen")), "seen", 4],
    ["a stream whose body was looked at", () => touched(new Response(pieces("a", "b"))), "ab", null],
    ["the body of another", () => new Response(new Response("moved").body), "moved", 5],
  ];
  for (const [name, make, text, length] of bodies) {
    test(`that is ${name} arrives, at once or later`, async () => {
      for (const own of [make, async () => { await Bun.sleep(1); return make(); }]) {
        const { response, text: came } = await ask(own);
        expect([response.status, came]).toEqual([200, text]);
        if (length !== undefined) expect(response.headers.get("content-length")).toBe(length === null ? null : String(length));
      }
    });
  }

  /** A piece, and another when its reader has seen the first. */
  const slow = () => {
    const go = Promise.withResolvers<void>();
    const body = (async function* () {
      yield "first";
      await go.promise;
      yield " last";
    })();
    return { go, body: body as never };
  };
  const firstThenLast = async (go: PromiseWithResolvers<void>) => {
    const reader = (await within(h3(server.url), "fields")).body!.getReader();
    const first = await within(reader.read(), "first piece");
    expect(Buffer.from(first.value!).toString()).toBe("first");
    go.resolve();
    const last = await within(reader.read(), "last piece");
    expect([Buffer.from(last.value!).toString(), (await reader.read()).done]).toEqual([" last", true]);
  };

  test("that has not ended arrives as far as it is there", async () => {
    for (const statusText of ["", "long ".repeat(40)]) {
      const { go, body } = slow();
      answer = () => new Response(body, { statusText });
      await firstThenLast(go);
    }
  });

  test("of another server that has not ended is passed on as far as it is there", async () => {
    let body: never;
    await using upstream = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(body, { statusText: "Up" }) });
    const passes: (() => Promise<Response>)[] = [
      async () => await fetch(new URL("/a/long/path?with=a&query#fragment", upstream.url)),
      async () => touched(await fetch(upstream.url)),
      async () => (await fetch(upstream.url)).clone() as Response,
      // With the first piece there before it is answered.
      async () => { const got = await fetch(upstream.url); await Bun.sleep(50); return got; },
    ];
    for (const pass of passes) {
      const next = slow();
      body = next.body;
      answer = pass;
      await firstThenLast(next.go);
    }
  });

  test("that was used or is being read is answered with 500 and told", async () => {
    const used: (() => Promise<Response> | Response)[] = [
      async () => { const one = new Response("x"); await one.text(); return one; },
      () => { const one = new Response("x"); void one.text(); return one; },
      () => { const one = new Response("x"); one.body!.getReader(); return one; },
      () => { const one = new Response(pieces("a")); one.body!.getReader(); return one; },
      async () => { const one = new Remembering("x"); await one.text(); return one; },
    ];
    for (const make of used) {
      using errors = errorsTold();
      expect((await ask(make)).response.status).toBe(500);
      expect(errors.told).toEqual([expect.any(TypeError)]);
    }
  });
});

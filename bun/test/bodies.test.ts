/** Bodies of requests and responses: what arrives, and what is said of what cannot. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BodyTooLargeError, ConnectionGoneError, type H3Request, serve, StreamResetError } from "lorraine";
import { countedHash, demo } from "./demo";
import { errorsTold, get, h3, MIB, pattern, sha256, testWithClient, until, within } from "./tools";

const server = demo();
const directory = mkdtempSync(join(tmpdir(), "lorraine-bodies-"));
afterAll(async () => {
  await server.stop(true);
  rmSync(directory, { recursive: true });
});

/** What the next request of `/now` is answered with. */
let answer: (request: H3Request) => Response | string | Promise<Response | string> = () => "none";
const own = serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 10,
  maxRequestBodySize: 4 * MIB,
  routes: { "/now": request => answer(request) },
});
const now = new URL("/now", own.url).href;
afterAll(() => own.stop(true));
afterEach(() => until(() => own.pendingRequests === 0, "end of every request"));

describe("answers", () => {
  test("download of a length has every byte", async () => {
    for (const length of [0, 1, 65_535, 65_536, 65_537, 3 * MIB + 1]) {
      const response = await h3(new URL(`/download/${length}`, server.url));
      expect(sha256(await response.bytes())).toBe(countedHash(length));
    }
  });

  test("text, pieces and async generators are bodies", async () => {
    answer = () => new Response((async function* () {
      yield "a";
      await Bun.sleep(1);
      yield new TextEncoder().encode("b");
      yield "";
      yield "ü";
    })() as never);
    expect(await (await h3(now)).text()).toBe("abü");
    answer = () => new Response(new ReadableStream({
      start(controller) {
        for (const piece of ["x", "y", "z"]) controller.enqueue(piece);
        controller.close();
      },
    }));
    expect(await (await h3(now)).text()).toBe("xyz");
    answer = () => new Response(new ReadableStream({
      type: "direct",
      async pull(controller: { write(text: string): void; flush(): Promise<void>; close(): void }) {
        controller.write("direct ");
        await controller.flush();
        controller.write("stream");
        controller.close();
      },
    } as never));
    expect(await (await h3(now)).text()).toBe("direct stream");
  });

  test("body that is at hand has its length, one that is not has none", async () => {
    answer = () => new Response("at hand");
    expect((await h3(now)).headers.get("content-length")).toBe("7");
    answer = () => new Response("l".repeat(MIB));
    expect((await h3(now)).headers.get("content-length")).toBe(String(MIB));
    answer = () => new Response((async function* () {
      yield "a";
      await Bun.sleep(5);
      yield "b";
    })() as never);
    const streamed = await h3(now);
    expect([streamed.headers.get("content-length"), await streamed.text()]).toEqual([null, "ab"]);
  });

  test("fields arrive before a body that is not there yet", async () => {
    const go = Promise.withResolvers<void>();
    answer = () => new Response((async function* () {
      await go.promise;
      yield "at last";
    })() as never, { headers: { "x-early": "1" } });
    const response = await within(h3(now), "fields");
    expect(response.headers.get("x-early")).toBe("1");
    go.resolve();
    expect(await response.text()).toBe("at last");
  });

  test("Bun.file is a body, small or large, and a slice of one too", async () => {
    for (const length of [10, 3 * MIB]) {
      const bytes = pattern(length, length);
      const path = join(directory, `${length}.bin`);
      await Bun.write(path, bytes);
      answer = () => new Response(Bun.file(path));
      expect(Buffer.compare(await (await h3(now)).bytes(), bytes)).toBe(0);
      answer = () => new Response(Bun.file(path).slice(2, 7));
      expect(Buffer.compare(await (await h3(now)).bytes(), bytes.subarray(2, 7))).toBe(0);
    }
  });

  test("file that is missing is answered with 500", async () => {
    using errors = errorsTold();
    answer = () => new Response(Bun.file(join(directory, "missing")));
    expect((await h3(now)).status).toBe(500);
    expect(String(errors.told[0])).toContain("ENOENT");
  });

  test("body of 2 MiB in one piece arrives", async () => {
    const bytes = pattern(2 * MIB, 5);
    answer = () => new Response(bytes);
    expect(sha256(await (await h3(now)).bytes())).toBe(sha256(bytes));
    answer = () => "ü".repeat(MIB);
    expect(await (await h3(now)).text()).toBe("ü".repeat(MIB));
  });

  test("response that cannot be sent is answered with 500 and told, whatever its body", async () => {
    for (const body of ["short", "l".repeat(200_000), "l".repeat(MIB), pattern(MIB)]) {
      using errors = errorsTold();
      answer = () => new Response(body, { headers: { "content-length": "3" } });
      const response = await h3(now);
      expect(response.status).toBe(500);
      await until(() => errors.told.length === 1, "the error");
      expect(String(errors.told[0])).toContain("content-length");
    }
  });

  // Bun's client takes a reset for the end of a body, and so cannot tell; the native one can.
  testWithClient("body that fails midway resets the response, and is told", async () => {
    using errors = errorsTold();
    const bodies = [
      () => (async function* () {
        yield "begun";
        await Bun.sleep(5);
        throw new Error("midway");
      })(),
      () => new ReadableStream({
        async pull(controller) {
          controller.enqueue("begun");
          await Bun.sleep(5);
          controller.error(new Error("midway"));
        },
      }),
    ];
    for (const body of bodies) {
      answer = () => new Response(body() as never);
      const { code, stdout, stderr } = await get(now);
      // The reset may overtake what was sent before it.
      expect([code, "begun".startsWith(stdout)]).toEqual([1, true]);
      expect(stderr).toContain("reset");
    }
    expect(errors.told.map(String)).toEqual(["Error: midway", "Error: midway"]);
  });

  testWithClient("body that gives neither bytes nor text resets the response, and is told", async () => {
    using errors = errorsTold();
    answer = () => new Response(new ReadableStream({
      async pull(controller) {
        await Bun.sleep(1);
        controller.enqueue({});
      },
    }));
    expect((await get(now)).code).not.toBe(0);
    expect(errors.told.map(String)).toEqual([expect.stringContaining("neither bytes nor text")]);
  });

  testWithClient("body that is shorter or longer than its content-length resets the response", async () => {
    for (const length of [2, 6]) {
      answer = () => new Response((async function* () {
        await Bun.sleep(1);
        yield "four";
      })() as never, { headers: { "content-length": String(length) } });
      expect((await get(now)).code).not.toBe(0);
    }
  });

  test("body that fails before its first piece is answered with 500", async () => {
    using errors = errorsTold();
    answer = () => new Response(new ReadableStream({
      start(controller) {
        controller.error(new Error("at once"));
      },
    }));
    expect((await h3(now)).status).toBe(500);
    expect(errors.told.map(String)).toEqual(["Error: at once"]);
  });

  test("response that was used before is answered with 500", async () => {
    using errors = errorsTold();
    answer = async () => {
      const response = new Response("once");
      await response.text();
      return response;
    };
    expect((await h3(now)).status).toBe(500);
    expect(errors.told).toHaveLength(1);
  });
});

describe("uploads", () => {
  test("body longer than maxRequestBodySize is answered with 413", async () => {
    for (const read of [(request: H3Request) => request.text(), async (request: H3Request) => {
      for await (const _ of request.body!);
    }, (request: H3Request) => request.blob(), (request: H3Request) => new Request(request).text()]) {
      answer = async request => {
        await read(request);
        return "read";
      };
      expect((await h3(now, { method: "POST", body: pattern(4 * MIB) })).status).toBe(200);
      const response = await h3(now, { method: "POST", body: pattern(4 * MIB + 1) }).catch(error => error);
      expect(response.status).toBe(413);
    }
  }, 120_000);

  test("handler may catch that a body is too long", async () => {
    answer = async request => {
      const error = await request.text().catch(error => error);
      return error instanceof BodyTooLargeError ? `at most ${error.limit}` : "read";
    };
    const response = await h3(now, { method: "POST", body: pattern(5 * MIB) });
    expect(await response.text()).toBe(`at most ${4 * MIB}`);
  });

  test("handler may answer before the upload is there", async () => {
    answer = () => "enough";
    const response = await h3(now, { method: "POST", body: pattern(3 * MIB) });
    expect([response.status, await response.text()]).toEqual([200, "enough"]);
  });

  test("reading an upload after the answer fails, and does not wait for ever", async () => {
    const after = Promise.withResolvers<unknown>();
    answer = request => {
      setTimeout(() => request.text().then(after.resolve, after.resolve), 20);
      return "enough";
    };
    await (await h3(now, { method: "POST", body: pattern(MIB) })).text();
    expect(await within(after.promise, "reading")).toBeInstanceOf(ConnectionGoneError);
  });

  test("reading an upload that has no end fails when the answer does, before it begins or midway", async () => {
    const answers = [
      () => new Response((async function* () {
        await Bun.sleep(1);
        yield "begun";
        await Bun.sleep(1);
        throw new Error("midway");
      })() as never),
      () => new Response(new ReadableStream({ pull: () => new Promise(() => {}) }), { headers: { "content-length": "none" } }),
    ];
    for (const make of answers) {
      using _ = errorsTold();
      const reading = Promise.withResolvers<unknown>();
      const leave = new AbortController();
      answer = request => {
        request.text().then(reading.resolve, reading.resolve);
        return make();
      };
      const body = new ReadableStream({ start: controller => controller.enqueue(pattern(1_000)) });
      const init = { method: "POST", body, signal: leave.signal, duplex: "half" };
      const asked = h3(now, init as never).then(response => response.text()).catch(error => error);
      expect(await within(reading.promise, "reading")).toBeInstanceOf(ConnectionGoneError);
      leave.abort();
      await asked;
    }
  });

  test("upload and answer flow at the same time", async () => {
    answer = request => new Response(request.body!.pipeThrough(new TransformStream({
      transform(piece: Uint8Array, controller) {
        controller.enqueue(piece.map(byte => byte ^ 0xff));
      },
    })));
    const bytes = pattern(3 * MIB, 9);
    const response = await h3(now, { method: "POST", body: bytes });
    expect(sha256(await response.bytes())).toBe(sha256(bytes.map(byte => byte ^ 0xff)));
  });

  test("upload that the client breaks off fails to be read", async () => {
    const read = Promise.withResolvers<unknown>();
    const begun = Promise.withResolvers<void>();
    answer = async request => {
      begun.resolve();
      try {
        await request.text();
        read.resolve("read to its end");
      } catch (error) {
        read.resolve(error);
      }
      return "";
    };
    const own = new AbortController();
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(pattern(1_000));
      },
    });
    const asked = h3(now, { method: "POST", body, signal: own.signal, duplex: "half" } as never).catch(error => error);
    await begun.promise;
    own.abort();
    await asked;
    const error = await within(read.promise, "the end of the upload");
    expect(error instanceof StreamResetError || error instanceof ConnectionGoneError).toBe(true);
  });
});

/** Bodies at the pace of the slower side, and what becomes of them when a side goes. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConnectionGoneError, type H3Request, serve } from "lorraine";
import { countedBytes, countedHash, demo } from "./demo";
import { client, FULL, h3, MIB, pattern, rss, run, settled, testWithClient, until, within } from "./tools";

const server = demo();
const directory = mkdtempSync(join(tmpdir(), "lorraine-flow-"));
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
  routes: { "/now": request => answer(request) },
});
const now = new URL("/now", own.url).href;
afterAll(() => own.stop(true));
afterEach(() => until(() => own.pendingRequests === 0, "end of every request"));

/** Bodies that are read no further than this wait: what client and server may hold on the way. */
const ON_THE_WAY = 24 * MIB;

describe("backpressure", () => {
  test("client that stops reading stops the pulls, and reading on starts them again", async () => {
    let pulled = 0;
    const length = 64 * MIB;
    answer = () => {
      const bytes = countedBytes(length).getReader();
      return new Response(new ReadableStream({
        async pull(controller) {
          const { value, done } = await bytes.read();
          if (done) return controller.close();
          pulled += value.length;
          controller.enqueue(value);
        },
      }, { highWaterMark: 0 }));
    };
    const response = await h3(now);
    const reader = response.body!.getReader();
    const first = (await reader.read()).value!;
    const held = await settled(() => pulled);
    expect(held).toBeLessThan(ON_THE_WAY);
    let length2 = first.length;
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) length2 += piece.value.length;
    expect([length2, pulled]).toEqual([length, length]);
  }, 120_000);

  test("handler that does not read stops the uploader, and reading on starts it again", async () => {
    const go = Promise.withResolvers<void>();
    let sent = 0;
    let read = 0;
    const length = 64 * MIB;
    const slow = serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async request => {
        await go.promise;
        for await (const piece of request.body!) read += piece.length;
        return "read";
      },
    });
    await using _ = slow;
    const body = countedBytes(length).pipeThrough(new TransformStream({
      transform(piece: Uint8Array, controller) {
        sent += piece.length;
        controller.enqueue(piece);
      },
    }));
    const response = h3(slow.url, { method: "POST", body: body as never, duplex: "half" });
    await until(() => sent > 0, "beginning");
    expect(await settled(() => sent)).toBeLessThan(ON_THE_WAY);
    go.resolve();
    expect(await (await response).text()).toBe("read");
    expect([sent, read]).toEqual([length, length]);
  }, 120_000);
});

describe("clients that go", () => {
  const cancelled = async (make: (onCancel: (reason: unknown) => void) => unknown) => {
    const reasons: unknown[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    answer = () => new Response(make(reason => {
      reasons.push(reason);
      resolve();
    }) as never);
    const leave = new AbortController();
    const response = await h3(now, { signal: leave.signal });
    await response.body!.getReader().read();
    leave.abort();
    await within(promise, "cancel");
    await until(() => own.pendingRequests === 0, "end of the request");
    return reasons;
  };

  test("stream is cancelled exactly once, while it waits for room", async () => {
    const reasons = await cancelled(cancel => new ReadableStream({
      pull: controller => controller.enqueue(pattern(65_536)),
      cancel,
    }));
    expect(reasons).toEqual([expect.any(ConnectionGoneError)]);
  });

  test("stream is cancelled exactly once, while its next piece is not there", async () => {
    let begun = false;
    const reasons = await cancelled(cancel => new ReadableStream({
      async pull(controller) {
        if (begun) return new Promise(() => {});
        begun = true;
        controller.enqueue("first");
      },
      cancel,
    }));
    expect(reasons).toEqual([expect.any(ConnectionGoneError)]);
  });

  test("async generator runs its finally once", async () => {
    const reasons = await cancelled(cancel => (async function* () {
      try {
        for (;;) {
          yield pattern(1_000);
          await Bun.sleep(1);
        }
      } finally {
        cancel("finally");
      }
    })() as never);
    expect(reasons).toEqual(["finally"]);
  });

  testWithClient("killed client cancels the stream when its silence has lasted", async () => {
    const gone = Promise.withResolvers<void>();
    const brief = serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 3,
      fetch: () => new Response(new ReadableStream({
        pull: controller => controller.enqueue(pattern(65_536)),
        cancel: () => gone.resolve(),
      })),
    });
    await using _ = brief;
    const child = Bun.spawn(client("get", "--insecure", brief.url.href), { stdout: "pipe", stderr: "ignore" });
    await child.stdout.getReader().read();
    child.kill("SIGKILL");
    await within(gone.promise, "cancel");
    await until(() => brief.pendingRequests === 0, "end of the request");
  }, 120_000);
});

describe("in constant memory", () => {
  const length = (FULL ? 1024 : 64) * MIB;
  // Not the body's size, but what a heap grows by before it is collected.
  const room = 400 * MIB;
  const memory = async (work: () => Promise<void>) => {
    Bun.gc(true);
    const before = rss();
    let most = before;
    const timer = setInterval(() => { most = Math.max(most, rss()); }, 20);
    const began = performance.now();
    await work();
    clearInterval(timer);
    const seconds = (performance.now() - began) / 1_000;
    if (FULL) console.log(`${length / MIB} MiB in ${seconds.toFixed(1)} s, memory grew by ${((most - before) / MIB).toFixed(0)} MiB`);
    return most - before;
  };

  testWithClient(`${length / MIB} MiB down keep their hash`, async () => {
    const grown = await memory(async () => {
      await using child = Bun.spawn(client("get", "--insecure", new URL(`/download/${length}`, server.url).href), {
        stdout: "pipe", stderr: "inherit",
      });
      const hasher = new Bun.CryptoHasher("sha256");
      for await (const piece of child.stdout) hasher.update(piece);
      expect(hasher.digest("hex")).toBe(countedHash(length));
    });
    expect(grown).toBeLessThan(room);
  }, FULL ? 300_000 : 120_000);

  testWithClient(`${length / MIB} MiB up keep their hash`, async () => {
    const path = join(directory, "upload.bin");
    const file = Bun.file(path).writer();
    for await (const piece of countedBytes(length)) file.write(piece);
    await file.end();
    const big = serve({ port: 0, hostname: "127.0.0.1", maxRequestBodySize: 2 * length, fetch: async request => {
      const hasher = new Bun.CryptoHasher("sha256");
      for await (const piece of request.body!) hasher.update(piece);
      return hasher.digest("hex");
    } });
    await using _ = big;
    const grown = await memory(async () => {
      const { stdout } = await run(client("get", "--insecure", "-d", `@${path}`, big.url.href));
      expect(stdout).toBe(countedHash(length));
    });
    expect(grown).toBeLessThan(room);
  }, FULL ? 300_000 : 120_000);
});

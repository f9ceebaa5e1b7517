/** `server.timeout`: what becomes of requests that stand still, and of those that do not. */
import { afterEach, describe, expect, jest, test } from "bun:test";
import { type H3Request, TimeoutError } from "lorraine";
import { Patience } from "../src/patience";
import { answering, client, errorsTold, get, h3, pattern, talk, testWithClient, until, within } from "./tools";

const { server, next } = answering();
afterEach(() => until(() => server.pendingRequests === 0, "end of every request"));

const SHORT = 0.05;
const never = () => new Promise<never>(() => {});
const failure = (promise: Promise<unknown>) => promise.then(() => "it came", error => error);
const aborted = (signal: AbortSignal) => new Promise<unknown>(resolve => {
  signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
});

describe("a request that stands still", () => {
  test("for want of an answer gets 503, and its handler hears of it", async () => {
    using errors = errorsTold();
    const heard = Promise.withResolvers<unknown>();
    let late: H3Request;
    next.answer = async request => {
      late = request;
      server.timeout(request, SHORT);
      heard.resolve(await aborted(request.signal));
      // As a `fetch` with the signal would.
      throw request.signal.reason;
    };
    const response = await within(h3(server.url), "answer");
    expect([response.status, await response.text()]).toEqual([503, ""]);
    const reason = await heard.promise as TimeoutError;
    expect(reason).toBeInstanceOf(TimeoutError);
    expect([reason.seconds, reason.message]).toEqual([SHORT, `the request stood still for ${SHORT} s`]);
    expect(late!.signal.reason).toBe(reason);
    expect(() => late.inform(103)).toThrow(reason);
    expect(errors.told).toEqual([]);
  });

  test("whose handler answers all the same has one answer", async () => {
    let cancelled: unknown;
    for (const late of ["too late", new Response("too late"), new Response(new ReadableStream({
      pull: never,
      cancel: reason => { cancelled = reason; },
    }))]) {
      next.answer = async request => {
        server.timeout(request, SHORT);
        await aborted(request.signal);
        return late;
      };
      expect((await within(h3(server.url), "answer")).status).toBe(503);
    }
    await until(() => cancelled !== undefined, "end of the stream");
  });

  test("for want of its body gets 408, and what reads that fails", async () => {
    const failed = Promise.withResolvers<unknown>();
    next.answer = request => {
      server.timeout(request, SHORT);
      const text = request.text();
      failed.resolve(failure(text));
      return text;
    };
    const rest = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      start: controller => controller.enqueue(pattern(1_000)),
      pull: () => rest.promise,
    });
    const asked = h3(server.url, { method: "POST", body, duplex: "half" });
    expect(await within(failed.promise, "end of the wait")).toBeInstanceOf(TimeoutError);
    expect((await within(asked, "answer")).status).toBe(408);
    rest.resolve();
  });

  // Bun's client takes a reset for the end of a body, and so cannot tell; the native one can.
  testWithClient("in the middle of its answer is reset, and the source of that is cancelled", async () => {
    using errors = errorsTold();
    const cancelled = Promise.withResolvers<unknown>();
    next.answer = request => {
      server.timeout(request, SHORT);
      let pieces = 0;
      return new Response(new ReadableStream({
        pull: controller => (pieces++ === 0 ? controller.enqueue("begun") : never()),
        cancel: cancelled.resolve,
      }));
    };
    const { code, stderr } = await get(server.url.href);
    expect([code, stderr]).toEqual([1, expect.stringContaining("reset")]);
    expect(await within(cancelled.promise, "end of the source")).toBeInstanceOf(TimeoutError);
    expect(errors.told).toEqual([]);
  });

  testWithClient("since its client takes no more is reset too", async () => {
    const cancelled = Promise.withResolvers<unknown>();
    next.answer = request => {
      server.timeout(request, SHORT);
      return new Response(new ReadableStream({
        pull: controller => controller.enqueue(pattern(65_536)),
        cancel: cancelled.resolve,
      }));
    };
    // Its output is a pipe that nobody reads.
    const child = Bun.spawn(client("get", "--insecure", server.url.href), { stdout: "pipe", stderr: "ignore" });
    try {
      expect(await within(cancelled.promise, "end of the source")).toBeInstanceOf(TimeoutError);
    } finally {
      child.kill();
      await child.exited;
    }
  });

  test("is left alone with 0, and with a new time begins anew", async () => {
    const go = Promise.withResolvers<void>();
    next.answer = async request => {
      server.timeout(request, SHORT);
      server.timeout(request, 0);
      await go.promise;
      return "patient";
    };
    const patient = h3(server.url);
    await until(() => server.pendingRequests === 1, "first request");
    next.answer = request => {
      server.timeout(request, 1_000);
      server.timeout(request, 2 * SHORT);
      return never();
    };
    expect((await within(h3(server.url), "answer")).status).toBe(503);
    go.resolve();
    expect(await (await patient).text()).toBe("patient");
  });
});

test("an answer in time is sent as ever, also at once", async () => {
  for (const own of [() => "x", async () => new Response("x"), () => new Response((async function* () { yield "x"; })() as never)]) {
    next.answer = request => {
      server.timeout(request, 1_000);
      return own();
    };
    const response = await h3(server.url);
    expect([response.status, await response.text()]).toEqual([200, "x"]);
  }
});

testWithClient("an upload whose pieces come is no matter for it", async () => {
  const moved: number[] = [];
  const { moved: own } = Patience.prototype;
  Patience.prototype.moved = function () {
    moved.push(1);
    own.call(this);
  };
  try {
    next.answer = async request => {
      server.timeout(request, 1_000);
      await request.text();
      // The end of a body is a step as well.
      const read = moved.length;
      request.inform(103);
      return `${read >= 2} ${moved.length - read}`;
    };
    expect((await get("-d", "a body", server.url.href)).stdout).toBe("true 1");
  } finally {
    Patience.prototype.moved = own;
  }
});

describe("patience", () => {
  afterEach(() => void jest.useRealTimers());

  test("is lost after its time, and begins anew with each step", () => {
    jest.useFakeTimers();
    let lost = 0;
    const patience = new Patience(1_000, () => lost++);
    for (let steps = 0; steps < 5; steps++) {
      jest.advanceTimersByTime(900);
      patience.moved();
    }
    jest.advanceTimersByTime(999);
    expect(lost).toBe(0);
    jest.advanceTimersByTime(1);
    expect(lost).toBe(1);
    jest.advanceTimersByTime(10_000);
    expect(lost).toBe(1);
  });

  test("has one timer at a time, and none when it was stopped", () => {
    jest.useFakeTimers();
    let lost = 0;
    const patience = new Patience(1_000, () => lost++);
    jest.advanceTimersByTime(500);
    for (let steps = 0; steps < 100; steps++) patience.moved();
    expect(jest.getTimerCount()).toBe(1);
    jest.advanceTimersByTime(500);
    expect([lost, jest.getTimerCount()]).toEqual([0, 1]);
    patience.stop();
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe("mistakes", () => {
  test("times that are none are told", async () => {
    let told: unknown[] = [];
    next.answer = request => {
      told = [-1, NaN, Infinity, 2_147_484].map(seconds => {
        try {
          server.timeout(request, seconds);
        } catch (error) {
          return String(error);
        }
      });
      return "x";
    };
    await (await h3(server.url)).text();
    const sentence = (seconds: unknown) => `RangeError: lorraine: a timeout must be from 0 to 2147483 seconds, not ${seconds}`;
    expect(told).toEqual([sentence(-1), sentence(NaN), sentence(Infinity), sentence(2_147_484)]);
  });

  test("nothing happens to requests that are through, and to those of no connection", async () => {
    let request: H3Request;
    next.answer = asked => (request = asked).method;
    expect(await (await h3(server.url)).text()).toBe("GET");
    server.timeout(request!, SHORT);
    server.timeout(new Request("https://localhost/"), SHORT);
    expect(request!.signal.aborted).toBe(false);
  });

  testWithClient("requests for sessions have none", async () => {
    const said = Promise.withResolvers<unknown>();
    next.upgrade = async request => said.resolve(await failure((async () => server.timeout(request, 1))()));
    await talk(server.url, []);
    expect(String(await said.promise)).toContain("a request for a session has no timeout");
  });
});

/** Trailers of requests: when they are known, and what is said where they do not come. */
import { expect, test } from "bun:test";
import { BodyTooLargeError, ConnectionGoneError, type H3Request, StreamResetError } from "lorraine";
import { answering, get, h3, MIB, pattern, talk, testWithClient, until, within } from "./tools";

const { server, next } = answering({ maxRequestBodySize: 4 * MIB });

const pairs = (trailers: Headers | null): string[][] | null => (trailers === null ? null : [...trailers]);
const failure = (promise: Promise<unknown>) => promise.then(() => "it came", error => error);

/** What the handler found, asked with a body and these trailers. */
async function ask<T>(find: (request: H3Request) => Promise<T>, body: string, ...trailers: string[]): Promise<T> {
  const found = Promise.withResolvers<T>();
  next.answer = async request => {
    await find(request).then(found.resolve, found.reject);
    return "answered";
  };
  const [value] = await Promise.all([
    found.promise, get("-d", body, ...trailers.flatMap(field => ["--trailer", field]), server.url.href),
  ]);
  return value;
}

const FIELDS = ["x-sha256: 0a0b", "x-two: a", "x-two:b", "x-empty:"];
const EXPECTED = [["x-empty", ""], ["x-sha256", "0a0b"], ["x-two", "a, b"]];

testWithClient("are known once the body was read, asked for before or after that", async () => {
  const after = await ask(async request => [await request.text(), pairs(await request.trailers)], "a body", ...FIELDS);
  expect(after).toEqual(["a body", EXPECTED]);
  const before = await ask(async request => {
    const { trailers } = request;
    return [await request.text(), pairs(await trailers), request.trailers === trailers];
  }, "a body", ...FIELDS);
  expect(before).toEqual(["a body", EXPECTED, true]);
});

testWithClient("are the same whichever way the body is read", async () => {
  const ways: [string, (request: H3Request) => Promise<unknown>][] = [
    ["bytes", request => request.bytes()],
    ["body", async request => { for await (const _ of request.body!); }],
    ["clone", async request => {
      const copy = request.clone();
      await Promise.all([copy.text(), request.text()]);
    }],
    ["pipe", request => request.body!.pipeTo(new WritableStream())],
  ];
  for (const [name, read] of ways) {
    const found = await ask(async request => {
      await read(request);
      return pairs(await request.trailers);
    }, "x".repeat(100_000), ...FIELDS);
    expect([name, found]).toEqual([name, EXPECTED]);
  }
});

testWithClient("are refused where the body was cancelled, whether asked for before or after that", async () => {
  const found = await ask(async request => {
    const before = failure(request.trailers);
    await request.body!.cancel();
    return [await before, await failure(request.trailers)].map(String);
  }, "x".repeat(100_000), ...FIELDS);
  expect(found).toEqual(Array(2).fill("Error: lorraine: the body was cancelled"));
});

testWithClient("follow an empty body", async () => {
  expect(await ask(async request => [await request.text(), pairs(await request.trailers)], "", "x-a: 1")).toEqual(["", [["x-a", "1"]]]);
});

testWithClient("may be long", async () => {
  const long = "v".repeat(12_000);
  const found = await ask(async request => [await request.text(), pairs(await request.trailers)], "x", `x-long: ${long}`);
  expect(found).toEqual(["x", [["x-long", long]]]);
});

test("are null where there are none, and at once without a body", async () => {
  next.answer = async request => {
    await request.text();
    return Response.json(pairs(await request.trailers));
  };
  expect(await (await h3(server.url, { method: "POST", body: "x" })).json()).toBe(null);
  next.answer = async request => Response.json(pairs(await request.trailers));
  expect(await (await h3(server.url)).json()).toBe(null);
});

testWithClient("are there for an answer that is sent while the body comes", async () => {
  next.answer = request => new Response((async function* () {
    for await (const piece of request.body!) yield piece;
    yield `;${JSON.stringify(pairs(await request.trailers))}`;
  })() as never);
  const { stdout } = await get("-d", "there and back", "--trailer", "x-a: 1", server.url.href);
  expect(stdout).toBe('there and back;[["x-a","1"]]');
});

test("are refused when the client resets its request, read or not", async () => {
  for (const reads of [true, false]) {
    const failed = Promise.withResolvers<unknown>();
    const begun = Promise.withResolvers<void>();
    next.answer = async request => {
      const trailers = failure(request.trailers);
      const reader = request.body!.getReader();
      await reader.read();
      begun.resolve();
      const body = reads ? failure(reader.read()) : null;
      const errors = await Promise.all([trailers, body ?? trailers]);
      failed.resolve(errors);
      throw errors[0];
    };
    const own = new AbortController();
    const rest = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      start: controller => controller.enqueue(pattern(1_000)),
      pull: () => rest.promise,
    });
    const asked = h3(server.url, { method: "POST", body, duplex: "half", signal: own.signal }).catch(() => {});
    await within(begun.promise, "body");
    own.abort();
    const errors = await within(failed.promise, "refusal") as Error[];
    for (const error of errors) expect(error instanceof StreamResetError || error instanceof ConnectionGoneError).toBe(true);
    rest.resolve();
    await asked;
    await until(() => server.pendingRequests === 0, "end of the request");
  }
});

test("are refused with an answer before the end of the body, and nobody need hear of it", async () => {
  const refused = Promise.withResolvers<unknown>();
  next.answer = request => {
    void request.trailers;
    refused.resolve(failure(request.trailers));
    return "answered";
  };
  expect(await (await h3(server.url, { method: "POST", body: "x" })).text()).toBe("answered");
  expect(await refused.promise).toBeInstanceOf(ConnectionGoneError);
  let request: H3Request;
  next.answer = async asked => {
    request = asked;
    return asked.text();
  };
  expect(await (await h3(server.url, { method: "POST", body: "x" })).text()).toBe("x");
  expect(await failure(request!.trailers)).toBeInstanceOf(ConnectionGoneError);
});

test("are refused with a body that is too long, whether asked for before or after that", async () => {
  for (const asks of ["before", "after"]) {
    const refused = Promise.withResolvers<unknown>();
    next.answer = async request => {
      if (asks === "before") refused.resolve(failure(request.trailers));
      return request.text().catch(error => {
        refused.resolve(failure(request.trailers));
        throw error;
      });
    };
    const response = await h3(server.url, { method: "POST", body: pattern(5 * MIB) });
    expect(response.status).toBe(413);
    expect(await within(refused.promise, asks)).toBeInstanceOf(BodyTooLargeError);
  }
});

testWithClient("requests for sessions have none", async () => {
  const found = Promise.withResolvers<Headers | null>();
  next.upgrade = request => found.resolve(request.trailers);
  await talk(server.url, []);
  expect(await found.promise).toBe(null);
});

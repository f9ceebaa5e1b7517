/** Interim responses (1xx): what of them arrives, and what is said of those that cannot be sent. */
import { expect, test } from "bun:test";
import { ConnectionGoneError, type H3Request } from "lorraine";
import { answering, get, h3, talk, testWithClient, until } from "./tools";

const { server, next } = answering();

/** What a call threw. */
function thrown(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error("it threw nothing");
}

/** The heads that a client got, each as lines without those that every answer has. */
async function heads(...args: string[]): Promise<string[][]> {
  const { stdout } = await get("-i", ...args, server.url.href);
  const blocks = stdout.split("\n\n").filter(block => block.startsWith("HTTP/3 "));
  return blocks.map(block => block.split("\n").filter(line => !/^(date|content-(length|type)):/.test(line)));
}

const LINK = "</style.css>; rel=preload; as=style";

testWithClient("early hints arrive before the answer, in their order", async () => {
  next.answer = async request => {
    request.inform(102);
    request.inform(103, { link: LINK });
    await Bun.sleep(0);
    request.inform(103, [["link", LINK], ["link", "</two.js>; rel=preload"], ["x-name", "grüß dich"]]);
    return new Response("hinted", { headers: { link: LINK } });
  };
  expect(await heads()).toEqual([
    ["HTTP/3 102"],
    ["HTTP/3 103", `link: ${LINK}`],
    ["HTTP/3 103", `link: ${LINK}, </two.js>; rel=preload`, "x-name: gr\\xfc\\xdf dich"],
    ["HTTP/3 200", `link: ${LINK}`],
  ]);
});

testWithClient("they go before an answer of the same turn, and of requests with a body too", async () => {
  next.answer = request => {
    request.inform(103, new Headers({ link: LINK }));
    return "hinted";
  };
  const both = [["HTTP/3 103", `link: ${LINK}`], ["HTTP/3 200"]];
  expect(await heads()).toEqual(both);
  expect(await heads("-d", "a body that nobody reads")).toEqual(both);
  next.answer = async request => {
    const text = await request.text();
    request.inform(103, { link: LINK });
    return text;
  };
  expect(await heads("-d", "a body that is read")).toEqual(both);
});

test("a client that knows nothing of them gets the answer", async () => {
  next.answer = request => {
    request.inform(103, { link: LINK });
    return "hinted";
  };
  const response = await h3(server.url);
  expect([response.status, response.headers.get("link"), await response.text()]).toEqual([200, null, "hinted"]);
});

test("what is none is told, and the answer goes out all the same", async () => {
  const errors: Error[] = [];
  next.answer = request => {
    for (const status of [99, 101, 200, 404, 103.5, NaN, -1]) errors.push(thrown(() => request.inform(status)));
    errors.push(thrown(() => request.inform(103, { "content-length": "5" })));
    return "answered";
  };
  expect(await (await h3(server.url)).text()).toBe("answered");
  const last = errors.pop()!;
  expect(errors.map(error => error.name)).toEqual(Array(7).fill("RangeError"));
  expect(errors[1]!.message).toBe("lorraine: an interim response has a status from 100 to 199 but 101, not 101");
  expect(last.message).toStartWith("lorraine: an interim response cannot be sent: ");
  expect(last.message).toContain("content-length");
});

test("after the answer it is too late", async () => {
  let request: H3Request;
  next.answer = asked => {
    request = asked;
    return "early";
  };
  await (await h3(server.url)).text();
  expect(() => request.inform(103, { link: LINK })).toThrow("the request was answered");
  const go = Promise.withResolvers<void>();
  next.answer = asked => {
    request = asked;
    return new Response((async function* () {
      yield "begun";
      await go.promise;
    })() as never);
  };
  const response = await h3(server.url);
  expect(() => request.inform(103)).toThrow("the request was answered");
  go.resolve();
  expect(await response.text()).toBe("begun");
});

test("nobody is there for it when the client is gone", async () => {
  const begun = Promise.withResolvers<H3Request>();
  next.answer = request => {
    begun.resolve(request);
    return new Promise<Response>(() => {});
  };
  const own = new AbortController();
  const asked = h3(server.url, { signal: own.signal }).catch(() => {});
  const request = await begun.promise;
  own.abort();
  await asked;
  await until(() => server.pendingRequests === 0, "end of the request");
  expect(() => request.inform(103)).toThrow(ConnectionGoneError);
});

testWithClient("requests for sessions have none", async () => {
  const said = Promise.withResolvers<string>();
  next.upgrade = request => said.resolve(thrown(() => request.inform(103)).message);
  await talk(server.url, []);
  expect(await said.promise).toBe("lorraine: a request for a session has no interim responses");
});

// The cases of the suites `chromium-webtransport` and `firefox-webtransport`; they run in the page.
// A case gets a Visit, returns a remark or nothing, and throws what came instead of what it wanted.

import { Skip, Visit, accept, concat, describe, equal, pattern } from "./wt-tools.js";
import { readAll, rejection, sha256, within, writeAll } from "./wt-tools.js";

const text = (string) => new TextEncoder().encode(string);
const range = (count) => Array.from({ length: count }, (_, index) => index);
const SMALL_CODE = 42;
const LARGE_CODE = 0x12345678;

export const cases = {
  async ready(visit) {
    const session = await visit.open("/wt/echo");
    const { maxDatagramSize } = session.datagrams;
    if (!(maxDatagramSize >= 1_000)) throw new Error(`maxDatagramSize is ${maxDatagramSize}`);
    return `maxDatagramSize ${maxDatagramSize}`;
  },

  async datagrams_200_of_200_arrive(visit) {
    const session = await visit.open("/wt/echo");
    await exchangeDatagrams(session, range(200).map((index) => pattern(64, index)));
  },

  async datagrams_of_every_size_arrive(visit) {
    const session = await visit.open("/wt/echo");
    const sizes = [visit.expect.readsEmptyDatagrams ? 0 : 3, 1, 2, 100, 1_000, session.datagrams.maxDatagramSize];
    await exchangeDatagrams(session, sizes.map((size, index) => pattern(size, index)));
    return `${sizes.join(", ")} bytes`;
  },

  async bidi_echo_of_1_mib_has_its_hash(visit) {
    const session = await visit.open("/wt/echo");
    const sent = pattern(1 << 20);
    const stream = await within(session.createBidirectionalStream(), "stream");
    const bothWays = Promise.all([writeAll(stream.writable, sent), readAll(stream.readable)]);
    const [, received] = await within(bothWays, "echo");
    equal([received.length, await sha256(received)], [sent.length, await sha256(sent)], "echo");
  },

  async uni_comes_back_on_a_new_uni(visit) {
    const session = await visit.open("/wt/echo");
    const sent = pattern(100_000);
    await within(writeAll(await session.createUnidirectionalStream(), sent), "sending");
    const [stream] = await accept(session.incomingUnidirectionalStreams, 1, "uni stream");
    const received = await within(readAll(stream), "echo");
    equal(await sha256(received), await sha256(sent), `hash of ${received.length} bytes`);
  },

  async empty_streams_come_back(visit) {
    const session = await visit.open("/wt/echo");
    const bidi = await session.createBidirectionalStream();
    await within(bidi.writable.close(), "end of a bidi stream");
    equal((await within(readAll(bidi.readable), "empty bidi stream")).length, 0, "bytes");
    if (!visit.expect.readsEmptyUniStreams) return "bidi only: the browser takes no empty uni stream";
    await within((await session.createUnidirectionalStream()).close(), "end of a uni stream");
    const [uni] = await accept(session.incomingUnidirectionalStreams, 1, "uni stream");
    equal((await within(readAll(uni), "empty uni stream")).length, 0, "bytes");
  },

  async sixteen_streams_at_once_each_way(visit) {
    const session = await visit.open("/wt/echo");
    const bodies = range(16).map((index) => pattern(20_000 + index, index));
    const echoes = within(Promise.all(bodies.map((body) => echo(session, body))), "16 bidi streams");
    const send = async (body) => writeAll(await session.createUnidirectionalStream(), body);
    const sent = within(Promise.all(bodies.map(send)), "16 uni streams");
    const back = await accept(session.incomingUnidirectionalStreams, 16, "uni stream");
    const received = await within(Promise.all(back.map(readAll)), "16 uni streams back");
    await sent;
    const hashes = await Promise.all(bodies.map(sha256));
    equal(await Promise.all((await echoes).map(sha256)), hashes, "bidi streams");
    // They come back in any order.
    equal((await Promise.all(received.map(sha256))).sort(), hashes.sort(), "uni streams");
  },

  async streams_of_the_server(visit) {
    const session = await visit.open("/wt/streams?n=8&bytes=3000");
    const expected = Uint8Array.from(range(3_000), (index) => index % 251);
    const unis = await accept(session.incomingUnidirectionalStreams, 8, "uni stream");
    const bidis = await accept(session.incomingBidirectionalStreams, 8, "bidi stream");
    const bodies = await within(Promise.all([...unis, ...bidis.map((bidi) => bidi.readable)].map(readAll)), "contents");
    for (const [index, body] of bodies.entries()) equal(await sha256(body), await sha256(expected), `stream ${index}`);
    const answers = bidis.map((bidi, index) => writeAll(bidi.writable, pattern(5_000, index)));
    await within(Promise.all(answers), "answers on the bidi streams");
  },

  async reset_by_the_server(visit) {
    for (const code of [SMALL_CODE, LARGE_CODE]) {
      const session = await visit.open(`/wt/reset?code=${code}`);
      const [stream] = await accept(session.incomingUnidirectionalStreams, 1, "uni stream");
      const error = await rejection(readAll(stream), "reading a stream that is reset");
      expectReset(visit, error, code);
      session.close();
    }
  },

  async reset_by_the_client(visit) {
    const session = await visit.open("/wt/echo");
    const { writer, reader } = await started(session);
    await within(writer.abort(streamError(SMALL_CODE)), "reset");
    // The server resets its half with the code that it saw.
    expectReset(visit, await rejection(reader.read(), "the other half"), SMALL_CODE);
    await expectAlive(session);
  },

  async stop_by_the_server(visit) {
    for (const code of [SMALL_CODE, LARGE_CODE]) {
      const session = await visit.open(`/wt/reset?code=${code}`);
      const stream = await session.createBidirectionalStream();
      const writer = stream.writable.getWriter();
      writer.write(text("to be stopped")).catch(() => {});
      const error = await rejection(writer.closed, "writing to a stream that is stopped");
      equal([error.name, error.streamErrorCode], ["WebTransportError", visit.expect.codeSeen(code)], "stop");
      session.close();
    }
  },

  async stop_by_the_client(visit) {
    const session = await visit.open("/wt/echo");
    const { writer, reader } = await started(session);
    await within(reader.cancel(streamError(SMALL_CODE)), "stop");
    if (!visit.expect.sendsStop) {
      await within(writer.close(), "end of the other half");
      await expectAlive(session);
      return "the browser sends no STOP_SENDING; the session goes on";
    }
    // The server stops the other half with the code that it saw.
    const error = await rejection(writer.closed, "the other half");
    equal([error.name, error.streamErrorCode], ["WebTransportError", SMALL_CODE], "stop");
    await expectAlive(session);
  },

  async close_by_the_server(visit) {
    const ends = [
      [0, ""],
      [7, "bye"],
      [0xffffffff, "Grüße \u{1f44b}"],
      [1, "x".repeat(1_024)],
    ];
    for (const [closeCode, reason] of ends) {
      const session = visit.begin(`/wt/close?code=${closeCode}&reason=${encodeURIComponent(reason)}`);
      await within(session.ready, "session");
      equal(order(await within(session.closed, "end")), { closeCode, reason }, "end");
    }
  },

  // What the server saw of it, its log tells: see `server_saw_the_close`.
  async close_by_the_client(visit) {
    const session = await visit.open("/wt/echo");
    await expectAlive(session);
    const stream = await session.createBidirectionalStream();
    const end = { closeCode: 7_777, reason: "enough of it" };
    session.close(end);
    equal(order(await within(session.closed, "end")), end, "end");
    await rejection(stream.readable.getReader().read(), "a stream of the session");
  },

  async refused_origin(visit) {
    await expectAlive(await visit.open("/wt/echo"));
    await expectRefused(visit.begin("/wt/private"));
  },

  // The same from a page of the origin that the route lets in.
  async allowed_origin(visit) {
    equal(location.origin, "https://allowed.example", "origin of the page");
    await expectAlive(await visit.open("/wt/private"));
  },

  async wrong_path(visit) {
    await expectAlive(await visit.open("/wt/echo"));
    await expectRefused(visit.begin("/wt/there-is-no-such-route"));
  },

  async drain(visit) {
    const session = await visit.open("/wt/drain");
    await expectAlive(session);
    await exchangeDatagrams(session, [pattern(10)]);
  },

  async draining_is_told(visit) {
    if (!("draining" in WebTransport.prototype)) throw new Skip("the browser has no `draining`");
    const session = await visit.open("/wt/drain");
    await within(session.draining, "draining");
    await expectAlive(session);
    const other = await visit.open("/wt/echo");
    const early = other.draining.then(() => "told");
    await expectAlive(other);
    equal(await Promise.race([early, "not told"]), "not told", "draining of a session that is not drained");
  },

  async two_sessions_keep_theirs_apart(visit) {
    const sessions = await Promise.all([visit.open("/wt/echo"), visit.open("/wt/echo")]);
    const both = sessions.map(async (session, seed) => {
      // Before the streams: browsers drop datagrams that wait behind a full congestion window.
      await exchangeDatagrams(session, range(20).map((index) => pattern(40, 1_000 * (seed + 1) + index)));
      const body = pattern(50_000, seed + 1);
      equal(await sha256(await within(echo(session, body), "echo")), await sha256(body), `echo of session ${seed}`);
    });
    await Promise.all(both);
    sessions[0].close();
    await within(sessions[0].closed, "end of the first");
    await expectAlive(sessions[1]);
  },

  async certificate_by_hash(visit) {
    await expectAlive(await visit.open("/wt/echo"));
    // Without its hash nobody vouches for the certificate.
    await expectRefused(visit.begin("/wt/echo", { serverCertificateHashes: [] }));
  },

  async wrong_hash(visit) {
    await expectAlive(await visit.open("/wt/echo"));
    const wrong = new Visit({ ...visit, hash: visit.wrongHash });
    await expectRefused(wrong.begin("/wt/echo"));
  },

  async subprotocol(visit) {
    if (!visit.expect.subprotocols) throw new Skip("the browser does not offer subprotocols");
    const offers = [
      [["unheard-of", "echo-v1", "echo-v2"], "echo-v1"],
      [["echo-v2"], "echo-v2"],
      [["unheard-of"], ""],
    ];
    for (const [protocols, chosen] of offers) {
      const session = await visit.open("/wt/echo", { protocols });
      equal(session.protocol, chosen, `of ${protocols}`);
      session.close();
    }
    equal((await visit.open("/wt/echo")).protocol, "", "without an offer");
  },
};

/** Runs one case; the answer is plain data. */
export async function run(name, environment) {
  const visit = new Visit(environment);
  const began = performance.now();
  const finish = (verdict, detail) => ({ verdict, detail, seconds: (performance.now() - began) / 1_000 });
  try {
    return finish("ok", await cases[name](visit));
  } catch (error) {
    return error instanceof Skip ? finish("skip", error.message) : finish("fail", describe(error));
  } finally {
    visit.close();
  }
}

// Sends datagrams and waits until each has come back once. Only a few are under way at a time: browsers and servers
// drop what queues up, as they may.
async function exchangeDatagrams(session, datagrams, atOnce = 8) {
  const waiting = [...datagrams];
  const underWay = new Set();
  const reader = session.datagrams.readable.getReader();
  const writer = writableOf(session.datagrams).getWriter();
  const exchange = async () => {
    while (waiting.length + underWay.size > 0) {
      if (waiting.length > 0 && underWay.size < atOnce) {
        const datagram = waiting.shift();
        underWay.add(datagram.join());
        await writer.write(datagram);
        continue;
      }
      const { value, done } = await reader.read();
      if (done) throw new Error("the session ended");
      if (!underWay.delete(value.join())) throw new Error(`${value.length} bytes came that were not sent, or twice`);
    }
  };
  try {
    await within(exchange(), "datagrams");
  } catch (error) {
    const back = datagrams.length - waiting.length - underWay.size;
    throw new Error(`${back} of ${datagrams.length} came back, ${underWay.size} are under way: ${describe(error)}`);
  } finally {
    reader.releaseLock();
    writer.releaseLock();
  }
}

// Newer drafts of the API have createWritable() instead.
function writableOf(datagrams) {
  return datagrams.writable ?? datagrams.createWritable();
}

async function echo(session, body) {
  const stream = await session.createBidirectionalStream();
  const [, received] = await Promise.all([writeAll(stream.writable, body), readAll(stream.readable)]);
  return received;
}

async function expectAlive(session) {
  const body = text("still here");
  equal(await within(echo(session, body), "the session afterwards"), body, "echo");
}

// A bidirectional stream on which the echo has been seen, and which stays open.
async function started(session) {
  const stream = await within(session.createBidirectionalStream(), "stream");
  const [writer, reader] = [stream.writable.getWriter(), stream.readable.getReader()];
  writer.closed.catch(() => {});
  const body = text("abc");
  await within(writer.write(body), "sending");
  const chunks = [];
  while (concat(chunks).length < body.length) chunks.push((await within(reader.read(), "echo")).value);
  equal(concat(chunks), body, "echo");
  return { writer, reader };
}

function streamError(streamErrorCode) {
  return new WebTransportError({ message: "by a case", streamErrorCode });
}

function expectReset(visit, error, code) {
  if (error.name === "TypeError" && visit.expect.resetMayLackCode) return;
  const seen = [error.name, error.source, error.streamErrorCode];
  equal(seen, ["WebTransportError", "stream", visit.expect.codeSeen(code)], "reset");
}

async function expectRefused(session) {
  const error = await rejection(session.ready, "ready");
  equal(error.name, "WebTransportError", describe(error));
  await rejection(session.closed, "closed");
}

function order({ closeCode, reason }) {
  return { closeCode, reason };
}

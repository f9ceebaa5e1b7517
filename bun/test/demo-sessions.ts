/** The sessions of the demo, in TypeScript: what the cases of the browsers ask for. */
import { serve, type Server, type WebTransportSession } from "lorraine";

/** Browsers never show a stream to the page that was reset before they got round to it. */
const RESET_DELAY_MS = 100;

const number = (session: WebTransportSession, name: string, otherwise: number) =>
  Number(new URL(session.url).searchParams.get(name) ?? otherwise);

/** Every stream and datagram comes back. */
function echo(session: WebTransportSession): void {
  const ignore = () => {};
  void (async () => {
    for await (const { readable, writable } of session.incomingBidirectionalStreams) readable.pipeTo(writable).catch(ignore);
  })().catch(ignore);
  void (async () => {
    for await (const stream of session.incomingUnidirectionalStreams) {
      session.createUnidirectionalStream().then(back => stream.pipeTo(back)).catch(ignore);
    }
  })().catch(ignore);
  void (async () => {
    for await (const datagram of session.datagrams.readable) session.sendDatagram(datagram);
  })().catch(ignore);
}

async function openStreams(session: WebTransportSession): Promise<void> {
  const bytes = Uint8Array.from({ length: number(session, "bytes", 1024) }, (_, n) => n % 251);
  const each = Array.from({ length: number(session, "n", 16) }, async () => {
    const uni = await session.createUnidirectionalStream();
    const bidi = await session.createBidirectionalStream();
    await Promise.all([uni.end(bytes), bidi.writable.end(bytes), new Response(bidi.readable).bytes()]);
  });
  await Promise.all(each);
}

async function reset(session: WebTransportSession): Promise<void> {
  const code = number(session, "code", 0);
  const incoming = session.incomingBidirectionalStreams.getReader();
  const stream = await session.createUnidirectionalStream();
  await stream.write("reset");
  await Bun.sleep(RESET_DELAY_MS);
  stream.reset(code);
  const { value } = await incoming.read();
  // Chromium does not tell the code of a stop that comes while it still writes.
  await Bun.sleep(RESET_DELAY_MS);
  value?.readable.stopSending(code);
  await session.closed;
}

const sessions: Record<string, (session: WebTransportSession) => void | Promise<void>> = {
  "/wt/echo": echo,
  "/wt/private": echo,
  "/wt/drain": session => {
    session.drain();
    echo(session);
  },
  "/wt/close": session => {
    session.close({ closeCode: number(session, "code", 0), reason: new URL(session.url).searchParams.get("reason") ?? "" });
  },
  "/wt/streams": openStreams,
  "/wt/reset": reset,
};

export interface End {
  closeCode: number;
  reason: string;
}

export function demoSessions(ends: End[] = []): Server {
  return serve({
    port: 0,
    hostname: "127.0.0.1",
    // Chromium does not always say that a page is gone.
    idleTimeout: 5,
    webtransport: {
      origins: ["*"],
      protocols: ["echo-v2", "echo-v1"],
      datagramHighWaterMark: 1_000,
      upgrade(request) {
        const { pathname } = new URL(request.url);
        if (!(pathname in sessions)) return new Response(null, { status: 404 });
        const origin = request.headers.get("origin");
        if (pathname === "/wt/private" && origin !== null && origin !== "https://allowed.example") {
          return new Response(null, { status: 403 });
        }
      },
      open: session => sessions[new URL(session.url).pathname]!(session),
      close: (_, closeCode, reason) => void ends.push({ closeCode, reason }),
    },
  });
}

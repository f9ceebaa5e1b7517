/** What the types let through and what they do not: read by the compiler only. */
import { type Handler, type H3Request, type Params, serve, type ServeOptions, type WebTransportSession } from "lorraine";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(value?: T) => value;

yes<Same<Params<"/users/:id">["id"], string>>();
yes<Same<keyof Params<"/a/:one/b/:two">, "one" | "two">>();
yes<Same<keyof Params<"/files/*">, "*">>();
yes<Same<keyof Params<"/:who/files/*">, "who" | "*">>();
yes<Same<keyof Params<"/">, never>>();

export function neverCalled(): void {
  serve({
    routes: {
      "/users/:id": request => new Response(request.params.id),
      "/teams/:team/:member": request => `${request.params.team} ${request.params.member}`,
      "/files/*": request => request.params["*"],
      "/fixed": new Response("x"),
      "/bytes": () => new Uint8Array(1),
      "/late": async () => new Response(),
      "/by/:method": { GET: request => request.params.method, POST: new Response(), PUT: async () => "x" },
    },
  });
  serve({
    routes: {
      // @ts-expect-error the parameter has another name
      "/users/:id": request => new Response(request.params.name),
      // @ts-expect-error there is no parameter
      "/plain": request => new Response(request.params.id),
      // @ts-expect-error the parameter has another name, by method
      "/by/:method": { GET: request => request.params.other },
    },
  });
  // @ts-expect-error a number is no answer
  serve({ routes: { "/": () => 5 } });
  // @ts-expect-error there is no such method
  serve({ routes: { "/": { GETT: () => "x" } } });
  // @ts-expect-error there is no such option
  serve({ prot: 443 });
  // @ts-expect-error there is no such doorbell
  serve({ doorbell: "bell" });
  // @ts-expect-error a certificate needs its key
  serve({ tls: { cert: "x" } });

  const server = serve<{ user: string }>({
    webtransport: {
      upgrade: () => ({ data: { user: "x" } }),
      open(session) {
        yes<Same<typeof session.data, { user: string }>>();
        // @ts-expect-error there is no such field
        session.data.name;
      },
      datagram: (session, data) => void session.sendDatagram(data),
      async bidi(_, stream) {
        const taken: number | Promise<void> = stream.writable.write("x");
        await taken;
        await stream.readable.pipeTo(stream.writable);
      },
    },
  });
  // @ts-expect-error the port is not to be set
  server.port = 5;
  const session = undefined as unknown as WebTransportSession<{ user: string }>;
  void server.requestIP(session)?.address;
  const options: ServeOptions = { fetch: (request: H3Request) => request.method };
  const handler: Handler<undefined, "/:a"> = request => request.params.a;
  void [options, handler];
}

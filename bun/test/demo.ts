/** The routes of the demo, in TypeScript; most tests ask these. */
import { type H3Request, serve, type Server } from "lorraine";

const PIECE = 64 * 1024;
const COUNTED = Uint8Array.from({ length: PIECE + 251 }, (_, n) => n % 251);

/** So many bytes, each of which tells its place. */
export function countedBytes(length: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= length) return controller.close();
      const piece = counted(at, length);
      at += piece.length;
      controller.enqueue(piece);
    },
  }, { highWaterMark: 0 });
}

function counted(at: number, length: number): Uint8Array<ArrayBuffer> {
  const from = at % 251;
  return COUNTED.slice(from, from + Math.min(PIECE, length - at));
}

export function countedHash(length: number): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (let at = 0; at < length; at += PIECE) hasher.update(counted(at, length));
  return hasher.digest("hex");
}

async function upload(request: H3Request): Promise<Response> {
  const hasher = new Bun.CryptoHasher("sha256");
  let length = 0;
  for await (const piece of request.body ?? []) {
    hasher.update(piece);
    length += piece.length;
  }
  return Response.json({ length, sha256: hasher.digest("hex") });
}

async function form(request: H3Request): Promise<Response> {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of await request.formData()) {
    fields[name] = typeof value === "string" ? value : { name: value.name, type: value.type, text: await value.text() };
  }
  return Response.json(fields);
}

const cookies = () => {
  const headers = new Headers();
  headers.append("set-cookie", "a=1; Path=/; HttpOnly");
  headers.append("set-cookie", "b=2; Secure");
  headers.append("set-cookie", "c=3");
  return new Response("three cookies", { headers });
};

export function demo(): Server {
  return serve({
    port: 0,
    hostname: "127.0.0.1",
    routes: {
      "/": new Response("a page that is always the same\n", { headers: { "x-kind": "static" } }),
      "/static/empty": new Response(null, { status: 204 }),
      "/static/json": Response.json({ fixed: true }),
      "/echo": { POST: request => new Response(request.body, { headers: copyType(request) }) },
      "/upload": { POST: upload, PUT: upload },
      "/download/:bytes": request => new Response(countedBytes(Number(request.params.bytes))),
      "/users/:id": request => Response.json({ id: request.params.id }),
      "/users/me": request => new Response(`me, by ${request.method}`),
      "/teams/:team/members/:member": request => Response.json(request.params),
      "/files/*": request => new Response(request.params["*"]),
      "/item": {
        GET: () => new Response("got"),
        PUT: async request => new Response(`put ${await request.text()}`),
        DELETE: new Response(null, { status: 204 }),
        PATCH: () => "patched",
      },
      "/head": { GET: () => "by GET", HEAD: () => new Response(null, { headers: { "x-by": "HEAD" } }) },
      "/query": request => Response.json([...new URL(request.url).searchParams]),
      "/headers": request => Response.json(Object.fromEntries(request.headers)),
      "/json": { POST: async request => Response.json({ got: await request.json() }) },
      "/form": { POST: form },
      "/cookies": cookies,
      "/big-headers": request => new Response(null, {
        headers: { "x-big": "v".repeat(Number(new URL(request.url).searchParams.get("n"))) },
      }),
      "/latin1": () => new Response(null, { headers: { "x-text": "caf\u00e9" } }),
      "/redirect": () => Response.redirect("/item", 302),
      "/moved": new Response(null, { status: 308, headers: { location: "/item" } }),
      "/status/:code": request => new Response(null, { status: Number(request.params.code) }),
      "/text": () => "just a string: gr\u00fc\u00df dich",
      "/bytes": () => new Uint8Array([1, 2, 3]),
      "/nothing": (() => undefined) as never,
      "/wrong": (() => 42) as never,
      "/throws": () => {
        throw new Error("on purpose");
      },
      "/rejects": async () => {
        await Promise.resolve();
        throw new Error("on purpose, later");
      },
      "/late": async () => {
        await Bun.sleep(1);
        return new Response("late");
      },
      "/peer": (request, server) => Response.json(server.requestIP(request)),
    },
    fetch: request => new Response(`nothing at ${new URL(request.url).pathname}`, { status: 404 }),
  });
}

function copyType(request: H3Request): Record<string, string> {
  const type = request.headers.get("content-type");
  return type === null ? {} : { "content-type": type };
}

// Lorraine's package, with what the measurement asks for. Arguments: certificate, key.
import { Response as Remembering, serve } from "../../bun/src/index.ts";

const [cert, key] = process.argv.slice(2).map(path => Bun.file(path));
const server = serve({
  port: 0,
  tls: { cert: cert!, key: key! },
  routes: {
    "/static": new Response("Hello, World!"),
    "/dynamic/:id": request => new Response(`user ${request.params.id}`),
    "/async/:id": async request => new Response(`user ${request.params.id}`),
    "/own/:id": request => new Remembering(`user ${request.params.id}`),
    "/text/:id": request => `user ${request.params.id}`,
  },
  webtransport: {
    origins: ["*"],
    bidi: (_session, stream) => stream.readable.pipeTo(stream.writable),
    datagram: (session, data) => void session.sendDatagram(data),
  },
});
console.log(`https://127.0.0.1:${server.port}`);

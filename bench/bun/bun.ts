// Bun's own HTTP/3 with the routes that the measurement asks for.
import { readFileSync } from "node:fs";

const [cert, key] = process.argv.slice(2).map(path => readFileSync(path!, "utf8"));
const server = Bun.serve({
  port: 0,
  tls: { cert, key },
  http3: true,
  routes: {
    "/static": new Response("Hello, World!"),
    "/dynamic/:id": request => new Response(`user ${request.params.id}`),
    "/text/:id": request => new Response(`user ${request.params.id}`),
    "/async/:id": async request => new Response(`user ${request.params.id}`),
  },
} as never);
console.log(server.port);

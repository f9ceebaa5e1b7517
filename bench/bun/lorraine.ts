// Lorraine's package with the routes that the measurement asks for.
import { Response as Remembering, serve } from "../../bun/src/index.ts";

const server = serve({
  port: 0,
  routes: {
    "/static": new Response("Hello, World!"),
    "/dynamic/:id": request => new Response(`user ${request.params.id}`),
    "/own/:id": request => new Remembering(`user ${request.params.id}`),
    "/text/:id": request => `user ${request.params.id}`,
    "/async/:id": async request => new Response(`user ${request.params.id}`),
  },
});
console.log(server.port);

// Routes in the shapes of Bun.serve: bun run examples/routes.ts
import { serve } from "lorraine";

const users = new Map([["1", { id: "1", name: "Ada" }]]);

const server = serve({
  port: Number(process.env.PORT ?? 4433),
  routes: {
    // Answered by the native side, without JavaScript.
    "/health": new Response("ok\n"),
    "/users/:id": {
      GET: request => {
        const user = users.get(request.params.id);
        return user ? Response.json(user) : Response.json({ error: "no such user" }, { status: 404 });
      },
      PUT: async request => {
        users.set(request.params.id, { id: request.params.id, ...(await request.json() as { name: string }) });
        return new Response(null, { status: 204 });
      },
      DELETE: request => new Response(null, { status: users.delete(request.params.id) ? 204 : 404 }),
    },
    "/files/*": request => new Response(`you asked for ${request.params["*"]}\n`),
    // A string is the body of a 200, at half the price of a Response.
    "/ip": (request, server) => `${server.requestIP(request)?.address}\n`,
  },
  fetch: request => new Response(`nothing at ${new URL(request.url).pathname}\n`, { status: 404 }),
  error: error => new Response(`that went wrong: ${error.message}\n`, { status: 500 }),
});
console.log(server.url.href);

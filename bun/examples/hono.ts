// A Hono application, unchanged, over HTTP/3: bun run examples/hono.ts
import { Hono } from "hono";
import { serve } from "lorraine";

const app = new Hono();
app.get("/", context => context.text("Hello from Hono, over HTTP/3!\n"));
app.get("/users/:id", context => context.json({ id: context.req.param("id") }));
app.post("/echo", async context => context.body(await context.req.text()));

const server = serve({ port: Number(process.env.PORT ?? 4433), fetch: request => app.fetch(request) });
console.log(server.url.href);

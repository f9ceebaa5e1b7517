// The shortest server: bun run examples/hello.ts
import { serve } from "lorraine";

const server = serve({
  port: Number(process.env.PORT ?? 4433),
  routes: {
    "/": new Response("Hello, HTTP/3!\n"),
    "/hello/:name": request => new Response(`hello, ${request.params.name}\n`),
  },
});
console.log(server.url.href);

// Bun's own HTTP/3, with what the measurement asks for. Arguments: certificate, key.
const [cert, key] = process.argv.slice(2).map(path => Bun.file(path));
const server = Bun.serve({
  port: 0,
  tls: { cert, key },
  http3: true,
  routes: {
    "/static": new Response("Hello, World!"),
    "/dynamic/:id": request => new Response(`user ${request.params.id}`),
    "/async/:id": async request => new Response(`user ${request.params.id}`),
  },
} as never);
console.log(`https://127.0.0.1:${server.port}`);

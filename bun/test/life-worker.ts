/** A worker with a server of its own. */
import { serve } from "lorraine";

declare const self: Worker;

const server = serve({
  port: 0,
  hostname: "127.0.0.1",
  routes: {
    "/": () => "from a worker",
    "/forever": () => new Promise<Response>(() => {}),
  },
});
self.onmessage = () => process.exit(0);
self.postMessage(server.url.href);

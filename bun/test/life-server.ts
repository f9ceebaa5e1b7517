/** A program with a server, for the tests of how programs end. Its first argument says what it does. */
import { serve } from "lorraine";

const forever = () => new Promise<Response>(() => {});
const start = () => serve({
  port: 0,
  hostname: "127.0.0.1",
  routes: { "/": () => "hello", "/forever": forever },
  webtransport: { datagram: (session, data) => void session.sendDatagram(data) },
});

/** Asks without end, so that something is always under way. */
function load(url: string): void {
  const ask = async () => {
    for (;;) await fetch(url, { protocol: "http3", tls: { rejectUnauthorized: false } } as never).then(r => r.text(), () => {});
  };
  for (let n = 0; n < 8; n++) void ask();
}
const ask = (url: string) => fetch(url, { protocol: "http3", tls: { rejectUnauthorized: false } } as never);

const lives: Record<string, () => unknown> = {
  /** Ends by `process.exit` in the middle of requests. */
  async exit() {
    const server = start();
    load(server.url.href);
    void ask(`${server.url.href}forever`).catch(() => {});
    while (server.metrics().requests.total < 100) await Bun.sleep(5);
    process.exit(7);
  },
  /** Ends by itself, since nobody holds it. */
  unref() {
    const server = start();
    server.unref();
    setTimeout(() => console.log("the last timer"), 50);
  },
  /** Stays, since it is held; the parent ends it. */
  held() {
    const server = start();
    server.unref();
    server.ref();
    console.log(server.url.href);
  },
  /** Ends by itself once the server is stopped. */
  async stopped() {
    const server = start();
    load(server.url.href);
    while (server.metrics().requests.total < 20) await Bun.sleep(5);
    await server.stop(true);
    console.log("stopped");
    process.exit(0);
  },
  async naturally() {
    const server = start();
    console.log(await (await ask(server.url.href)).text());
    await server.stop(true);
    console.log("stopped");
  },
  /** Throws where nobody catches it. */
  async uncaught() {
    const server = start();
    load(server.url.href);
    while (server.metrics().requests.total < 20) await Bun.sleep(5);
    throw new Error("nobody catches this");
  },
  /** Workers with servers of their own, which are ended from outside. */
  async terminated() {
    for (let n = 0; n < Number(process.argv[3]); n++) {
      const worker = new Worker(new URL("./life-worker.ts", import.meta.url).href);
      const url = await new Promise<string>((resolve, reject) => {
        worker.onmessage = event => resolve(event.data);
        worker.onerror = event => reject(new Error(event.message));
      });
      if ((await (await ask(url)).text()) !== "from a worker") throw new Error("not answered");
      void ask(`${url}forever`).catch(() => {});
      const flood = ask(url).catch(() => {});
      worker.terminate();
      await Promise.race([flood, Bun.sleep(20)]);
    }
    console.log("done");
    process.exit(0);
  },
  /** A worker's server goes with it, and the other one stays. */
  async beside() {
    const server = start();
    const worker = new Worker(new URL("./life-worker.ts", import.meta.url).href);
    const closed = new Promise(resolve => worker.addEventListener("close", resolve));
    await new Promise(resolve => { worker.onmessage = resolve; });
    worker.postMessage("exit");
    await closed;
    console.log(await (await ask(server.url.href)).text());
    await server.stop(true);
    process.exit(0);
  },
  /** Workers that end by themselves, in the middle of requests. */
  async exiting() {
    for (let n = 0; n < Number(process.argv[3]); n++) {
      const worker = new Worker(new URL("./life-worker.ts", import.meta.url).href);
      const closed = new Promise(resolve => worker.addEventListener("close", resolve));
      const url = await new Promise<string>((resolve, reject) => {
        worker.onmessage = event => resolve(event.data);
        worker.onerror = event => reject(new Error(event.message));
      });
      if ((await (await ask(url)).text()) !== "from a worker") throw new Error("not answered");
      void ask(`${url}forever`).catch(() => {});
      void ask(url).catch(() => {});
      worker.postMessage("exit");
      await closed;
    }
    console.log("done");
    process.exit(0);
  },
};

await lives[process.argv[2]!]!();

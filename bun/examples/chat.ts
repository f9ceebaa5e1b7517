// A chat over WebTransport, with its page: bun run examples/chat.ts, then open http://localhost:8080
import { serve } from "lorraine";

const pages = Bun.serve({
  port: Number(process.env.PAGE_PORT ?? 8080),
  hostname: "localhost",
  fetch: () => new Response(page(), { headers: { "content-type": "text/html" } }),
});

const chat = serve<{ name: string }>({
  port: Number(process.env.PORT ?? 4433),
  webtransport: {
    // The page is on another port, and so of another origin.
    origins: [pages.url.origin],
    upgrade: request => ({ name: new URL(request.url).searchParams.get("name") ?? "somebody" }),
    open: session => session.subscribe("chat"),
    // What is typed comes as a stream, so that nothing is lost; where the mouse is, as datagrams.
    async uni(session, stream) {
      const text = await new Response(stream).text();
      for (const other of chat.sessions) {
        // One that leaves, or is slow, keeps it from nobody else.
        other.createUnidirectionalStream().then(own => own.end(`${session.data.name}: ${text}`)).catch(() => {});
      }
    },
    datagram: (session, data) => void chat.publish("chat", data),
  },
});

const hash = Buffer.from(chat.certificateHash().value).toString("base64");
const page = (): string => `<!doctype html>
<meta charset="utf-8"><title>Chat over WebTransport</title>
<ul id="log"></ul><form id="form"><input id="text" autofocus placeholder="say something"></form>
<div id="dot" style="position:fixed;width:12px;height:12px;border-radius:6px;background:crimson;pointer-events:none"></div>
<script type="module">
const hash = Uint8Array.from(atob("${hash}"), c => c.charCodeAt(0));
const wt = new WebTransport("https://localhost:${chat.port}/?name=" + encodeURIComponent(prompt("Your name?") ?? ""), {
  serverCertificateHashes: [{ algorithm: "sha-256", value: hash }],
});
await wt.ready;
form.onsubmit = async event => {
  event.preventDefault();
  const writer = (await wt.createUnidirectionalStream()).getWriter();
  await writer.write(new TextEncoder().encode(text.value));
  await writer.close();
  text.value = "";
};
const dots = wt.datagrams.writable.getWriter();
onmousemove = event => dots.write(new Uint16Array([event.clientX, event.clientY]));
(async () => {
  const reader = wt.datagrams.readable.getReader();
  for (let next; !(next = await reader.read()).done; ) {
    const [x, y] = new Uint16Array(next.value.slice().buffer);
    Object.assign(dot.style, { left: x + "px", top: y + "px" });
  }
})();
const streams = wt.incomingUnidirectionalStreams.getReader();
for (let next; !(next = await streams.read()).done; ) {
  const item = document.createElement("li");
  item.textContent = await new Response(next.value).text();
  log.append(item);
}
</script>`;

console.log(`the page: ${pages.url.href}, sessions: ${chat.url.href}`);

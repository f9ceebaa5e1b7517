// Loads one page of a Lorraine server in headless Chromium, exchanges bodies from it, and prints what came of it as JSON.
// usage: node load.mjs CHROMIUM PORT SPKI-SHA-256 PAGE FILE BYTES
// FILE is fetched by the page; BYTES is the size of a download and an upload.

import { chromium } from "playwright-core";

const [executablePath, port, spki, path, file, size] = process.argv.slice(2);
const origin = `https://127.0.0.1:${port}`;

const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // With a certificate of our own the browser would not follow Alt-Svc: it is told to speak QUIC at once.
    `--origin-to-force-quic-on=127.0.0.1:${port}`,
    `--ignore-certificate-errors-spki-list=${spki}`,
  ],
});

try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("requestfailed", (request) => errors.push(`${request.url()}: ${request.failure()?.errorText}`));
  const response = await page.goto(origin + path, { waitUntil: "load", timeout: 60_000 });
  const report = { status: response.status(), title: await page.title(), errors: [...errors] };
  Object.assign(report, await page.evaluate(look));
  report.exchange = await page.evaluate(exchange, { file, size: Number(size) });
  console.log(JSON.stringify(report));
} finally {
  await browser.close();
}

// Runs in the page.
function look() {
  const kinds = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
  return {
    entries: kinds.map(({ name, nextHopProtocol }) => ({ name, protocol: nextHopProtocol })),
    pictureWidth: document.querySelector("img").naturalWidth,
    mainWidth: document.querySelector("main").clientWidth,
    display: getComputedStyle(document.body).display,
    protocol: document.getElementById("protocol").textContent,
  };
}

// Runs in the page. What fails is in the answer, in the browser's own words.
async function exchange({ file, size }) {
  const attempt = (promise) => promise.catch((error) => String(error));
  const digest = async (bytes) => {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return { bytes: bytes.byteLength, sha256: [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
  };
  const get = async (path) => digest(await (await fetch(path, { cache: "no-store" })).arrayBuffer());
  const post = (path, body) => fetch(path, { method: "POST", body });

  // Chromium fails a response with trailers now and then, whoever serves it: ERR_CONNECTION_CLOSED after the last byte,
  // while the connection stays open. So what arrived counts, and an answer that was cut is asked for again.
  const getWithTrailers = async (path, attempts) => {
    const bytes = new Uint8Array(size);
    for (let left = attempts; left > 0; left--) {
      const reader = (await fetch(path, { cache: "no-store" })).body.getReader();
      let filled = 0;
      const fill = async () => {
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
          bytes.set(piece.value, filled);
          filled += piece.value.length;
        }
      };
      await attempt(fill());
      if (filled === size) return digest(bytes);
    }
    return `cut ${attempts} times`;
  };

  const upload = new Uint8Array(size).map((_, index) => (index * 7919) >> 8);
  return {
    echo: await attempt(post("/echo", "sent by a browser").then((response) => response.text())),
    file: await attempt(get(file)),
    download: await attempt(getWithTrailers(`/download/${size}`, 8)),
    // As a Blob: the browser tells its driver the whole of a body that is given as bytes.
    receipt: await attempt(post("/upload", new Blob([upload])).then((response) => response.json())),
    uploaded: await digest(upload),
  };
}

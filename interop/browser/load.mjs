// Loads one page of a Lorraine server in headless Chromium and prints what the page and the browser say about it as JSON.
// usage: node load.mjs CHROMIUM PORT SPKI-SHA-256 PATH

import { chromium } from "playwright-core";

const [executablePath, port, spki, path] = process.argv.slice(2);
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
  const response = await page.goto(origin + path, { waitUntil: "load", timeout: 30_000 });
  const report = await page.evaluate(look);
  const fetched = await page.evaluate(fetchFromPage);
  console.log(JSON.stringify({ status: response.status(), title: await page.title(), errors, ...report, ...fetched }));
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

// Runs in the page.
async function fetchFromPage() {
  const echo = await fetch("/echo", { method: "POST", body: "sent by a browser" });
  const download = await fetch("/download/3000000");
  return { echo: await echo.text(), downloaded: (await download.arrayBuffer()).byteLength };
}

// The WebTransport cases in headless Chromium.
// usage: node chromium-webtransport.mjs --browser PATH --base https://127.0.0.1:PORT --hash BASE64 [--case NAME ...]

import { chromium } from "playwright-core";
import { readArguments, runCases, wrongHash } from "./suite.mjs";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A page that is not on this machine would have to ask before it connects to a loopback address.
  "--disable-features=LocalNetworkAccessChecksWebTransport",
];
// What Chromium has only with its experimental features.
const EXPERIMENTAL = { draining_is_told: "--enable-experimental-web-platform-features" };

const { browser: executablePath, base, hash, case: names } = readArguments();
const browsers = new Map();

async function openPage(name) {
  const more = EXPERIMENTAL[name] ?? "";
  if (!browsers.has(more)) {
    const args = [...ARGUMENTS, more].filter(Boolean);
    browsers.set(more, await chromium.launch({ executablePath, args }));
  }
  return browsers.get(more).newPage();
}

async function answerFor(page, origin, answer) {
  await page.route(`${origin}/**`, async (route) => route.fulfill(await answer(new URL(route.request().url()).pathname)));
}

try {
  const environment = { browser: "chromium", base, hash, wrongHash: wrongHash(hash) };
  await runCases({ names, openPage, answerFor, environment });
} finally {
  await Promise.all([...browsers.values()].map((browser) => browser.close()));
}

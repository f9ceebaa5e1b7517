// The WebTransport cases in headless Chromium.
// usage: node chromium-webtransport.mjs --browser PATH --base https://127.0.0.1:PORT --hash BASE64 [--case NAME ...]
//    or: node chromium-webtransport.mjs --browser PATH --page http://localhost:PORT [--screenshot FILE]

import { chromium } from "playwright-core";
import { readArguments, run } from "./suite.mjs";

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

const values = readArguments();
// One for each set of arguments that a case needs.
const windows = new Map();

async function openPage(name) {
  const more = EXPERIMENTAL[name] ? [EXPERIMENTAL[name]] : [];
  const key = more.join();
  if (!windows.has(key)) {
    const browser = await chromium.launch({ executablePath: values.browser, args: [...ARGUMENTS, ...more] });
    windows.set(key, await browser.newContext());
  }
  return windows.get(key).newPage();
}

async function answerFor(page, origin, answer) {
  const fulfill = async (route) => route.fulfill(await answer(new URL(route.request().url()).pathname));
  await page.route(`${origin}/**`, fulfill);
}

try {
  await run({ name: "chromium", values, openPage, answerFor });
} finally {
  await Promise.all([...windows.values()].map((window) => window.browser().close()));
}

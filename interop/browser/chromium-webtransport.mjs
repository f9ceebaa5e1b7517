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
];

const { browser: executablePath, base, hash, case: names } = readArguments();
const browser = await chromium.launch({ executablePath, args: ARGUMENTS });
try {
  const environment = { browser: "chromium", base, hash, wrongHash: wrongHash(hash) };
  await runCases({ names, newPage: () => browser.newPage(), environment });
} finally {
  await browser.close();
}

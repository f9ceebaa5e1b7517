// The WebTransport cases in headless Firefox.
// usage: node firefox-webtransport.mjs --browser PATH --base https://127.0.0.1:PORT --hash BASE64 [--case NAME ...]

import puppeteer from "puppeteer-core";
import { readArguments, runCases, wrongHash } from "./suite.mjs";

const { browser: executablePath, base, hash, case: names } = readArguments();
const browser = await puppeteer.launch({ browser: "firefox", protocol: "webDriverBiDi", executablePath, headless: true });
try {
  const environment = { browser: "firefox", base, hash, wrongHash: wrongHash(hash) };
  await runCases({ names, newPage: () => browser.newPage(), environment });
} finally {
  await browser.close();
}

// The WebTransport cases in headless Firefox.
// usage: node firefox-webtransport.mjs --browser PATH --base https://127.0.0.1:PORT --hash BASE64 [--case NAME ...]

import puppeteer from "puppeteer-core";
import { readArguments, runCases, wrongHash } from "./suite.mjs";

const { browser: executablePath, base, hash, case: names } = readArguments();
const browser = await puppeteer.launch({ browser: "firefox", protocol: "webDriverBiDi", executablePath, headless: true });

async function answerFor(page, origin, answer) {
  await page.setRequestInterception(true);
  page.on("request", async (request) => {
    const { origin: asked, pathname } = new URL(request.url());
    // The session's own request passes here too.
    await (asked === origin ? request.respond(await answer(pathname)) : request.continue());
  });
}

try {
  const environment = { browser: "firefox", base, hash, wrongHash: wrongHash(hash) };
  await runCases({ names, openPage: () => browser.newPage(), answerFor, environment });
} finally {
  await browser.close();
}

// The WebTransport cases in headless Firefox.
// usage: node firefox-webtransport.mjs --browser PATH --base https://127.0.0.1:PORT --hash BASE64 [--case NAME ...]
//    or: node firefox-webtransport.mjs --browser PATH --page http://localhost:PORT [--screenshot FILE]

import puppeteer from "puppeteer-core";
import { readArguments, run } from "./suite.mjs";

const values = readArguments();
const browser = await puppeteer.launch({
  browser: "firefox",
  protocol: "webDriverBiDi",
  executablePath: values.browser,
  headless: true,
});

async function answerFor(page, origin, answer) {
  await page.setRequestInterception(true);
  page.on("request", async (request) => {
    const { origin: asked, pathname } = new URL(request.url());
    // The session's own request passes here too.
    await (asked === origin ? request.respond(await answer(pathname)) : request.continue());
  });
}

try {
  await run({ name: "firefox", values, openPage: () => browser.newPage(), answerFor });
} finally {
  await browser.close();
}

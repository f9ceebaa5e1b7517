import { chromium } from "playwright-core";
const [executablePath, port, spki] = process.argv.slice(2);
const origin = `https://127.0.0.1:${port}`;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox","--disable-gpu", `--origin-to-force-quic-on=127.0.0.1:${port}`, `--ignore-certificate-errors-spki-list=${spki}`] });
const page = await browser.newPage();
page.on("console", (m) => console.log(m.text()));
page.on("requestfailed", (r) => console.log("failed", r.url(), r.failure()?.errorText));
await page.goto(origin + "/files/index.html");
await page.evaluate(async () => {
  const t0 = performance.now(); const log = (...a) => console.log((performance.now()-t0).toFixed(0), ...a);

  for (const p of ["/files/3000000", "/files/large.bin"]) {
    try { const r = await fetch(p, {cache: "no-store"}); log(r.status, [...r.headers].join(" ")); const rd = r.body.getReader(); let n=0, last=0; for(;;){ const {done,value}=await rd.read(); if(done) break; n+=value.length; if(n-last>1e7){last=n; log(n);} } log("got",p,n); } catch (e) { log(String(e)); }
  }
  const u = new Uint8Array(104857600).map((_, i) => (i * 7919) >> 8); log("mapped");
  await crypto.subtle.digest("SHA-256", u); log("hashed");
});
await browser.close();

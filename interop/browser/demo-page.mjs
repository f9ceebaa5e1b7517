// The page of `lorraine demo`, used as a visitor would: two tabs, a click, a message each way.

const POLL_MS = 50;
const SIZE = { width: 1_280, height: 900 };

/** Goes through the page; the answer says what was seen, an error what was not. A screenshot is kept in any case. */
export async function visitDemoPage({ openPage, url, screenshot }) {
  const [first, second] = [await openPage("page"), await openPage("page")];
  await (first.setViewportSize ?? first.setViewport).call(first, SIZE);
  try {
    const connect = async (page) => {
      await page.goto(url);
      await until(page, "connected", () => document.querySelector("#status").dataset.state === "connected");
    };
    await connect(first);
    await until(first, "a round-trip time", () => /[0-9]/.test(document.querySelector("#rtt-median").textContent));
    await first.click("#throughput-run");
    await until(first, "a throughput", () => /[1-9]/.test(document.querySelector("#throughput-result").textContent));
    await changes(first, "#clock");
    await connect(second);
    await chat(second, first, "from the second tab to the first");
    await chat(first, second, "and back");
    await first.bringToFront();
    const text = (selector) => first.evaluate(textOf, selector);
    const seen = [await text("#rtt-median"), await text("#throughput-result"), await text("#clock")];
    await first.screenshot({ path: screenshot, fullPage: true });
    // Its hash comes from the page's own server, so that a reload works whatever became of the certificate.
    await connect(first);
    return { verdict: "ok", detail: seen.join("; ") };
  } catch (error) {
    await first.screenshot({ path: screenshot, fullPage: true }).catch(() => {});
    const status = await first.evaluate(() => document.querySelector("#status")?.outerHTML).catch(() => "no page");
    throw new Error(`${error.message}; the page's status: ${status}`);
  } finally {
    for (const page of [first, second]) page.close().catch(() => {});
  }
}

async function chat(from, to, message) {
  await from.bringToFront();
  await from.type("#chat-input", message);
  await from.keyboard.press("Enter");
  const said = (text) => document.querySelector("#chat-log").textContent.includes(text);
  await until(to, `"${message}" in the other tab`, said, message);
}

async function changes(page, selector) {
  const isSomething = (selected) => /[0-9]/.test(document.querySelector(selected).textContent);
  await until(page, `something in ${selector}`, isSomething, selector);
  const before = await page.evaluate(textOf, selector);
  const differs = ({ selector: selected, before: old }) => document.querySelector(selected).textContent !== old;
  await until(page, `another value in ${selector} than ${before}`, differs, { selector, before });
}

// Runs in the page.
function textOf(selector) {
  return document.querySelector(selector).textContent;
}

async function until(page, what, condition, argument, milliseconds = 30_000) {
  const deadline = Date.now() + milliseconds;
  while (!(await page.evaluate(condition, argument))) {
    if (Date.now() > deadline) throw new Error(`${what}: nothing after ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

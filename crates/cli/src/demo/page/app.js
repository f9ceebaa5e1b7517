// The demo page: four things that WebTransport does, each with a session of its own.

import { Plot, Samples } from "/plot.js";
import { diagnose } from "/trouble.js";

const PING_EVERY_MS = 100;
const LOST_AFTER_MS = 2000;
const RETRY_MS = [500, 1000, 2000, 5000];

const element = (id) => document.getElementById(id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const encode = (text) => new TextEncoder().encode(text);

// Sessions

async function readTarget() {
  const response = await fetch("/api/certificate", { cache: "no-store" });
  if (!response.ok) throw new Error(`/api/certificate: ${response.status}`);
  const facts = await response.json();
  const { sha256 } = facts;
  return { ...facts, hash: Uint8Array.from(sha256.match(/../g), (byte) => parseInt(byte, 16)) };
}

async function openSession(target, path, options = {}) {
  const session = new WebTransport(target.url + path, {
    ...options,
    serverCertificateHashes: [{ algorithm: "sha-256", value: target.hash }],
  });
  // Chromium keeps one datagram unless it is told otherwise, and drops the rest.
  session.datagrams.incomingHighWaterMark = 128;
  // Both are told by `ready` too, where they are handled.
  session.closed.catch(() => {});
  await session.ready;
  return session;
}

// Opens a session, uses it until it ends, and opens the next: a demo that was restarted is found again.
async function keepOpen(path, use, failed, options) {
  for (let attempt = 0; ; attempt++) {
    const began = performance.now();
    let target;
    try {
      target = await readTarget();
      const session = await openSession(target, path(), options);
      attempt = 0;
      await use(session, target, performance.now() - began);
    } catch (error) {
      failed?.(error, { target, took: performance.now() - began });
    }
    await Promise.race([pause(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]), retryAsked()]);
  }
}

let askRetry = [];
const retryAsked = () => new Promise((resolve) => askRetry.push(resolve));
element("trouble-retry").addEventListener("click", () => {
  askRetry.forEach((resolve) => resolve());
  askRetry = [];
});

function showStatus(state, words) {
  element("status").dataset.state = state;
  element("status").textContent = words;
}

async function showTrouble(error, facts) {
  const { title, text, hints } = await diagnose(error, { ...facts, readTarget });
  element("trouble-title").textContent = title;
  element("trouble-text").textContent = text;
  element("trouble-hints").replaceChildren(...hints.map((hint) => item("li", hint)));
  element("trouble").hidden = false;
  showStatus("failed", "Not connected");
}

function item(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

// A number with its unit in a smaller size.
function showQuantity(id, number, unit) {
  const small = item("span", unit);
  small.className = "unit";
  element(id).replaceChildren(number, small);
}

// Round trips, and the session that they and the throughput share

const samples = new Samples();
let echoSession = null;

async function useEcho(session, target, handshake) {
  echoSession = session;
  element("trouble").hidden = true;
  showStatus("connected", "Connected");
  element("throughput-run").disabled = false;
  showFacts(session, target, handshake);
  const stop = ping(session);
  const age = setInterval(showAge, 1000, performance.now());
  try {
    const { closeCode, reason } = await session.closed;
    throw new Error(`The server closed the session: code ${closeCode}${reason ? `, “${reason}”` : ""}.`);
  } finally {
    stop();
    clearInterval(age);
    echoSession = null;
    element("throughput-run").disabled = true;
    showStatus("connecting", "Connecting again");
  }
}

// Sends the pings and hears them; returns what stops that.
function ping(session) {
  const writable = session.datagrams.writable ?? session.datagrams.createWritable();
  const writer = writable.getWriter();
  const pending = new Map();
  let next = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    for (const [number, at] of pending) {
      if (now - at < LOST_AFTER_MS) break;
      pending.delete(number);
      samples.add(at, null);
    }
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setUint32(0, next);
    pending.set(next++, now);
    writer.write(bytes).catch(() => {});
    showRoundTrips();
  }, PING_EVERY_MS);
  hear(session.datagrams.readable.getReader(), pending).catch(() => {});
  return () => clearInterval(timer);
}

async function hear(reader, pending) {
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const now = performance.now();
    if (value.byteLength !== 4) continue;
    const number = new DataView(value.buffer, value.byteOffset, 4).getUint32(0);
    const at = pending.get(number);
    if (pending.delete(number)) samples.add(at, now - at);
  }
}

function showRoundTrips() {
  const show = (id, ms) => ms !== undefined && showQuantity(id, ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0), "ms");
  show("rtt-median", samples.quantile(0.5));
  show("rtt-p99", samples.quantile(0.99));
  show("rtt-latest", samples.latest);
  element("rtt-lost").textContent = samples.lost;
  element("fact-pings").textContent = `${samples.answered} of ${samples.answered + samples.lost}`;
}

function showFacts(session, target, handshake) {
  element("fact-url").textContent = target.url.replace("https://", "");
  element("fact-protocol").textContent = session.protocol || "none";
  showQuantity("fact-handshake", handshake.toFixed(0), "ms");
  showQuantity("fact-datagram", session.datagrams.maxDatagramSize, "bytes");
  element("fact-valid").textContent = new Date(target.validUntil * 1000).toLocaleDateString([], { dateStyle: "medium" });
  element("fact-certificate").textContent = target.sha256.match(/.{4}/g).join(" ");
}

function showAge(since) {
  const seconds = Math.round((performance.now() - since) / 1000);
  element("fact-age").textContent = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

// Throughput

const CHUNK = 256 * 1024;

// Byte i of the stream is what `pattern[i % CHUNK]` says, so that what comes back can be compared.
const pattern = Uint8Array.from({ length: CHUNK }, (_, index) => (index * 7919) >> 8);

async function runThroughput() {
  const total = Number(element("throughput-size").value) * 1024 * 1024;
  const session = echoSession;
  const progress = element("throughput-progress");
  element("throughput-run").disabled = true;
  element("throughput-note").textContent = "Running…";
  try {
    const since = performance.now();
    const { readable, writable } = await session.createBidirectionalStream();
    const sent = send(writable.getWriter(), total);
    const back = await compare(readable.getReader(), (bytes) => (progress.value = bytes / total));
    await sent;
    const seconds = (performance.now() - since) / 1000;
    if (back !== total) throw new Error(`${back} of ${total} bytes came back.`);
    showQuantity("throughput-result", (total / 1e6 / seconds).toFixed(1), "MB/s");
    const mebibytes = total / 1024 / 1024;
    element("throughput-note").textContent = `${mebibytes} MiB there and back in ${seconds.toFixed(2)} s, every byte right`;
  } catch (error) {
    element("throughput-note").textContent = `It failed: ${error.message}`;
  } finally {
    element("throughput-run").disabled = echoSession === null;
  }
}

async function send(writer, total) {
  for (let sent = 0; sent < total; sent += CHUNK) {
    await writer.ready;
    writer.write(pattern).catch(() => {});
  }
  await writer.close();
}

async function compare(reader, progress) {
  let count = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return count;
    for (let index = 0; index < value.length; index++) {
      if (value[index] !== pattern[(count + index) % CHUNK]) throw new Error(`byte ${count + index} came back wrong.`);
    }
    count += value.length;
    progress(count);
  }
}

element("throughput-run").addEventListener("click", runThroughput);

// Chat

const NAMES = ["Mirabelle", "Quiche", "Bergamot", "Thistle", "Alérion", "Moselle", "Vosges", "Nancy", "Metz", "Verdun"];
const myName = `${NAMES[Math.floor(Math.random() * NAMES.length)]}-${100 + Math.floor(Math.random() * 900)}`;
let chatSession = null;

const roomName = () => element("chat-room").value.trim() || "lobby";

async function useChat(session) {
  chatSession = session;
  say("note", `You are ${myName} in ${roomName()}.`);
  for (const id of ["chat-input", "chat-send"]) element(id).disabled = false;
  try {
    const reader = session.incomingUnidirectionalStreams.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      readText(next.value).then(sayTheirs, () => {});
    }
  } finally {
    chatSession = null;
    for (const id of ["chat-input", "chat-send"]) element(id).disabled = true;
  }
}

// Whoever speaks from elsewhere need not give a name.
function sayTheirs(message) {
  const [, name, text] = message.match(/^([\p{L}\p{N}-]{1,32}): ([^]*)$/u) ?? [null, "someone", message];
  say("theirs", text, name);
}

function say(kind, text, name) {
  const log = element("chat-log");
  const entry = item("li", text);
  entry.dataset.kind = kind;
  if (name) entry.prepend(item("b", name));
  log.append(entry);
  while (log.childElementCount > 200) log.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

async function readText(readable) {
  return new Response(readable).text();
}

element("chat-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = element("chat-input");
  const text = input.value.trim();
  if (!text || !chatSession) return;
  input.value = "";
  try {
    const writer = (await chatSession.createUnidirectionalStream()).getWriter();
    await writer.write(encode(`${myName}: ${text}`));
    await writer.close();
    say("mine", text);
  } catch (error) {
    say("note", `Not sent: ${error.message}`);
  }
});

element("chat-room").addEventListener("change", () => chatSession?.close());

// Clock

async function useClock(session) {
  const streams = session.incomingUnidirectionalStreams.getReader();
  const { value: stream, done } = await streams.read();
  if (done) return;
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const lines = (text + next.value).split("\n");
    text = lines.pop();
    if (lines.length) showClock(lines.at(-1));
  }
}

function showClock(line) {
  const [, date, time] = line.match(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)/) ?? [null, "", line];
  element("clock").textContent = time;
  element("clock").dateTime = line;
  element("clock-date").textContent = `${date} UTC`;
}

// Start

new Plot(element("rtt-plot"), samples);
if (typeof WebTransport === "undefined") {
  showTrouble(null, {});
} else {
  keepOpen(() => "/wt/echo", useEcho, showTrouble, { protocols: ["echo-v2", "echo-v1"] });
  keepOpen(() => `/wt/chat/${encodeURIComponent(roomName())}`, useChat);
  keepOpen(() => "/wt/clock", useClock);
}

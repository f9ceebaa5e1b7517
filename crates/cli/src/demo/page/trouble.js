// Why there is no connection, in words. Browsers tell pages next to nothing about it, by design, so that this works
// from what can be seen: what failed, how long it took, and whether the page's own server still answers.

// QUIC gives up after some seconds when nothing answers; a refusal takes milliseconds.
const SILENCE_MS = 2500;

export async function diagnose(error, { target, took, readTarget }) {
  if (typeof WebTransport === "undefined") return withoutWebTransport();
  const current = await readTarget().catch(() => null);
  if (current === null) {
    return {
      title: "The demo has stopped",
      text: "The program that served this page does not answer any more.",
      hints: ["Start it again with “lorraine demo”; this page then connects by itself."],
    };
  }
  if (target && current.sha256 !== target.sha256) {
    return {
      title: "The certificate was replaced",
      text: "The server shows another certificate than a moment ago. The next attempt uses the new one.",
      hints: [],
    };
  }
  if (error?.message?.startsWith("The server closed")) {
    return { title: "The session ended", text: error.message, hints: ["A new one is opened in a moment."] };
  }
  return took > SILENCE_MS ? unreachable(current) : refused(current, error);
}

function withoutWebTransport() {
  if (!isSecureContext) {
    return {
      title: "This address is not trusted enough",
      text: "Browsers offer WebTransport on HTTPS pages and on localhost alone.",
      hints: [`Open http://localhost:${location.port || 80}/ on the machine that runs the demo.`],
    };
  }
  return {
    title: "This browser has no WebTransport",
    text: "The page needs WebTransport with serverCertificateHashes.",
    hints: ["Chrome and Edge have it since version 100, Firefox since 125, Safari since 26.4."],
  };
}

function unreachable(target) {
  const port = new URL(target.url).port;
  return {
    title: "Nothing answers over UDP",
    text: `The browser sent QUIC packets to ${target.url.replace("https://", "")} and heard nothing.`,
    hints: [
      `A firewall, VPN or security program may block UDP port ${port} on this machine.`,
      "Is the demo in a container or in another machine? Then that UDP port must be forwarded too.",
      "Is QUIC switched off in this browser, by a flag or by a policy?",
    ],
  };
}

function refused(target, error) {
  return {
    title: "The server or the browser refused",
    text: `The handshake with ${target.url.replace("https://", "")} failed at once${error?.message ? `: ${error.message}` : "."}`,
    hints: [
      "Certificate: browsers accept one by its hash only if it is ECDSA and valid for at most 14 days. Without --cert the demo makes one that fits.",
      "Refused: the server may have too many sessions, or be stopping. Its log says so with -v.",
      "Not reachable: nothing may listen on this UDP port any more.",
      "The developer tools’ console shows the reason that pages are not told.",
    ],
  };
}

// Why there is no connection, in words. Browsers tell pages next to nothing about it, by design, so that this works
// from what can be seen: what failed, how long it took, and whether the page's own server still answers.

// QUIC gives up after some seconds when nothing answers; a refusal takes milliseconds.
const SILENCE_MS = 2500;
// The longest life of a certificate that browsers accept by its hash.
const LONGEST_LIFE_S = 14 * 24 * 3600;

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
  const wrong = aboutCertificate(current);
  if (wrong) return wrong;
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

function aboutCertificate({ validFrom, validUntil }) {
  const now = Date.now() / 1000;
  const when = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  if (now >= validUntil) {
    return {
      title: "The certificate has expired",
      text: `It was valid until ${when(validUntil)}.`,
      hints: ["Start the demo again: it then makes a new one, unless it was given one with --cert."],
    };
  }
  if (now < validFrom) {
    return {
      title: "The certificate is not valid yet",
      text: `It is valid from ${when(validFrom)}; this machine’s clock is behind.`,
      hints: ["Set the clock right."],
    };
  }
  if (validUntil - validFrom > LONGEST_LIFE_S) {
    return {
      title: "The certificate lives too long",
      text: `It is valid for ${Math.round((validUntil - validFrom) / 86400)} days; browsers accept at most 14 of a certificate that they are told the hash of.`,
      hints: ["Start the demo without --cert: it then makes one that fits."],
    };
  }
  return null;
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

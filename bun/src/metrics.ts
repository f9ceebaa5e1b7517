/** A server's numbers. */
import { check, native } from "./native";

export interface Metrics {
  connections: { active: number; accepted: number; established: number; closed: number; rejected: number };
  requests: { active: number; total: number };
  webtransport: {
    sessions: number; streams: number; datagramsIn: number; datagramsOut: number; datagramsDropped: number;
  };
  udp: { packetsIn: number; packetsOut: number; bytesIn: number; bytesOut: number };
  bridge: {
    events: number; doorbells: number; refused: number; largestBatch: number; batches: number; handles: number;
    outOfHandles: number; badAnswers: number;
  };
}

const WORDS = 24;

/** Reads them all at once; waits for a turn of each worker. */
export function readMetrics(server: number, own: { batches: number }): Metrics {
  const words = new BigUint64Array(WORDS);
  words[0] = BigInt(WORDS * 8);
  check(native.lorraine_metrics(server, words), "no metrics");
  const at = (index: number) => Number(words[index]);
  return {
    connections: { active: at(1), accepted: at(2), established: at(3), closed: at(4), rejected: at(5) },
    requests: { active: at(6), total: at(7) },
    webtransport: {
      sessions: at(8), streams: at(9), datagramsIn: at(10), datagramsOut: at(11), datagramsDropped: at(12),
    },
    udp: { packetsIn: at(13), packetsOut: at(14), bytesIn: at(15), bytesOut: at(16) },
    bridge: {
      events: at(17), doorbells: at(18), refused: at(19), largestBatch: at(20), batches: own.batches, handles: at(21),
      outOfHandles: at(22), badAnswers: at(23),
    },
  };
}

/** A session's numbers, under W3C's names where it has them. Bytes are those of streams. */
export interface SessionStats {
  /** The smoothed round trip of the connection; `null` where it is not known. */
  rttMs: number | null;
  bytesSent: number;
  bytesReceived: number;
  /** Of the whole connection. */
  packetsLost: number;
  datagrams: { sent: number; received: number; droppedIncoming: number; droppedOutgoing: number };
}

const SESSION_WORDS = 9;

/** Reads them all at once; waits for a turn of the session's worker. */
export function readSessionStats(session: number): SessionStats {
  const words = new BigUint64Array(SESSION_WORDS);
  words[0] = BigInt(SESSION_WORDS * 8);
  check(native.lorraine_session_stats(session, words), "no numbers of the session");
  const at = (index: number) => Number(words[index]);
  return {
    rttMs: at(1) === 0 ? null : at(1) / 1000,
    packetsLost: at(2),
    bytesSent: at(3),
    bytesReceived: at(4),
    datagrams: { sent: at(5), received: at(6), droppedIncoming: at(7), droppedOutgoing: at(8) },
  };
}

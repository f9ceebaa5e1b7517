// Uploads and downloads of any size in constant memory: bun run examples/bodies.ts
//   lorraine get --insecure -X POST --data @big.iso https://localhost:4433/upload
import { serve } from "lorraine";

const server = serve({
  port: Number(process.env.PORT ?? 4433),
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  routes: {
    "/upload": {
      POST: async request => {
        const hash = new Bun.CryptoHasher("sha256");
        let bytes = 0;
        // Read as it comes: a client that is faster than this waits.
        for await (const piece of request.body ?? []) {
          hash.update(piece);
          bytes += piece.length;
        }
        return Response.json({ bytes, sha256: hash.digest("hex") });
      },
    },
    "/download/:bytes": request => {
      let left = Number(request.params.bytes);
      const piece = new Uint8Array(64 * 1024);
      return new Response(
        new ReadableStream({
          // Asked for only while the client takes it.
          pull(controller) {
            if (left <= 0) return controller.close();
            controller.enqueue(piece.subarray(0, Math.min(left, piece.length)));
            left -= piece.length;
          },
        }),
      );
    },
    "/echo": { POST: request => new Response(request.body) },
  },
});
console.log(server.url.href);

/**
 * A `Response` that remembers the text or bytes it was made of.
 *
 * Bun does not say whether a response's body was text, which has a content type without being given one. With
 * `import { Response } from "lorraine"` nothing else changes: it is a subclass, and goes wherever a `Response` goes.
 */
const Base = globalThis.Response;
type Body = ConstructorParameters<typeof Base>[0];
type Init = ConstructorParameters<typeof Base>[1];

class RememberingResponse extends Base {
  #held: string | Uint8Array | null = null;

  constructor(body?: Body, init?: Init) {
    super(body, init);
    if (typeof body === "string") this.#held = body;
    // Not `slice`, which copies nothing where it is a Buffer.
    else if (body instanceof Uint8Array) this.#held = new Uint8Array(body);
  }

  static override json(body?: unknown, init?: Init): globalThis.Response {
    const headers = new Headers(init?.headers as never);
    if (!headers.has("content-type")) headers.set("content-type", "application/json;charset=utf-8");
    return new RememberingResponse(JSON.stringify(body), { ...init, headers });
  }

  /** What it was made of, unless somebody has read it; `null`: that is not known. */
  static held(response: globalThis.Response): string | Uint8Array | null {
    return #held in response && !response.bodyUsed ? response.#held : null;
  }
}

export { RememberingResponse as Response };
export const held = RememberingResponse.held;

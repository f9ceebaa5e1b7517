/** How long something may stand still: one timer, which is put off when it is due and not each time something moves. */
export class Patience {
  readonly milliseconds: number;
  readonly #onLost: () => void;
  #moved = performance.now();
  #timer: ReturnType<typeof setTimeout>;

  constructor(milliseconds: number, onLost: () => void) {
    this.milliseconds = milliseconds;
    this.#onLost = onLost;
    this.#timer = this.#after(milliseconds);
  }

  /** Something moved: the time begins anew. */
  moved(): void {
    this.#moved = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #after(milliseconds: number): ReturnType<typeof setTimeout> {
    // The server keeps the process alive, if anything does.
    return setTimeout(() => this.#onDue(), milliseconds).unref();
  }

  #onDue(): void {
    const left = this.#moved + this.milliseconds - performance.now();
    if (left > 0) this.#timer = this.#after(left);
    else this.#onLost();
  }
}

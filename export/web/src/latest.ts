/** Runs one job at a time. Of the jobs asked for meanwhile only the last is run; the one at work is told to stop. */
export class Latest {
  #next: ((isStale: () => boolean) => Promise<void>) | null = null;
  #running: Promise<void> | null = null;

  request(job: (isStale: () => boolean) => Promise<void>): void {
    this.#next = job;
    this.#running ??= this.#run();
  }

  /** Settles when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // what is asked for in the same breath is one job
    while (this.#next) {
      const job = this.#next;
      this.#next = null;
      await job(() => this.#next !== null);
    }
    this.#running = null;
  }
}

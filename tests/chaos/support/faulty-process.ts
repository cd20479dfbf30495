/**
 * Loaded into a router's or node's process before it starts (`--import`): what happens to it at SIGUSR2.
 *
 *   CHAOS_BLOCK_MS=MS        its event loop stands still for so long
 *   CHAOS_CLOCK_JUMP_MS=MS   its wall clock is so much later (or earlier) from then on; a second signal takes it back
 */
const { CHAOS_BLOCK_MS, CHAOS_CLOCK_JUMP_MS } = process.env;

if (CHAOS_BLOCK_MS) {
  process.on('SIGUSR2', () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(CHAOS_BLOCK_MS));
  });
}

if (CHAOS_CLOCK_JUMP_MS) {
  const RealDate = Date;
  const now = RealDate.now.bind(RealDate);
  let offset = 0;
  process.on('SIGUSR2', () => {
    offset = offset === 0 ? Number(CHAOS_CLOCK_JUMP_MS) : 0;
  });
  globalThis.Date = class extends RealDate {
    constructor(...args: [] | [number | string | Date]) {
      if (args.length === 0) super(now() + offset);
      else super(...args);
    }
    static override now(): number {
      return now() + offset;
    }
  } as DateConstructor;
}

/** Vitest waits a second for what a test waits for, unless it says otherwise; on a busy machine that is none. */
import { vi } from 'vitest';

const PATIENCE_MS = 15_000;

const { waitFor, waitUntil } = vi;

/** As vitest takes it: the options, or the timeout alone. */
const patient = (options: Parameters<typeof waitFor>[1] = {}) =>
  typeof options === 'number' ? options : { timeout: PATIENCE_MS, ...options };

vi.waitFor = (callback, options) => waitFor(callback, patient(options));
vi.waitUntil = (callback, options) => waitUntil(callback, patient(options));

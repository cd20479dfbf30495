import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['tests/**/*.test.ts'],
    pool: 'forks',
    // Two cores, and most tests run processes of their own.
    maxWorkers: 2,
    // What is waited for comes when the machine gets to it, which others may keep busy; these are for what never comes.
    testTimeout: 90_000,
    hookTimeout: 90_000,
    expect: { poll: { timeout: 15_000 } },
    setupFiles: ['./tests/support/patience.ts'],
    reporters: ['default', './tests/support/summary.ts'],
  },
});

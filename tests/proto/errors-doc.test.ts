import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Code, REASONS } from '../../proto/contract/faults.ts';

const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
const rows = text
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
const codeNames = Object.fromEntries(Object.entries(Code).map(([name, code]) => [code, name]));

describe('docs/errors.md', () => {
  it('lists every reason as the code has it, in its order, and no other', () => {
    const listed = rows.map(([reason, code, retry, meaning]) => ({ reason, code, retry, meaning }));
    const real = Object.entries(REASONS).map(([reason, { code, retryable, meaning }]) => ({
      reason: `\`${reason}\``,
      code: codeNames[code],
      retry: retryable ? 'yes' : 'no',
      meaning,
    }));
    expect(listed).toEqual(real);
  });

  it('says for each what to do', () => {
    for (const [reason, , , , advice] of rows) expect(advice?.length, reason).toBeGreaterThan(5);
  });
});

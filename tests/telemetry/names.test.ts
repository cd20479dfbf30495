import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CACHE_LEVELS } from '../../telemetry/cache-events.ts';
import { FLEET_LEVELS, NODE_LEVELS } from '../../telemetry/log.ts';
import { ATTR, SPAN, SPAN_EVENT } from '../../telemetry/names.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const doc = readFileSync(`${ROOT}docs/telemetry.md`, 'utf8');

function sourcesUnder(folder: string): string[] {
  if (!existsSync(`${ROOT}${folder}`)) return [];
  const files = readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`);
  return files.filter((file) => file.endsWith('.ts') && file !== 'telemetry/names.ts');
}

/** Cells of the rows of the table with this heading. */
function rows(heading: string): string[][] {
  const [, table = ''] = doc.split(`\n| ${heading} |`);
  const lines = table.split('\n').slice(2);
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines
    .slice(0, end === -1 ? lines.length : end)
    .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));
}
const names = (heading: string) => rows(heading).map(([, name]) => name);

describe('docs/telemetry.md', () => {
  it.each([
    ['span | where', Object.values(SPAN)],
    ['event | meaning', Object.values(SPAN_EVENT)],
    ['attribute | meaning', Object.values(ATTR)],
  ])('lists exactly what the code can emit: %s', (heading, emitted) => {
    expect(names(heading).toSorted()).toEqual(emitted.toSorted());
  });

  it('lists the log events with their levels', () => {
    const listed = Object.fromEntries(rows('event | level').map(([, event, level]) => [event, level]));
    expect(listed).toEqual({ ...FLEET_LEVELS, ...NODE_LEVELS, ...CACHE_LEVELS });
  });
});

describe('the names', () => {
  it('are spelt in names.ts only', () => {
    const sources = ['router', 'nodes', 'client', 'cli', 'telemetry', 'cache'].flatMap(sourcesUnder);
    expect(sources.length).toBeGreaterThan(10);
    const spelt = sources.filter((path) =>
      /['"`](gen_ai|rpc|infermesh)\.[a-z_.]+['"`]/.test(readFileSync(`${ROOT}${path}`, 'utf8')),
    );
    expect(spelt).toEqual([]);
  });
});

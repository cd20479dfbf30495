/** Writes docs/examples/decisions.jsonl.gz, the log of a made-up world that docs/replay.md reads: node tests/support/example-log.ts */
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { lineOf } from '../../router/ledger/decision-entry.ts';
import { play } from './decision-world.ts';

const lines = play({ seed: 20, decisions: 600, rated: 0.4 }).map((entry) => `${lineOf(entry)}\n`);
writeFileSync(new URL('../../docs/examples/decisions.jsonl.gz', import.meta.url), gzipSync(lines.join(''), { level: 9 }));

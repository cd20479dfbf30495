/** Models of the catalogue, as people and as programs read them. */
import type { ListedModel } from '../../nodes/index.ts';
import { tierName } from './names.ts';
import { table } from './table.ts';
import { style } from './terminal.ts';
import { bytes } from './units.ts';

const COLUMNS = [
  { title: ' ' },
  { title: 'MODEL' },
  { title: 'TIER' },
  { title: 'SIZE', align: 'right' },
  { title: 'MEMORY', align: 'right' },
  { title: 'CONTEXT', align: 'right' },
  { title: 'FOR' },
  { title: 'LICENCE' },
  { title: 'HERE' },
] as const;

/** Another quantisation of a model, of which nothing is here. */
export function isAside({ entry, state, versions }: ListedModel): boolean {
  return entry.variant_of !== undefined && state === 'absent' && versions.length === 0;
}

export function modelTable(models: readonly ListedModel[]): string {
  return table(COLUMNS, models.map(row));
}

function row(model: ListedModel): string[] {
  const { name, tier, size_bytes, memory_bytes, context_length, tasks, licence, commercial_use } = model.entry;
  const marks = { present: style('green', '●'), partial: style('yellow', '◐'), absent: style('dim', '○') };
  return [
    marks[model.state],
    name,
    tierName(tier),
    bytes(size_bytes ?? 0),
    bytes(memory_bytes),
    String(context_length),
    tasks.join(', ') || 'anything',
    `${licence.replace('LicenseRef-', '')}${commercial_use ? '' : ', not commercial'}`,
    whereabouts(model),
  ];
}

function whereabouts({ state, bytes: here, versions }: ListedModel): string {
  const others = versions.filter(({ current }) => !current).length;
  if (state === 'partial') return `${bytes(here)} of it`;
  if (state === 'absent') return others > 0 ? 'another version' : 'no';
  return others > 0 ? `yes, and ${others} more` : 'yes';
}

/** Everything about one, a fact a line. */
export function modelFacts({ entry, sources, state, bytes: here, versions }: ListedModel): string {
  const { title, family, quantization, tier, licence, commercial_use, context_length, tasks, size_bytes, memory_bytes } = entry;
  const facts: [label: string, value: string][] = [
    ['name', style('bold', entry.name)],
    ['title', title],
    ['family', `${family}, ${quantization}`],
    ['tier', tierName(tier)],
    ['for', tasks.join(', ') || 'anything'],
    ['prompts', entry.prompt_format ?? 'as its file says'],
    ['context', `${context_length} tokens`],
    ['licence', `${licence}${commercial_use ? '' : ', not for commercial use'}`],
    ['size', bytes(size_bytes ?? 0)],
    ['memory', bytes(memory_bytes)],
    ['source', sources.join(' ')],
    [
      'also as',
      Object.keys(entry.quantizations)
        .map((key) => `${entry.name}-${key.toLowerCase()}`)
        .join(' ') || 'nothing else',
    ],
    ['sha256', entry.sha256 ?? 'checked against what the source tells, and the first fetch'],
    ['here', state === 'present' ? 'yes' : state === 'partial' ? `${bytes(here)} of it` : 'no'],
    ...versions.map(({ name, bytes: size, current }): [string, string] => [
      'version',
      `${name}, ${bytes(size)}${current ? ', which the name alone means' : ''}`,
    ]),
  ];
  return facts.map(([label, value]) => `  ${style('dim', label.padEnd(10))} ${value}`).join('\n');
}

/** For --json. */
export function modelObject({ entry, sources, ...here }: ListedModel): object {
  return { ...entry, tier: tierName(entry.tier), source: sources.join(' '), ...here };
}

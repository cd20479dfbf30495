/** Columns that line up, without lines around them. */
import { stripVTControlCharacters } from 'node:util';
import { style } from './terminal.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Cells may be coloured. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title }, index) => Math.max(widthOf(title), ...rows.map((row) => widthOf(row[index] ?? ''))));
  const line = (cells: readonly string[]) =>
    columns
      .map(({ align }, index) => pad(cells[index] ?? '', widths[index] ?? 0, align))
      .join('   ')
      .trimEnd();
  const head = style('dim', line(columns.map(({ title }) => title)));
  return [head, ...rows.map(line)].map((text) => `  ${text}`).join('\n');
}

function pad(text: string, width: number, align: Column['align']): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return align === 'right' ? space + text : text + space;
}

/** In characters, as a terminal shows it. */
export function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}

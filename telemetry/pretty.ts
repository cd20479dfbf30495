/** A JSON log line as one line for people: 14:03:07 WARN  node left node=gpu-1 reason=expired lost=3 */

const HIDDEN = new Set(['level', 'time', 'name', 'msg', 'event']);
const PLAIN = /^[\w.:/@+-]+$/;

/** @param line as pino writes it, line feed included */
export function prettyLine(line: string): string {
  const record: Record<string, unknown> = JSON.parse(line);
  const time = String(record.time).slice(11, 19);
  const level = String(record.level).toUpperCase().padEnd(5);
  const fields = Object.entries(record).filter(([key]) => !HIDDEN.has(key));
  return `${[`${time} ${level} ${record.msg}`, ...fields.map(([key, value]) => `${key}=${plain(value)}`)].join(' ')}\n`;
}

/** Quoted where a space or a control character would make the line, or the terminal, say something else. */
function plain(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (typeof value !== 'string' || PLAIN.test(text)) return text;
  // JSON leaves these as they are, and to some terminals they begin a command.
  return JSON.stringify(text).replace(/[\u007f-\u009f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}

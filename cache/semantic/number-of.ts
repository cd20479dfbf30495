/**
 * One form for a number in figures: 1,000 and 1000, and in a language that writes them so, 1.000 and 3,5. What could be
 * either stays as it was written. Pure.
 */
/** A comma before decimals. */
const COMMA = new Set('de fr es it pt nl sv da no fi pl cs hu ro tr id vi ru uk bg sr el'.split(' '));

/** @param language ISO 639-1; und counts as English */
export function numberOf(text: string, language: string): string {
  const figures = text.replace(/\p{Nd}/gu, (digit) => String(digitOf(digit)));
  const comma = COMMA.has(language);
  const grouped = new RegExp(`^([+-]?\\d{1,3}(?:[ '${comma ? '.' : ','}]\\d{3})+)(?:\\${comma ? ',' : '.'}(\\d+))?$`).exec(
    figures,
  );
  if (grouped) return plain(`${grouped[1]?.replace(/[^\d+-]/g, '')}.${grouped[2] ?? '0'}`);
  if (/^[+-]?\d+$/.test(figures)) return plain(figures);
  if (new RegExp(`^[+-]?\\d+\\${comma ? ',' : '.'}\\d+$`).test(figures)) return plain(figures.replace(',', '.'));
  return figures;
}

/** Without leading zeros, and those behind the point. Not by Number, which has 15 digits only. */
function plain(figures: string): string {
  const [whole = '', decimals = ''] = figures.replace(/^\+/, '').split('.');
  const sign = whole.startsWith('-') ? '-' : '';
  const kept = decimals.replace(/0+$/, '');
  return `${sign}${whole.replace(/^-/, '').replace(/^0+(?=\d)/, '')}${kept === '' ? '' : `.${kept}`}`;
}

/** Digits of every script stand in Unicode ten in a row, from 0. */
function digitOf(digit: string): number {
  let zero = digit.codePointAt(0) as number;
  const code = zero;
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1)) && code - zero < 9) zero--;
  return code - zero;
}

/**
 * How a prompt is put, whatever it is about: lengths, numbers, signs, options, classes of words. Pure.
 *
 * Counts go through a logarithm and shares stay shares, so that no feature of a long prompt dwarfs the others.
 */

import { hashWord } from './hashing.ts';
import { WORD_CLASSES } from './lexicon.ts';
import type { Scan } from './scan.ts';
import { COMMAND, MOST_OPTIONS, NUMBER } from './scan.ts';

const CLASSES = WORD_CLASSES.length;
const ALL = hashWord('all');
const NONE = hashWord('none');
const FUNCTION = 1 << WORD_CLASSES.findIndex(([name]) => name === 'function');

/** In the order in which `shapeOf` writes them. */
export const SHAPES: readonly string[] = [
  'units',
  'words',
  'stemUnits',
  'stemWords',
  'wordLength',
  'longWords',
  'digits',
  'numbers',
  'stemNumbers',
  'largestNumber',
  'decimals',
  'years',
  'capitals',
  'names',
  'foreign',
  'lines',
  'sentences',
  'sentenceLength',
  'questions',
  'asksLast',
  'blank',
  'colonLast',
  'commas',
  'semicolons',
  'quotes',
  'brackets',
  'braces',
  'squares',
  'equals',
  'operators',
  'carets',
  'dollars',
  'percent',
  'commands',
  'mathDollars',
  'underscores',
  'bars',
  'backticks',
  'functionShare',
  'distinctShare',
  'classless',
  'options',
  'optionParen',
  'answer',
  'optionUnits',
  'optionUnitsMin',
  'optionUnitsMax',
  'optionSpread',
  'optionNumeric',
  'optionOverlap',
  'optionStem',
  'allNone',
  'lastQuestionWords',
  'firstNumberAt',
  ...WORD_CLASSES.map(([name]) => `share:${name}`),
  ...WORD_CLASSES.map(([name]) => `asked:${name}`),
];

const optionUnits = new Float64Array(MOST_OPTIONS);
const optionNumbers = new Float64Array(MOST_OPTIONS);
const optionWords = new Float64Array(MOST_OPTIONS);
const optionShared = new Float64Array(MOST_OPTIONS);
const classCounts = new Float64Array(CLASSES);
const askedCounts = new Float64Array(CLASSES);
/** By the lowest bits of a hash: stamps of the stem's and the options' words. */
const STAMPS = 4096;
const stamps = new Int32Array(STAMPS);
const optionStamps = new Int32Array(STAMPS);
let stamp = 0;

const log = (count: number): number => Math.log2(1 + count);

/** @param out as long as `SHAPES` */
export function shapeOf(scan: Scan, out: Float32Array): void {
  stamp += 32;
  const { words, read, signs, options } = scan;
  optionUnits.fill(0);
  optionNumbers.fill(0);
  optionWords.fill(0);
  optionShared.fill(0);
  classCounts.fill(0);
  askedCounts.fill(0);
  let long = 0;
  let letters = 0;
  let numbers = 0;
  let stemNumbers = 0;
  let largest = 0;
  let decimals = 0;
  let years = 0;
  let names = 0;
  let commands = 0;
  let functions = 0;
  let distinct = 0;
  let classless = 0;
  let stemWords = 0;
  let inStem = 0;
  let allNone = 0;
  let firstNumber = 1;
  // The last sentence of the stem is what is asked.
  let askedFrom = 0;
  let plain = 0;
  for (let index = 0; index < words; index++) {
    if (scan.part[index] !== 0) break;
    if (scan.first[index] === 1 && index > 0) {
      // A sentence of one or two words asks nothing by itself.
      if (index < words - 2 && scan.part[index + 2] === 0) askedFrom = index;
    }
    stemWords++;
  }
  for (let index = 0; index < words; index++) {
    const length = (scan.end[index] as number) - (scan.start[index] as number);
    const kind = scan.kind[index] as number;
    const part = scan.part[index] as number;
    const hash = scan.hash[index] as number;
    if (part > 0) optionWords[part - 1] = (optionWords[part - 1] as number) + 1;
    if (kind === NUMBER) {
      numbers++;
      if (part === 0) {
        stemNumbers++;
        if (firstNumber === 1) firstNumber = index / stemWords;
      } else optionNumbers[part - 1] = (optionNumbers[part - 1] as number) + 1;
      if (length > largest) largest = length;
      const start = scan.start[index] as number;
      if (length === 4 && (scan.text.charCodeAt(start) === 49 || scan.text.charCodeAt(start) === 50)) years++;
      for (let at = start; at < start + length; at++) if (scan.text.charCodeAt(at) === 46) decimals++;
      continue;
    }
    if (kind === COMMAND) {
      commands++;
      continue;
    }
    plain++;
    letters += length;
    if (length >= 9) long++;
    if (scan.capital[index] === 1 && scan.first[index] === 0) names++;
    let classes = scan.classes[index] as number;
    if (classes === 0) classless++;
    else if ((classes & FUNCTION) !== 0) functions++;
    const slot = (hash ^ (hash >>> 13)) & (STAMPS - 1);
    if (stamps[slot] !== stamp) {
      stamps[slot] = stamp;
      distinct++;
      if (part > 0) optionStamps[slot] = stamp + part;
    } else if (part > 0 && (classes & FUNCTION) === 0) {
      const seen = (optionStamps[slot] as number) - stamp;
      // Seen in another option, or else in the stem.
      if (seen > 0 && seen !== part) optionShared[part - 1] = (optionShared[part - 1] as number) + 1;
      else if (seen <= 0) inStem++;
    }
    const asked = part === 0 && index >= askedFrom;
    while (classes !== 0) {
      const bit = 31 - Math.clz32(classes);
      classCounts[bit] = (classCounts[bit] as number) + 1;
      if (asked) askedCounts[bit] = (askedCounts[bit] as number) + 1;
      classes ^= 1 << bit;
    }
    if (part > 0 && length <= 4 && (hash === ALL || hash === NONE) && optionWords[part - 1] === 1) allNone++;
  }
  let optionSum = 0;
  let optionMin = options > 0 ? 1e9 : 0;
  let optionMax = 0;
  let numeric = 0;
  let shared = 0;
  let optionWordSum = 0;
  for (let option = 0; option < options; option++) {
    const units = (scan.optionStart[option + 1] as number) - (scan.optionStart[option] as number) - 3;
    optionSum += units;
    optionMin = Math.min(optionMin, units);
    optionMax = Math.max(optionMax, units);
    if ((optionNumbers[option] as number) * 2 >= (optionWords[option] as number)) numeric++;
    shared += optionShared[option] as number;
    optionWordSum += optionWords[option] as number;
  }
  const optionMean = options > 0 ? optionSum / options : 0;
  const sign = (code: number): number => signs[code] as number;
  const last = scan.stemEnd > 0 ? lastSign(scan) : 0;
  const perWord = 1 / Math.max(1, plain);
  let at = 0;
  const put = (value: number): void => {
    out[at++] = value;
  };
  put(log(scan.units));
  put(log(words));
  put(log(scan.stemEnd));
  put(log(stemWords));
  put(letters * perWord);
  put(long * perWord);
  put(scan.digits / Math.max(1, read));
  put(log(numbers));
  put(log(stemNumbers));
  put(largest);
  put(log(decimals));
  put(log(years));
  put(scan.capitals / Math.max(1, scan.letters));
  put(names * perWord);
  put(log(scan.foreign));
  put(log(sign(10) - options));
  put(log(scan.sentences));
  put(stemWords / Math.max(1, scan.sentences));
  put(log(sign(63)));
  put(last === 63 ? 1 : 0);
  put(last === 95 ? 1 : 0);
  put(last === 58 ? 1 : 0);
  put(sign(44) * perWord);
  put(log(sign(59)));
  put(log(sign(34)));
  put(sign(40) * perWord);
  put(log(sign(123)));
  put(log(sign(91)));
  put(log(sign(61)));
  put((sign(43) + sign(42) + sign(47) + sign(60) + sign(62) + sign(45)) * perWord);
  put(log(sign(94)));
  put(log(sign(36)));
  put(log(sign(37)));
  put(log(commands));
  put(sign(36) >= 2 && (commands > 0 || sign(94) > 0 || sign(61) > 0) ? 1 : 0);
  put(log(sign(95)));
  put(log(sign(124)));
  put(log(sign(96)));
  put(functions * perWord);
  put(distinct * perWord);
  put(classless * perWord);
  put(options);
  put(scan.optionSign === 41 ? 1 : 0);
  put(scan.asks ? 1 : 0);
  put(log(optionMean));
  put(log(optionMin));
  put(log(optionMax));
  put(options > 0 ? (optionMax - optionMin) / Math.max(1, optionMean) : 0);
  put(options > 0 ? numeric / options : 0);
  put(shared / Math.max(1, optionWordSum));
  put(inStem / Math.max(1, optionWordSum));
  put(allNone);
  put(log(stemWords - askedFrom));
  put(firstNumber);
  for (let index = 0; index < CLASSES; index++) put((classCounts[index] as number) * perWord);
  const perAsked = 1 / Math.max(4, stemWords - askedFrom);
  for (let index = 0; index < CLASSES; index++) put((askedCounts[index] as number) * perAsked);
}

function lastSign(scan: Scan): number {
  let at = scan.stemEnd - 1;
  while (at > 0 && scan.text.charCodeAt(at) <= 32) at--;
  return scan.text.charCodeAt(at);
}

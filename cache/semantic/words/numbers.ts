/**
 * Numbers in words. Those that are also articles or pronouns (one, ein, un, uno) are left out: "which one" counts
 * nothing. Pure.
 */
const SMALL: Readonly<Record<string, string>> = {
  en: 'zero:0 two:2 three:3 four:4 five:5 six:6 seven:7 eight:8 nine:9 ten:10 eleven:11 twelve:12 thirteen:13 fourteen:14 fifteen:15 sixteen:16 seventeen:17 eighteen:18 nineteen:19 twenty:20 thirty:30 forty:40 fifty:50 sixty:60 seventy:70 eighty:80 ninety:90 dozen:12 half:0.5 twice:2 double:2 triple:3',
  de: 'null:0 zwei:2 drei:3 vier:4 fünf:5 sechs:6 sieben:7 acht:8 neun:9 zehn:10 elf:11 zwölf:12 dreizehn:13 vierzehn:14 fünfzehn:15 sechzehn:16 siebzehn:17 achtzehn:18 neunzehn:19 zwanzig:20 dreißig:30 vierzig:40 fünfzig:50 sechzig:60 siebzig:70 achtzig:80 neunzig:90 dutzend:12 doppelt:2 hundert:100 tausend:1000',
  fr: 'zéro:0 deux:2 trois:3 quatre:4 cinq:5 six:6 sept:7 huit:8 neuf:9 dix:10 onze:11 douze:12 treize:13 quatorze:14 quinze:15 seize:16 vingt:20 trente:30 quarante:40 cinquante:50 soixante:60 cent:100 mille:1000 demi:0.5',
  es: 'cero:0 dos:2 tres:3 cuatro:4 cinco:5 seis:6 siete:7 ocho:8 nueve:9 diez:10 once:11 doce:12 trece:13 catorce:14 quince:15 dieciséis:16 diecisiete:17 dieciocho:18 diecinueve:19 veinte:20 treinta:30 cuarenta:40 cincuenta:50 sesenta:60 setenta:70 ochenta:80 noventa:90 cien:100 ciento:100 mil:1000',
  it: 'due:2 tre:3 quattro:4 cinque:5 sei:6 sette:7 otto:8 nove:9 dieci:10 undici:11 dodici:12 tredici:13 quattordici:14 quindici:15 sedici:16 diciassette:17 diciotto:18 diciannove:19 venti:20 trenta:30 quaranta:40 cinquanta:50 sessanta:60 settanta:70 ottanta:80 novanta:90 cento:100 mille:1000 mila:1000',
  pt: 'dois:2 duas:2 três:3 quatro:4 cinco:5 seis:6 sete:7 oito:8 nove:9 dez:10 onze:11 doze:12 treze:13 catorze:14 quinze:15 dezesseis:16 dezessete:17 dezoito:18 dezenove:19 vinte:20 trinta:30 quarenta:40 cinquenta:50 sessenta:60 setenta:70 oitenta:80 noventa:90 cem:100 cento:100 mil:1000',
  nl: 'nul:0 twee:2 drie:3 vier:4 vijf:5 zes:6 zeven:7 acht:8 negen:9 tien:10 elf:11 twaalf:12 dertien:13 veertien:14 vijftien:15 zestien:16 zeventien:17 achttien:18 negentien:19 twintig:20 dertig:30 veertig:40 vijftig:50 zestig:60 zeventig:70 tachtig:80 negentig:90 honderd:100 duizend:1000',
  ru: 'ноль:0 два:2 две:2 три:3 четыре:4 пять:5 шесть:6 семь:7 восемь:8 девять:9 десять:10 одиннадцать:11 двенадцать:12 двадцать:20 тридцать:30 сорок:40 пятьдесят:50 шестьдесят:60 семьдесят:70 восемьдесят:80 девяносто:90 сто:100 тысяча:1000',
};
const SMALL_NUMBERS: ReadonlyMap<string, ReadonlyMap<string, number>> = new Map(
  Object.entries(SMALL).map(([language, words]) => [
    language,
    new Map(words.split(' ').map((pair): [string, number] => [pair.split(':')[0] as string, Number(pair.split(':')[1])])),
  ]),
);

/** English ones that multiply what stands before them. */
const SCALES: ReadonlyMap<string, number> = new Map([
  ['hundred', 100],
  ['thousand', 1e3],
  ['million', 1e6],
  ['billion', 1e9],
  ['trillion', 1e12],
]);

const ORDINALS: ReadonlyMap<string, number> = new Map(
  'first:1 second:2 third:3 fourth:4 fifth:5 sixth:6 seventh:7 eighth:8 ninth:9 tenth:10 eleventh:11 twelfth:12 thirteenth:13 fourteenth:14 fifteenth:15 sixteenth:16 seventeenth:17 eighteenth:18 nineteenth:19 twentieth:20 erste:1 ersten:1 erster:1 zweite:2 zweiten:2 zweiter:2 dritte:3 dritten:3 vierte:4 vierten:4 fünfte:5 premier:1 première:1 deuxième:2 troisième:3 quatrième:4 cinquième:5 primero:1 primera:1 segundo:2 segunda:2 tercero:3 tercera:3 cuarto:4 quinto:5'
    .split(' ')
    .map((pair): [string, number] => [pair.split(':')[0] as string, Number(pair.split(':')[1])]),
);

const GERMAN_ONES = 'ein zwei drei vier fünf sechs sieben acht neun'.split(' ');
const GERMAN_COMPOUND = new RegExp(`^(${GERMAN_ONES.join('|')})und(\\p{L}+zig|dreißig)$`, 'u');

const SECONDS_AFTER = new Set(['per', 'a', 'every', 'each', 'one']);

export interface WordNumber {
  readonly value: number;
  readonly ordinal: boolean;
  /** Of the words it was made of. */
  readonly words: number;
}

/** The number that begins with a word, if one does. @param words in lower case */
export function numberInWords(words: readonly string[], at: number, language: string): WordNumber | undefined {
  const word = words[at] as string;
  const ordinal = ORDINALS.get(word);
  // "Per second" is a unit.
  if (ordinal !== undefined && !(word === 'second' && SECONDS_AFTER.has(words[at - 1] ?? ''))) {
    return { value: ordinal, ordinal: true, words: 1 };
  }
  const small = SMALL_NUMBERS.get(language) ?? SMALL_NUMBERS.get('en');
  if (language === 'de') {
    const compound = GERMAN_COMPOUND.exec(word);
    const tens = compound && small?.get(compound[2] as string);
    if (tens) return { value: tens + GERMAN_ONES.indexOf(compound[1] as string) + 1, ordinal: false, words: 1 };
  }
  if (language !== 'en' && language !== 'und') {
    const value = small?.get(word);
    return value === undefined ? undefined : { value, ordinal: false, words: 1 };
  }
  return englishNumber(words, at, small ?? new Map());
}

function englishNumber(words: readonly string[], at: number, small: ReadonlyMap<string, number>): WordNumber | undefined {
  let total = 0;
  let group: number | undefined;
  let end = at;
  for (; end < words.length; end++) {
    const word = words[end] as string;
    const value = word === 'one' && group !== undefined ? 1 : small.get(word);
    const scale = SCALES.get(word);
    if (
      value !== undefined &&
      (group === undefined || (group % 100 >= 20 && group % 10 === 0 && value < 10) || group % 100 === 0)
    )
      group = (group ?? 0) + value;
    else if (scale === 100) group = (group ?? 1) * 100;
    else if (scale !== undefined) {
      total += (group ?? 1) * scale;
      group = undefined;
    } else if (!(word === 'and' && (group ?? 0) % 100 === 0 && end > at && small.has(words[end + 1] ?? ''))) break;
  }
  return end === at ? undefined : { value: total + (group ?? 0), ordinal: false, words: end - at };
}

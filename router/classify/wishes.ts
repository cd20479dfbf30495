/**
 * How a task is asked for, in English and in the commonest words of German, French, Spanish, Italian and Portuguese. Pure.
 *
 * All is written for lower-case text without accents. A wish is an order where a sentence, a clause or a polite phrase
 * begins, so that a text about translating is not taken for the wish to translate. Gaps are bounded, so every rule takes
 * steps in proportion to the text.
 */
import type { Task } from './classification.ts';

/** `making` leaves it to what is to be made, `asking` to what is asked about. */
type Wished = Task | 'making' | 'asking';

/** Verbs that are a wish by themselves. */
const VERBS: Readonly<Partial<Record<Wished, string>>> = {
  translation: 'translate traduis traduisez traduce traducid traduzca traduzcame traducime traduci traduz traduza',
  summary: 'summarize summarise condense riassumi riassumimi riassumete',
  rewriting: `rewrite rephrase reword paraphrase proofread polish shorten korrigier korrigiere verbesser verbessere umschreibe kurz
    kurze kurzer reformule reformulez reecris corrige corrigez ameliore ameliorez raccourcis reescribe reformula mejora acorta riscrivi
    riformula correggi migliora accorcia reescreva reescreve corrija melhore encurte`,
  extraction: `extract parse extrahier extrahiere extrahieren extrais extrayez extrae extraiga extraeme estrai estraete extraia extrai`,
  classification: `classify categorize categorise klassifiziere klassifizier kategorisiere classifie classifiez categorise categorisez
    clasifica clasifique categoriza classifica classifique categorizza`,
  reasoning: `analyze analyse compare contrast argue assess critique deduce infer justify debate weigh analysiere vergleiche bewerte
    begrunde analysez comparez analiza compara analizza confronta`,
  code: 'debug refactor implement implementiere implemente implementez implementa',
  making: `tell write invent give read create generate draft compose build develop design code program fix optimize optimise review
    explain complete test document convert port improve schreib schreibe erzahl erzahle erfinde erstell erstelle programmiere
    entwickle generiere verfasse erklar erklare optimiere ecris ecrivez raconte racontez invente inventez cree creez genere generez
    redige redigez programme explique expliquez escribe escribeme escriba cuenta cuentame inventa crea genera redacta programa
    explica scrivi scrivimi racconta raccontami spiega spiegami escreva escreve conte conta crie gere redija programe`,
};

const LANGUAGE = oneOf(
  'english|french|german|spanish|italian|portuguese|dutch|polish|russian|chinese|japanese|korean|arabic|turkish|latin|hindi',
  'englisch|franzosisch|deutsch|spanisch|italienisch|portugiesisch|russisch|chinesisch|japanisch|turkisch|polnisch',
  'anglais|francais|allemand|espagnol|italien|portugais|russe|chinois|japonais',
  'ingles|frances|aleman|espanol|italiano|portugues|ruso|chino|japones',
  'inglese|francese|tedesco|spagnolo|portoghese|russo|cinese|giapponese',
  'alemao|espanhol|chines',
);
const MORE_LIKE =
  '(?:shorter|longer|simpler|clearer|friendlier|better|(?:more|less) (?:formal|polite|concise|casual|friendly|professional|readable))';

/** Wishes that take more than a word: the task, the words it may begin with, and what follows them. */
const PHRASES: readonly (readonly [Wished, string, string])[] = [
  ['translation', 'how', ' (?:do|would) (?:you|i|we) say\\b'],
  ['translation', 'wie comment como come', '(?: sagt man| dit-on| se di(?:ce|z)| si dice)\\b'],
  ['translation', 'in into to auf ins en em', ` ${LANGUAGE}[ ?.!]{0,4}$`],
  [
    'translation',
    'and now und et y e jetzt maintenant ahora adesso agora',
    ` (?:in|into|to|auf|ins|en|em|para o) ${LANGUAGE}[ ?.!]{0,4}$`,
  ],
  ['summary', 'sum', ' (?:it|this|that|up)\\b'],
  ['summary', 'tl', ';?dr\\b'],
  ['summary', 'tldr', '\\b'],
  ['summary', 'give', '\\b.{0,20}\\b(?:summary|gist)\\b'],
  ['summary', 'fass fasse fasst', '\\b.{0,80}\\bzusammen\\b'],
  [
    'summary',
    'resume resumez resumer resuma resumir resumid',
    "[ -](?:le|la|les|el|los|las|lo|o|os|as|este|esta|esto|isto|esse|essa|ce|cet|cette|ca|cela|moi)\\b|[ -]l'",
  ],
  ['summary', 'fais faites haz haga dame faca faz fai fammi', '\\b.{0,20}\\b(?:resume|resumen|resumo|riassunto)\\b'],
  ['rewriting', 'edit improve correct simplify', ' (?:this|the|my|these|it)\\b'],
  ['rewriting', 'fix', ' (?:the |my |this |all )?(?:grammar|spelling|typos|text|wording|punctuation)\\b'],
  [
    'rewriting',
    'make',
    ` (?:it|this|that|them|the \\w{1,20}|my \\w{1,20}) (?:a bit |a little |much |even )?(?:sound )?${MORE_LIKE}\\b`,
  ],
  ['rewriting', 'shorter longer simpler', '(?:,? (?:please|again|version))?[ ?.!]{0,4}$'],
  ['rewriting', 'more less a even much', `(?: bit| little)? ?${oneOf(MORE_LIKE, 'formal|polite|concise|casual')}[ ?.!]{0,4}$`],
  ['rewriting', 'formulier formuliere', '\\b.{0,80}\\bum\\b'],
  ['rewriting', 'plus mas piu mais', ' (?:court|courte|corto|breve|curto|formal|formale|formel)\\b'],
  ['extraction', 'pull', ' out\\b'],
  [
    'extraction',
    'list find name give',
    '(?: me)? (?:all|every|the)\\b[^.?!\\n]{0,50}\\b(?:mentioned|named|in (?:the|this) (?:text|document|article|email|passage|contract)|from (?:the|this|it))\\b',
  ],
  ['extraction', 'identify', ' (?:all |the |every )?(?:named )?entities\\b'],
  ['extraction', 'fill', ' (?:in|out) (?:the|this)\\b'],
  ['classification', 'label tag', ' (?:the|this|these|each|it)\\b'],
  ['classification', 'what determine detect give tell', '(?: is| me)? the (?:sentiment|category|tone)\\b'],
  ['classification', 'is', ' (?:this|it|the following)\\b.{0,30}\\b(?:positive|negative|spam|toxic|sarcastic)\\b'],
  [
    'classification',
    'decide determine say tell',
    '(?: me)? (?:whether|if) (?:the following|this|the) (?:text|review|tweet|sentence|comment|message|e-?mail)\\b',
  ],
  ['making', 'make', ' up\\b'],
  ['making', 'i', "(?: want| need| would like|'d like)\\b"],
  ['asking', 'what why', ' does\\b'],
  ['asking', 'how', ' (?:do|can|would) (?:i|you|we)\\b'],
];

interface Rule {
  readonly task: Wished;
  /** Of what follows the word. */
  readonly rest: RegExp | undefined;
}

/** By the word they begin with; those that say more stand first. */
const RULES = rules();

function rules(): ReadonlyMap<string, readonly Rule[]> {
  const all = new Map<string, Rule[]>();
  const put = (firsts: string, rule: Rule) => {
    for (const first of firsts.split(/\s+/)) all.set(first, [...(all.get(first) ?? []), rule]);
  };
  for (const [task, firsts, rest] of PHRASES) put(firsts, { task, rest: new RegExp(rest, 'y') });
  for (const [task, verbs] of Object.entries(VERBS)) put(verbs, { task: task as Wished, rest: undefined });
  return all;
}

/** Marks the first two letters and the length of every such word, so that most others cost no look-up. */
const MAY_BE_ONE = new Uint8Array(32 * 32 * 16);
for (const word of RULES.keys()) MAY_BE_ONE[outlineOf(word, 0, word.length)] = 1;

/** Of the lower-case word from `start` to `end`. */
function outlineOf(seen: string, start: number, end: number): number {
  const second = end - start > 1 ? seen.charCodeAt(start + 1) & 31 : 0;
  return ((((seen.charCodeAt(start) & 31) << 5) | second) << 4) | Math.min(end - start, 15);
}

/** What stands right before an order: the beginning of a sentence or clause, or words that ask for something. */
const BEGINNING = new RegExp(
  `(?<=${oneOf(
    '^\\s{0,9}',
    '[\\n.!?:;,(>]\\s{0,4}',
    `\\b${oneOf(
      'please|kindly|just|then|now|and|also|first|next|finally|help me|let us|you to|me to|want to|need to|(?:task|job|goal) is to',
      '(?:can|could|would|will) you',
      'bitte|mir|und|dann|jetzt|(?:kannst|konntest|wurdest) du|(?:konnen|konnten) sie',
      "et|puis|maintenant|(?:peux|pourrais)[ -]tu|(?:pouvez|pourriez)[ -]vous|s'il (?:te|vous) plait|stp|svp",
      'por favor|y|ahora|puedes|podrias|puede|podria',
      'per favore|ora|adesso|puoi|potresti|puo|potrebbe',
      'agora|pode|poderia',
    )}\\s{1,4}`,
  )})`,
  'y',
);

/** Words that are a wish anywhere, most of them at its end, where the language puts its verbs there. */
const ANYWHERE: readonly (readonly [Task, RegExp])[] = [
  ['translation', /\b(?:ubersetz(?:en|e|t|ung)?|traduire|traducir|traduzir|tradurre)\b/],
  ['summary', /\b(?:zusammenfass(?:en|ung)|zusammenzufassen|riassumere)\b/],
  ['rewriting', /\b(?:umformulieren|umzuformulieren|korrigieren|reformuler|reescribir|riscrivere|reescrever)\b/],
  ['extraction', /\b(?:extrahieren|extraire|extraer|estrarre|extrair)\b/],
  ['classification', /\b(?:klassifizieren|clasificar|classificare|classificar)\b/],
];

export interface Wish {
  readonly task: Wished;
  /** Where its words begin and end. */
  readonly start: number;
  readonly end: number;
}

/** Every wish in the text, as they come. */
export function* wishes(seen: string): Generator<Wish> {
  for (let start = 0, end = 0; start < seen.length; start = end + 1) {
    end = start;
    while (isLetter(seen.charCodeAt(end))) end++;
    if (end === start || MAY_BE_ONE[outlineOf(seen, start, end)] === 0) continue;
    const rule = RULES.get(seen.slice(start, end))?.find(({ rest }) => rest === undefined || matchesAt(rest, seen, end));
    if (rule && matchesAt(BEGINNING, seen, start)) yield { task: rule.task, start, end };
  }
}

/** Of the end of a text, NaN, which is no letter. */
const isLetter = (code: number) => code >= 97 && code <= 122;

function matchesAt(sticky: RegExp, seen: string, at: number): boolean {
  sticky.lastIndex = at;
  return sticky.test(seen);
}

/** The wish that stands somewhere else than where orders begin. */
export function lateWish(seen: string): Task | undefined {
  return ANYWHERE.find(([, verb]) => verb.test(seen))?.[0];
}

function oneOf(...patterns: readonly string[]): string {
  return `(?:${patterns.join('|')})`;
}

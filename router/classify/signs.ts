/**
 * What a text shows of its task without saying it: code, formulas, lettered options, a question. Pure. Written for
 * lower-case text without accents; gaps are bounded, so every rule takes steps in proportion to the text.
 */
import type { Task } from './classification.ts';

const oneOf = (...patterns: readonly string[]) => `(?:${patterns.join('|')})`;

/** What is written in a programming language, or only means something there. */
const CODE_THING = oneOf(
  '(?:function|script|subroutine|source code|code(?! of\\b)|api|endpoint|algorithm|unit tests?|regex|regular expression|sql|query|queries|stored procedure|docker ?file|make ?file|web ?page|website|parser|compiler|data ?structure)',
  '(?<!(?:training|workout|exercise|fitness|loyalty|tv|study|degree|school) )program',
  '(?:java|python|type|c) class|class (?:in|for|that|called|named)',
  '(?:python|javascript|typescript|java|rust|golang|kotlin|swift|php|perl|haskell|html|css|bash|powershell|react|django|numpy|pandas|c\\+\\+|c#|matlab)',
  '(?:funktion|skript|quelltext|klasse|fonction|fonctions|classe|requete|funcion|codigo|consulta|funzione|codice|funcao|programm)',
);
export const CODE_OBJECT = new RegExp(`\\b${CODE_THING}(?!\\w)`);

/** What is to be made or told, by what stands within a few words of the verb. */
export const OBJECTS: readonly (readonly [Task, RegExp])[] = [
  [
    'story',
    new RegExp(
      `\\b${oneOf('(?:story|tale|fairy ?tale)', '(?:geschichte|marchen)', '(?:un|una|une|uma|unas) (?:\\w{1,20} ){0,2}(?:histoire|conte|cuento|historia|storia|favola|fiaba|racconto|conto)')}\\b`,
    ),
  ],
  ['summary', /\b(?:summary|abstract|zusammenfassung|resumen|riassunto|resumo)\b/],
  ['translation', /\b(?:translation|ubersetzung|traduction|traduccion|traduzione|traducao)\b/],
  ['code', CODE_OBJECT],
];

export const STORY_OPENING =
  /^\s{0,9}(?:once upon a time|one day,?\s|there (?:once )?(?:was|lived) an? |es war einmal|il etait une fois|habia una vez|c'era una volta|era uma vez)/;

/** Marks of a programming language, of its errors, and of a fence around it. */
export const CODE_SIGNS = new RegExp(
  oneOf(
    '```',
    '\\bdef \\w{1,60}\\(',
    '\\bfunction \\w{1,60} ?\\(',
    '\\bfunction ?\\(',
    '\\bfn \\w{1,60}[(<]',
    '#include ?[<"]',
    '\\bfrom [\\w.]{1,40} import\\b',
    '(?:^|\\n)import [\\w.{]{1,40}',
    '\\bpublic (?:static|class|void|final)\\b',
    '\\b(?:const|let|var) \\w{1,40} ?=',
    '=> ?\\{',
    'console\\.log|system\\.out|std::|printf\\(|\\bself\\.\\w',
    '\\bselect [^;\\n]{1,60} from \\w',
    '</(?:div|html|body|script|head|p)>',
    'traceback \\(most recent call|exception in thread|segmentation fault|nullpointer|syntaxerror|typeerror|npm err!',
    '(?:^|\\n)\\$ \\w|\\bgit (?:commit|push|pull|rebase|merge|checkout|diff)\\b',
  ),
);

/** Says by itself that something is to be calculated or proved. */
export const MATHS_SIGNS = new RegExp(
  oneOf(
    '\\\\(?:frac|sqrt|sum|int|lim|boxed|cdot|angle|mathbb|equiv|pmod|binom|log|sin|cos)\\b',
    '\\$[^$\\n]{0,40}[\\\\^_=+]',
    '\\d ?[+*×÷^] ?\\d',
    '\\d ?[-/x] ?\\d[\\d ]{0,9} ?= ?(?:\\?|$)',
    '\\b\\d{0,6}[a-z](?:\\^\\d|²) ?[-+=]',
    '\\b(?:solve for|derivative of|integral of|prove that|show that \\w{1,3} ?[=<>]|square root of|greatest common divisor|least common multiple)\\b',
  ),
);
/** Asks for a number, which is maths where numbers are given. */
export const MATHS_QUESTION = new RegExp(
  `\\b${oneOf(
    'how (?:many|much|old|long|far|tall|fast|heavy)|solve|prove|compute|calculate|evaluate|simplify|factori?[sz]?e?|find (?:the|all|an?)|determine|estimate',
    'what (?:is|was|are|will be|would be) (?:the|his|her|its|their|\\d)|what (?:percent|fraction|number|time)|probability|average|total',
    'wie (?:viele?|alt|lange|weit)|berechne|lose|beweise|combien|calcule[rz]?|resous|demontre[rz]?',
    'cuant[oa]s?|calcula|resuelve|demuestra|quant[oaie]s?|calcola|risolvi|dimostra|calcule|resolva|demonstre',
  )}\\b`,
);
/** Numbers in digits, and those that stand as words in sums. */
export const NUMBERS =
  /\d+(?:[.,]\d+)*|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|fifty|hundred|dozens?|half|third|quarter|twice|double|triple)\b/g;

export const REASONING_SIGNS =
  /\b(?:step[- ]by[- ]step|think (?:carefully|hard|through)|trade-?offs?|pros and cons|riddle|logic(?:al)? puzzle|brain ?teaser|syllogism|what (?:would|could) happen if|explain why|root cause|schritt fur schritt|vor- und nachteile|etape par etape|avantages et inconvenients|paso a paso|ventajas y desventajas|passo (?:dopo|a) passo|pro e contro|pros e contras)\b/;

/** A form to be filled from what is given. */
export const FORM_SIGNS = /\b(?:as|in|valid|to) json\b|\bjson (?:object|format|array)\b/;

export const QUESTION_SIGNS = new RegExp(
  oneOf(
    '[?？؟][\\s"\')*]{0,9}$',
    `${oneOf('^\\s{0,9}', '[\\n.!?:] {0,3}')}${oneOf(
      '(?:what|who|whom|whose|when|where|why|which|how|is|are|was|were|does|do|did|can|could|should|has|have)',
      '(?:was|wer|wen|wem|wann|wo|warum|wieso|welche[rsnm]?|wie|ist|sind|gibt es)',
      "(?:qu'est-ce|est-ce|que|qui|quand|ou|pourquoi|quel(?:le)?s?|comment|combien)",
      '(?:quien|cuando|donde|por que|cual(?:es)?|como|cuant[oa]s?)',
      '(?:chi|cosa|che cosa|quando|dove|perche|quale|quali|come|quant[oaie])',
      '(?:quem|onde|qual|quais|o que)',
    )}\\b`,
  ),
);

/** Lines or marks that offer answers: A. B) (C) d: ... */
export const OPTION_LINE = /(?:^|\n)[ \t]{0,4}\(?([a-j])[).:][ \t]/g;
export const OPTION_INLINE = /[\s:?]\(?([a-j])\)[ \t]/g;
export const CHOICE_ORDER =
  /\b(?:multiple[- ]choice|(?:choose|select|pick) (?:the |one )?(?:correct|best|right|most appropriate|one of the following)|answer (?:only )?with (?:a, b|the letter|only the letter|one letter))\b/;

/**
 * Whether a turn leans on those before it: short, and begun with a connective, pointing back with a pronoun, or made of
 * nothing but words that say how to go on. Pure. In English and the commonest words of ten other languages.
 */
import { plain } from './plain.ts';

/** What is longer says what it is about. In UTF-16 units. */
const LONGEST = 240;
/** In words: up to so many, a pronoun's antecedent is not likely in the same turn. */
const FEW = 10;
const VERY_FEW = 5;
/** A pronoun further from the start, in UTF-16 units, is likely to have its antecedent before it. */
const NEAR_START = 30;

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** These open a turn that goes on, however it goes on. */
const CONNECTIVES =
  /^(?:and|but|or|what about|how about|same|what if|und|aber|oder|was ist mit|wie ware es mit|et|mais|ou|qu'en est-il|et si|y|pero|o|que tal|que hay de|e|ma|che ne dici|mas|и|а|но|или)\s/;
/** These open a turn that goes on when it is very short; longer ones may just begin something new. */
const WEAK_CONNECTIVES =
  /^(?:now|so|then|next|ok|okay|yes|yeah|no|nope|sure|also|instead|rather|jetzt|nun|dann|ja|nein|gut|maintenant|alors|donc|oui|non|d'accord|ahora|entonces|si|vale|adesso|ora|allora|poi|va bene|agora|entao|sim|nao|теперь|да|нет|ладно)\b/;

/** Pointing back at something said: the object of a short order, or the subject of a short question. */
const POINTING = new RegExp(
  `(?:^|[\\s'-])(?:${[
    "(?:it|them|its)(?= |$|')",
    '(?:this|that|these|those)(?=$| (?:in|into|to|for|with|as|again|more|please|mean|means|work|works|better|correct|right|wrong|true|instead|one|too|now|function|code|error|text|sentence|paragraph|part|answer|result|line|file)\\b)',
    '(?:the|your) (?:first|second|third|fourth|last|other|previous|next|same|above|former|latter)(?=$| (?:one|ones|two|part|point|option|example|paragraph|sentence|step|version|answer|question|function|line|solution|test|file|item)s?\\b)',
    'the (?:document|text|article|e-?mail|file|code|report|paper|contract|table|data|function|script|essay|story|poem|list|diff|error|output|result|answer|summary|translation|paragraph|sentence|tests?|changes?)\\b(?! of\\b)(?! (?:between|behind|about)\\b)',
    "you(?:'ve| have)? (?:just )?(?:said|wrote|mentioned|gave|suggested|made)|your (?:code|answer|solution|suggestion|reply|example)|do the same",
    '(?:davon|dazu|damit|dasselbe|dieselbe[nr]?)(?=$| )|(?:es|das|dies|den text|den code)(?=$| (?:auf|in|ins|bitte|noch|nochmal|genauer|mal|fur|kurzer|anders|zusammen)\\b)|(?:den|die|das) (?:ersten?|zweiten?|dritten?|letzten?|anderen?)(?=$)',
    '(?:ca|cela|ceci|celui-ci|celle-ci)(?=$| )|la meme chose|(?:le|la|les) (?:premiere?|deuxieme|seconde?|derniere?|autres?)(?=$)|(?<=-)(?:le|la|les)(?=$| )',
    '(?:eso|esto|isso|isto|quello|questo)(?=$| )|lo mismo|lo stesso|o mesmo|(?:el|la|il|o|a) (?:primer[oa]|segund[oa]|prim[oa]|second[oa]|primeir[oa]|ultim[oa]|otr[oa]|altr[oa]|outr[oa])(?=$)',
    '(?:это|этот|эту|его|ее|их|то же самое)(?=$| )',
  ].join('|')})`,
);
/** "It" that points at nothing, and "that" that opens a clause. */
const EMPTY_PRONOUN =
  /\b(?:is it \S+ (?:to|that|for|if)|it (?:is|was) \S+ (?:to|that)|what time is it|does it (?:rain|snow|cost to)|is it (?:going to )?rain|how long does it take|gibt es|geht es|wie spat ist es|(?:prove|show|given|assume|suppose|such) that)\b/;
/** Object pronouns that Spanish and Italian hang on an order: traducelo, riassumilo. */
const HANGING_PRONOUN =
  /^(?:ahora |adesso |ora |y |e )?[a-z]{1,12}[aeirz](?:lo|la|los|las|li|le)(?= (?:mas|menos|piu|meno|en|in|al|otra|de nuevo|por favor|per)\b|$)/;

const POLITELY = /^(?:(?:please|bitte|now|just|can you|could you|can we|let's|you can) ){1,3}/;
/** Orders to change what is there; with a number or a quotation they bring their own matter. */
const EDITING =
  /^(?:add|remove|delete|rename|undo|revert|include|exclude|drop|skip|keep|reformat|refactor|simplify|shorten|expand|elaborate|commit|push|merge|retry|rerun|clarify|fuge|entferne|losche|benenne|ajoute|supprime|enleve|renomme|anade|agrega|elimina|quita|aggiungi|togli|rimuovi|adicione|remova)\b/;
/** Said at the end of a short turn, it replaces or joins what is there: "use tabs instead". */
const ENDS_SO =
  /\s(?:instead|too|as well|again|anymore|more|stattdessen|auch|nochmal|plutot|aussi|tambien|otra vez|mejor|invece|anche|tambem)$/;
const BRINGS_MATTER = /[\d"“”„«»`{}\n]|: ?\S/;

/** How or in what the answer is wanted, without saying of what: "in Rust", "with examples", "as a table". */
const MANNER =
  /^(?:in|into|with|without|as|for|using|like|auf|ins|mit|ohne|als|fur|en|avec|sans|comme|pour|con|sin|como|para|senza|come|per|com|sem|na|no|em|на)\s/;
const ASKS =
  /\b(?:who|what|when|where|which|how|wer|was|wann|wo|wie|qui|quoi|quand|quel|quelle|quien|cual|cuando|donde|chi|quando|dove|quale|quem|qual|onde)\b/;

/** A turn of nothing but these goes on with what was there. */
const GOING_ON = words(`
  why how what so and or but really more less much even bit little a an the please again go on ahead continue next further
  keep going shorter longer simpler simple brief briefer formal informal detailed detail details example examples another
  other others one ones some any few give show me tell us do did does done try redo retry yes no ok okay sure right wrong exactly
  commit push run test fix check stop start finish explain elaborate clarify summarize summarise translate rephrase rewrite repeat
  expand shorten in to as of with by for you i is are was it that this mean sure can could would like now then also too
  bullet points list table json steps different differently better worse faster slower otherwise instead idea ideas
  understand don't not get else wait hmm huh lol correct good sources source proof
  warum wieso weshalb wie weiter mehr weniger kurzer langer einfacher genauer bitte nochmal noch mal einmal erklare ein eine
  beispiel beispiele los mach ja nein und oder sicher bist du dir anders besser
  pourquoi comment encore plus moins court courte long longue simple s'il te vous plait stp continue continuez vas-y oui non
  exemple exemples un une autre autrement mieux et de details precis
  por que como mas menos corto corta largo sigue continua favor otra otro vez ejemplo ejemplos y si no detalles mejor un una
  perche come ancora piu meno breve corto lungo continua prosegui favore altro altra volta esempio esempi e si dettagli meglio
  porque mais curto longo continue novo exemplo exemplos sim nao detalhes melhor de
  почему как ещё еще дальше продолжаи продолжи подробнее короче пожалуиста пример а и да нет
  devam neden daha kisa lutfen dalej dlaczego krocej prosze ga door waarom korter graag
`);

/** Without blanks between words, by the words that point back or go on. */
const EASTERN = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/;
const EASTERN_GOING_ON =
  /继续|短一点|長一點|短一點|长一点|接着|再|更(?:短|长|简|详)|它|这个|那个|上面|为什么|呢[?？]?$|换成|然后|繼續|為什麼|もっと|続け|続き|それ|これ|なぜ|どうして|では|もう一度|次|短く|계속|그럼|왜|请用|請用|改成|改為|换|換|더 |다시|그것|이것|그거|이거|짧게/;
const EASTERN_LONGEST = 16;

/** What ends or opens a talk is about nothing before it. */
const COURTESY =
  /^(?:(?:ok|okay|great|perfect|cool|nice|wow|super)[,.! ]{1,3})?(?:thanks?(?: you)?(?: (?:so|very) much| a lot)?|thx|cheers|hi|hello|hey|bye|goodbye|good (?:morning|evening|night)|danke(?: schon| dir)?|hallo|tschuss|merci(?: beaucoup)?|bonjour|salut|muchas gracias|gracias|hola|adios|grazie(?: mille)?|ciao|obrigad[oa]|ola|спасибо|привет)(?=$|[\s,.!])[\s,.!]{0,4}/;

/** Takes time in proportion to the turn, which is bounded: a long one is known by its length. */
export function leans(turn: string): boolean {
  if (turn.length > LONGEST) return false;
  const raw = turn.trim();
  if (EASTERN.test(raw)) return raw.length <= EASTERN_LONGEST && EASTERN_GOING_ON.test(raw);
  const all = plain(raw);
  const said = all.replace(COURTESY, '');
  const list = said.match(WORD) ?? [];
  if (list.length === 0) return all !== '' && said === all;
  return list.length <= FEW && (goesOn(list) || opensSo(said, list.length) || pointsBack(said) || changes(said, list.length));
}

const WORD = /[\p{L}\p{N}'-]+/gu;

/** "Three more" has no matter of its own; nor has "3 more". */
const SMALL_NUMBER = /^\d{1,2}$/;
const goesOn = (list: readonly string[]) =>
  list.length <= VERY_FEW + 1 && list.every((word) => GOING_ON.has(word) || SMALL_NUMBER.test(word));

function opensSo(said: string, count: number): boolean {
  if (BRINGS_MATTER.test(said)) return false;
  if (CONNECTIVES.test(said)) return true;
  if (count > VERY_FEW) return false;
  return (WEAK_CONNECTIVES.test(said) || MANNER.test(said)) && !ASKS.test(said);
}

function pointsBack(said: string): boolean {
  if (BRINGS_MATTER.test(said) || EMPTY_PRONOUN.test(said)) return false;
  const bare = said.replace(/[\s.!?¿¡,]+$/, '');
  const at = bare.search(POINTING);
  return (at >= 0 && at <= NEAR_START) || HANGING_PRONOUN.test(bare);
}

function changes(said: string, count: number): boolean {
  if (count > VERY_FEW + 2 || BRINGS_MATTER.test(said)) return false;
  const order = said.replace(POLITELY, '').replace(/[\s.!?¿¡,]+$/, '');
  const length = order.split(' ').length;
  return (length <= VERY_FEW && EDITING.test(order)) || (!said.includes('?') && !ASKS.test(said) && ENDS_SO.test(order));
}

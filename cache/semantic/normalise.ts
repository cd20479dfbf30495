/**
 * A prompt as it is compared with others: one form for each character, one space between words, and without the
 * courtesies around what is asked. Case stays, for names are told by it. Pure.
 */

/** UTF-16 units. What is longer has more to say than one vector and a list of facts can hold. */
export const MOST_UNITS = 600;
/** Of a prompt whose line breaks are only those of a paragraph; what has more is laid out, and its layout may matter. */
const MOST_LINES = 3;

/** Said around a question in any order; what follows them is the question. */
const OPENINGS = [
  /^(?:hi|hello|hey|hallo|bonjour|salut|hola|ciao|olá|good (?:morning|afternoon|evening))(?: there| everyone)?[,.! ]\s*/i,
  /^(?:please|pls|kindly|bitte|s'il vous plaît|s'il te plaît|por favor|per favore|per piacere|alsjeblieft),?\s+/i,
  /^(?:can|could|would|will) you (?:please |kindly )?(?:(?:tell|explain to|show|give) me(?: about)? (?=(?:who|what|when|where|why|how|which|whether)\b)|(?=(?:explain|describe|list|summari[sz]e|translate|define|write|recommend|suggest|compare)\b))/i,
  /^(?:please )?(?:tell me|let me know|do you know|i(?:'d| would) like to know|i want to know|i(?:'m| am) wondering|i wonder|any idea),? (?=(?:who|what|when|where|why|how|which)\b)/i,
  /^(?:kannst|könntest) du mir (?:bitte )?(?:sagen|erklären),? /i,
  /^(?:können|könnten) sie mir (?:bitte )?(?:sagen|erklären),? /i,
  /^(?:peux-tu|pouvez-vous|pourrais-tu|pourriez-vous) me dire /i,
  /^(?:me )?(?:puedes|podrías|puede) decir(?:me)? /i,
];
const CLOSINGS =
  /[,;.!? ]+(?:please|pls|thanks?(?: you)?(?: (?:so much|very much|a lot|in advance))?|bitte|danke|merci(?: d'avance)?|s'il vous plaît|gracias|por favor|grazie|obrigad[oa]|dank je)[.!? ]*$/i;

/** @returns undefined for what is not to be compared: nothing, too long, code, or laid out in lines */
export function normalised(text: string): string | undefined {
  if (text.length > MOST_UNITS || text.includes('```')) return undefined;
  if (text.trim().split(/\r\n|\r|\n/).length > MOST_LINES) return undefined;
  const whole = text
    .normalize('NFKC')
    .replace(/[’‘ʼ]/g, "'")
    .replace(/[\p{Cc}\p{Zs}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/\p{Cf}/gu, '')
    .trim();
  const bare = withoutCourtesies(whole);
  return bare.length === 0 || bare.length > MOST_UNITS ? undefined : bare;
}

function withoutCourtesies(whole: string): string {
  let bare = whole;
  for (let before = ''; before !== bare; ) {
    before = bare;
    for (const opening of OPENINGS) bare = bare.replace(opening, '');
    bare = bare.replace(CLOSINGS, (closing) => (closing.includes('?') ? '?' : ''));
  }
  return bare.trim() === '' ? whole : bare.trim();
}

/** What is embedded: case and the sign at the end say little, and move vectors much. @param text normalised */
export function embeddable(text: string): string {
  return text.toLowerCase().replace(/[\s.?!。？！]+$/u, '') || text;
}

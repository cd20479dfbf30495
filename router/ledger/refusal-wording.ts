/**
 * Whether an answer says that it will not or cannot answer. Pure: a rule on how it begins, in the languages that the
 * bundled models are asked in most. It errs towards no: an answer that goes on at length is one, whatever it begins with.
 */

/** Where refusals say so, in UTF-16 units. */
const HEAD = 240;
/** A refusal gives its reason and stops. */
const LONGEST = 1200;

/** What of: to help, to answer, to comply and the like. Only then is "I cannot" about the answer. */
const REFUSALS: readonly RegExp[] = [
  // English
  /\b(?:i(?:'m| am)|we(?:'re| are)) (?:(?:very |so |really |truly )?sorry|afraid|unable|not able|not comfortable|not allowed|not permitted)\b[^.!?]{0,40}\b(?:but|i|we|can(?:no|')t|unable|help|assist|answer|provide|comply|discuss|do|that|to)\b/,
  /\b(?:i|we) (?:can(?:no|')t|can not|won't|will not|must decline|have to decline|am unable to|refuse to)[^.!?]{0,30}\b(?:help|assist|answer|provide|comply|fulfil|fulfill|support|discuss|engage|generate|create|write|share|do that|do this)\b/,
  /\bas an? (?:ai|artificial intelligence|language model|large language model|assistant)\b[^.!?]{0,60}\b(?:can(?:no|')t|can not|unable|not able|won't|do not|don't)\b/,
  /\b(?:that|this) (?:request|question) (?:violates|goes against|is against)\b/,
  // German
  /\b(?:ich|wir) (?:kann|können|darf|dürfen|werde|möchte)\b[^.!?]{0,60}\b(?:nicht|keine?n?)\b[^.!?]{0,40}\b(?:helfen|beantworten|unterstützen|weiterhelfen|bereitstellen|erfüllen|nachkommen|geben|dienen)/,
  /^(?:es )?tut mir (?:sehr )?leid\b[^.!?]{0,60}\b(?:nicht|keine?n?)\b/,
  // French
  /\bje (?:ne (?:peux|puis)|suis dans l'incapacité|refuse)[^.!?]{0,60}\b(?:aider|répondre|fournir|assister|satisfaire|faire|donner)/,
  /^(?:je suis )?désolée?[\s,;:][^.!?]{0,60}\bne (?:peux|puis)\b/,
  // Spanish
  /\bno (?:puedo|podemos|me es posible|soy capaz de)\b[^.!?]{0,40}\b(?:ayudar|responder|proporcionar|cumplir|asistir|ofrecer|hacer|dar)/,
  // Portuguese
  /\bnão (?:posso|podemos|consigo|sou capaz de)\b[^.!?]{0,40}\b(?:ajudar|responder|fornecer|atender|cumprir|fazer|dar)/,
  // Italian
  /\bnon (?:posso|possiamo|sono in grado di|mi è possibile)\b[^.!?]{0,40}\b(?:aiutar|risponder|fornir|assister|soddisfar|fare|dare)/,
  // Dutch
  /\b(?:ik|wij|we) (?:kan|kunnen|mag|zal)\b[^.!?]{0,40}\b(?:niet|geen)\b[^.!?]{0,40}\b(?:helpen|beantwoorden|geven|bieden|voldoen)/,
  // Polish
  /\bnie (?:mogę|możemy|jestem w stanie)\s[^.!?]{0,40}(?:pomóc|odpowiedzieć|udzielić|spełnić|dostarczyć)/,
  // Russian
  /(?:^|\s)не (?:могу|можем|в состоянии)\s[^.!?]{0,40}(?:помочь|ответить|предоставить|выполнить|обсуждать)/,
  // Chinese, Japanese
  /(?:我(?:们)?|本助手)?(?:无法|不能|不可以)(?:为您|向您|帮助您?|帮您?)?(?:提供|回答|协助|帮助|满足|完成|讨论)/,
  /(?:お答え|回答|お手伝い|提供|対応)(?:する(?:こと)?(?:は|が)?)?(?:いたし|し)?(?:かね|でき|は?できま)(?:ます|ません|ない)/,
];

export function looksLikeRefusal(text: string): boolean {
  if (text.length > LONGEST) return false;
  const head = text.slice(0, HEAD).toLowerCase().replaceAll('’', "'").replace(/\s+/g, ' ').trim();
  return REFUSALS.some((refusal) => refusal.test(head));
}

/** Words that deny, by language. Those of ordinary talk that may also mean something else are left out. Pure. */
const WORDS: Readonly<Record<string, string>> = {
  en: 'not no never none nothing nobody nowhere neither nor without cannot hardly barely non',
  de: 'nicht kein keine keinen keinem keiner keines nie niemals ohne nichts niemand weder',
  fr: 'pas jamais sans aucun aucune rien non ni',
  es: 'no nunca sin jamás ningún ninguno ninguna nada nadie ni',
  it: 'non no senza mai nessun nessuno nessuna niente nulla né',
  pt: 'não nunca sem nenhum nenhuma nada ninguém nem jamais',
  nl: 'niet geen nooit zonder niets niemand nee noch',
  sv: 'inte ej aldrig utan ingen inget inga nej',
  da: 'ikke aldrig uden ingen intet nej',
  no: 'ikke aldri uten ingen intet nei',
  fi: 'ei en et emme ette eivät älä ilman koskaan eikä',
  pl: 'nie bez nigdy nic nikt żaden żadna ani',
  cs: 'ne není nejsou nebyl bez nikdy nic nikdo žádný ani',
  hu: 'nem ne nincs nincsenek sem soha nélkül semmi senki',
  ro: 'nu fără niciodată nimic nimeni nici',
  tr: 'değil yok hayır hiç asla',
  id: 'tidak bukan tanpa jangan belum tak',
  vi: 'không chưa đừng chẳng',
  ru: 'не нет ни без никогда ничего никто нельзя',
  uk: 'не ні немає без ніколи нічого ніхто',
  bg: 'не няма без никога нищо никой',
  sr: 'не није нема без никад ништа',
  el: 'δεν μην όχι χωρίς ποτέ κανένας τίποτα',
  ar: 'لا ليس ليست لم لن بدون غير ما',
  fa: 'نه نیست بدون هرگز هیچ',
  ur: 'نہیں نہ بغیر مت',
  he: 'לא אין בלי אל אינו אף',
  hi: 'नहीं मत बिना ना न',
  bn: 'না নয় নেই ছাড়া',
};
const BY_LANGUAGE: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries(WORDS).map(([language, words]) => [language, new Set(words.split(' '))]),
);
/** Where nobody knows the language, and the same word means nothing else in another of these. */
const ANYWHERE = new Set(['en', 'de', 'fr', 'es', 'nl', 'ru'].flatMap((language) => [...(BY_LANGUAGE.get(language) ?? [])]));

/** Of languages written without spaces, or that hang the denial on the verb. */
const WITHIN: Readonly<Record<string, RegExp>> = {
  zh: /[不没沒無无别別非未勿]/g,
  ja: /ない|なく|なかっ|ません|なし|ぬ|ず(?=に|、|。|$)/g,
  ko: /않|없|못|안 |아니|말고/g,
  th: /ไม่|มิ|ไร้|อย่า/g,
  my: /မ/g,
  km: /មិន|គ្មាន/g,
  lo: /ບໍ່/g,
  // -ma- and -me- of the verb, and -siz of the noun.
  tr: /(?<=\p{L}{2})(?:m[ae](?:z|di|mış|miş|yor|dan|den|yen|yan)|s[ıiuü]z)(?!\p{L}{4})/gu,
};

/** @param word in lower case */
export function isNegation(word: string, language: string): boolean {
  return (BY_LANGUAGE.get(language) ?? ANYWHERE).has(word);
}

/** How often a text denies in a way that no single word shows. @param text in lower case */
export function negationsWithin(text: string, language: string): number {
  const pattern = WITHIN[language];
  return pattern ? [...text.matchAll(pattern)].length : 0;
}

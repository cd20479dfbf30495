/** Scripts, and the commonest words and the telling letters of the languages written in Latin ones. Pure. */

export interface Script {
  /** The language most often written in it. */
  readonly language: string;
  /** Its signs stand for words or syllables. */
  readonly signs: boolean;
}

const script = (language: string, signs = false): Script => ({ language, signs });

/** Blocks of Unicode, first and last code, ascending. */
const BLOCKS: readonly (readonly [number, number, Script])[] = [
  [0x370, 0x3ff, script('el')],
  [0x400, 0x52f, script('ru')],
  [0x530, 0x58f, script('hy')],
  [0x590, 0x5ff, script('he')],
  [0x600, 0x6ff, script('ar')],
  [0x750, 0x77f, script('ar')],
  [0x900, 0x97f, script('hi')],
  [0x980, 0x9ff, script('bn')],
  [0xa00, 0xa7f, script('pa')],
  [0xa80, 0xaff, script('gu')],
  [0xb80, 0xbff, script('ta')],
  [0xc00, 0xc7f, script('te')],
  [0xc80, 0xcff, script('kn')],
  [0xd00, 0xd7f, script('ml')],
  [0xd80, 0xdff, script('si')],
  [0xe00, 0xe7f, script('th')],
  [0xe80, 0xeff, script('lo')],
  [0x1000, 0x109f, script('my')],
  [0x10a0, 0x10ff, script('ka')],
  [0x1100, 0x11ff, script('ko', true)],
  [0x1200, 0x137f, script('am')],
  [0x1780, 0x17ff, script('km')],
  [0x1f00, 0x1fff, script('el')],
  [0x3040, 0x30ff, script('ja', true)],
  [0x3400, 0x9fff, script('zh', true)],
  [0xac00, 0xd7af, script('ko', true)],
  [0xff66, 0xff9f, script('ja', true)],
];

/** @param code UTF-16 unit */
export function scriptOf(code: number): Script | undefined {
  let low = 0;
  let high = BLOCKS.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [first, last, found] = BLOCKS[middle]!;
    if (code < first) high = middle - 1;
    else if (code > last) low = middle + 1;
    else return found;
  }
  return undefined;
}

/** Articles, pronouns, prepositions and what is said to an assistant. */
const WORDS = {
  en: `the of and to is are was were be been it that this these those for with on at by from not you your i my we our they their he she
    his her what which who where when why how do does did can could would should will have has had an or but if there all any more
    most some than then please write tell make give explain hello thanks thank me about into as following each between so no yes`,
  de: `der die das den dem des ein eine einen einem einer und oder aber nicht ist sind war waren bin bist es ich du er sie wir ihr mich
    dich mir dir mein dein sein ihre wie was wer wo wann warum welche welcher welches mit von zu zum zur auf für im am an aus bei nach
    über unter durch bitte schreibe schreib kann kannst hat haben wird werden dass wenn auch noch nur kein keine danke hallo deutsch`,
  fr: `le la les un une des du de et ou mais est sont était être je tu il elle nous vous ils elles mon ton son ma ta sa mes tes ses
    notre votre ce cette ces que qui quoi dont où quand pourquoi comment quel quelle quels quelles dans sur pour par avec sans pas ne
    plus au aux en se me te peux pouvez merci bonjour écris écrivez moi ça cela français fait s'il`,
  es: `el la los las un una unos unas de del y o pero es son era ser está están yo tú él ella nosotros ustedes mi tu su mis tus sus este
    esta estos estas que qué quién cuál cuáles dónde cuándo cómo cuánto por para con sin en al se lo le me te no sí más muy hay
    escribe puedes gracias hola también como porque español favor continúa`,
  it: `il lo la i gli le un uno una di del della dei delle degli e o ma è sono era essere io tu lui lei noi voi loro mio tuo suo questo
    questa questi che chi cosa quale quali dove quando perché come quanto per con senza in nel nella al alla da dal si mi ti ci non
    più anche scrivi puoi grazie ciao dell nell italiano sul sulla`,
  pt: `o a os as um uma uns umas de do da dos das e ou mas é são era ser está eu tu ele ela nós você vocês meu minha seu sua este esta
    isso isto que quem qual quais onde quando como quanto por para com sem em no na nos nas ao à se me te lhe não sim mais muito
    escreva pode obrigado obrigada olá também porque português favor`,
  nl: `de het een en of maar is zijn was waren ben ik jij je hij zij wij we mijn jouw haar dit dat deze die wat wie waar wanneer waarom
    hoe welke met van voor op in aan uit bij naar over onder door niet geen ook nog maar schrijf kun kunt kan heeft hebben wordt worden
    alsjeblieft bedankt hallo er om te als`,
  sv: `och att det som en ett är var jag du han hon vi ni de den mig dig min din sin på av för med till från om inte kan har hade vad
    vem var när varför hur vilken vilka skriv snälla tack hej eller men också ska blir efter utan`,
  da: `og at det som en et er var jeg du han hun vi i de den mig dig min din sin på af for med til fra om ikke kan har havde hvad hvem
    hvor hvornår hvorfor hvordan hvilken skriv tak hej eller men også skal bliver efter uden`,
  no: `og at det som en et ei er var jeg du han hun vi dere de den meg deg min din sin på av for med til fra om ikke kan har hadde hva
    hvem hvor når hvorfor hvordan hvilken skriv takk hei eller men også skal blir etter uten`,
  fi: `ja on ei se että oli olla ovat minä sinä hän me te he mikä mitä kuka missä milloin miksi miten joka kun jos mutta tai myös niin
    kuin tämä nämä ole voi voitko kirjoita kiitos hei minun sinun`,
  pl: `i w z na do nie jest są był być to że się jak co kto gdzie kiedy dlaczego jaki jaka jakie który która które ten ta te od dla po o
    za przez ale lub albo czy ja ty on ona my wy mój twój napisz proszę możesz dziękuję cześć też`,
  cs: `a v z na do ne je jsou byl být to že se jak co kdo kde kdy proč jaký jaká jaké který která které ten ta ty od pro po o za přes
    ale nebo já ty on ona my vy můj tvůj napiš prosím můžeš děkuji ahoj také`,
  hu: `a az és egy nem hogy van vannak volt lesz is de vagy ha mi ki hol mikor miért hogyan melyik ez ezt én te ő mi ti ők meg el fel
    kell lehet írj kérlek köszönöm szia mint csak már még`,
  ro: `și în la de cu pe un o este sunt era fi nu că să se ce cine unde când care cum pentru din prin sau dar eu tu el ea noi voi meu
    tău său acest această mai scrie poți te rog mulțumesc bună fără despre`,
  tr: `ve bir bu şu o da de ile için mi mı mu mü ne kim nerede nedir zaman neden nasıl hangi ben sen biz siz onlar var yok değil gibi
    daha çok ama veya olarak olan yaz lütfen teşekkürler merhaba misin eder`,
  id: `yang dan di ke dari untuk dengan ini itu adalah tidak ada saya kamu dia kami kita mereka apa siapa mana kapan mengapa bagaimana
    akan bisa dapat pada atau tetapi juga oleh tulis tolong terima kasih halo dalam sebuah`,
  vi: `và của là có không được cho với trong này đó một những các tôi bạn anh chị em gì ai đâu khi sao thế nào như để từ hay hoặc nhưng
    cũng viết hãy giúp cảm ơn xin chào về`,
} as const;

/** Letters that few of these languages have. */
const LETTERS: Readonly<Record<string, string>> = {
  de: 'äöüß',
  fr: 'éèêëàâçîïôùûœ',
  es: 'ñáíóúé',
  it: 'àèéìòù',
  pt: 'ãõçâêôáéíóú',
  nl: 'ë',
  sv: 'åäö',
  da: 'åæø',
  no: 'åæø',
  fi: 'äö',
  pl: 'ąćęłńóśźż',
  cs: 'áčďéěíňóřšťúůýž',
  hu: 'áéíóöőúüű',
  ro: 'ăâîșțşţ',
  tr: 'çğışöü',
  vi: 'ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ',
};

/** ISO 639-1; the others name a language by its place here. */
export const LATINS: readonly string[] = Object.keys(WORDS);

/** Which languages a word is common in. */
export const LATIN_WORDS: ReadonlyMap<string, readonly number[]> = inverted(Object.entries(WORDS), (text) => text.split(/\s+/));
/** Which languages have a letter beyond a to z. */
export const LATIN_LETTERS: ReadonlyMap<string, readonly number[]> = inverted(Object.entries(LETTERS), (text) => [...text]);

function inverted(lists: readonly (readonly [string, string])[], split: (text: string) => readonly string[]) {
  const all = new Map<string, number[]>();
  for (const [language, list] of lists) {
    for (const item of new Set(split(list))) all.set(item, [...(all.get(item) ?? []), LATINS.indexOf(language)]);
  }
  return all;
}

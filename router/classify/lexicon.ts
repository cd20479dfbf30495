/** Classes of words that tell how a question is put, whatever it is about. Pure data. */
import { hashWord } from './hashing.ts';

/** A word may stand in several classes. The order is part of the weights: a change needs a new training. */
export const WORD_CLASSES: readonly (readonly [name: string, words: string])[] = [
  ['what', 'what'],
  ['which', 'which'],
  ['who', 'who whose whom'],
  ['when', 'when where'],
  ['why', 'why'],
  ['how', 'how'],
  ['many', 'many much long far often old'],
  ['negation', 'not no never none neither nor cannot except without least unlikely false incorrect wrong fails impossible'],
  [
    'function',
    `the of a an and to in is are was were be been being that it its this these those for on with as at by from or
    but has have had do does did will would can could should may might must there their they them he she his her him you your
    i we our my me us so if then than such also into about over under after before between through during`,
  ],
  [
    'quantifier',
    `each every all any some both half twice double triple times per total altogether remaining left rest percent
    third quarter dozen average sum difference`,
  ],
  ['condition', 'if suppose assume assuming given let when unless provided whether consider'],
  ['person', 'he she his her him hers they them their who man woman boy girl student people someone mother father friend'],
  ['address', 'you your yours i my me we our us'],
  [
    'command',
    `find calculate determine compute evaluate solve prove show express simplify estimate derive write identify
    describe explain complete convert factor round`,
  ],
  [
    'code',
    `function python return def class string array code program list tuple dictionary lambda int loop method variable
    pointer algorithm regex input output integer bool true false null element elements self import for while print`,
  ],
  ['best', 'most best likely primarily mainly usually probably generally typically main primary better worst'],
  ['cause', 'because therefore thus hence since due causes cause effect result results leads why reason consequence'],
  [
    'compare',
    'more less fewer greater smaller larger higher lower longer shorter older younger equal same than increase decrease',
  ],
  [
    'logic',
    `statement statements argument proposition conclusion premise fallacy logic implies valid invalid true false
    contradiction consistent logically equivalent`,
  ],
  ['money', 'cost costs price dollars dollar cents pay paid spend sell sold buy bought earn earns money profit'],
  ['time', 'day days week weeks month months year years hour hours minute minutes seconds today yesterday tomorrow morning'],
  [
    'unit',
    `kg km cm mm ft inches inch feet miles meters metres grams liters pounds gallons degrees volts ohms amperes hz
    joules newton watts mol atm psi btu lb`,
  ],
  [
    'legal',
    `court plaintiff defendant law statute contract liable jury trial constitution property negligence crime evidence
    action landowner buyer seller`,
  ],
  ['study', 'study theory research author according passage text model hypothesis experiment analysis concept principle'],
  ['polite', 'please thanks thank hello hi hey help want need tell give me'],
  ['make', 'write create make compose draft story poem email letter essay song joke summarize translate rewrite'],
];

const SLOTS = 2048;
const keys = new Int32Array(SLOTS);
const masks = new Int32Array(SLOTS);

for (const [index, [, words]] of WORD_CLASSES.entries()) {
  for (const word of words.split(/\s+/)) {
    const slot = slotOf(hashWord(word));
    keys[slot] = hashWord(word);
    masks[slot] = (masks[slot] as number) | (1 << index);
  }
}

/** Bit i: in the class at i of `WORD_CLASSES`; 0 for most words. @param hash as of `hashWord` */
export function classesOf(hash: number): number {
  return masks[slotOf(hash)] as number;
}

/** Where the hash stands, or the empty slot where it would. */
function slotOf(hash: number): number {
  let slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
  while (keys[slot] !== hash && keys[slot] !== 0) slot = (slot + 1) & (SLOTS - 1);
  return slot;
}

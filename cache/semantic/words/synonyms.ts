/**
 * Words that may stand for each other in a request, the first of each line for all of them; and words without a matter of
 * their own. What is in neither list is compared as it is. English, where paraphrase has most to choose from. Pure.
 */
const SAME = `
fix repair troubleshoot mend resolve
error failure
car automobile
movie film
cook prepare
photo picture photograph
kid child
purchase buy
begin start
city town
author write writer written wrote
inventor invent
discoverer discover
painter paint
composer compose
founder found
director direct
creator create make build
win winner won
use utilize utilise usage
doctor physician
sofa couch
job occupation
big large
largest biggest
smallest tiniest
small little
fast quick quickly rapidly
price cost
choose pick select
lawyer attorney
phone telephone
cell mobile
laptop notebook
bike bicycle
plane airplane aeroplane
flu influenza
weight mass
wealthy rich
usa us america
uk britain
tv television
math maths mathematics
doc document documentation
info information
app application
pc computer
internet web
site website
repo repository
config configuration configure
kilometer kilometre km
meter metre
centimeter centimetre cm
millimeter millimetre mm
kilogram kilo kg
milligram mg
liter litre
mile mi
minute min
pound lb
ounce oz
celsius centigrade
percent percentage
happen occur
form arise
main primary
famous well-known
important essential crucial
huge enormous
difference differ distinction
compare comparison
benefit advantage
drawback disadvantage
reason cause
summary summarise summarize
recommend suggest recommendation suggestion
translate translation
clean wash
leftover remaining
holiday vacation
autumn fall
garbage trash rubbish
shop store
smart intelligent
illness disease sickness
medicine medication
symptom sign
mean meaning means
country nation
learn study
teach instruct
speed velocity
size dimension
height tall
age old
distance far
work function operate
delete remove erase
show display
simple easy simply
gift present
quiet silent
sleep asleep
population people inhabitant
currency money
color colour
flavor flavour
grey gray
favorite favourite
organise organize
analyse analyze
recognise recognize
behaviour behavior
centre center
`;

export const SAME_AS: ReadonlyMap<string, string> = new Map(
  SAME.trim()
    .split('\n')
    .flatMap((line) => {
      const [first, ...rest] = line.split(' ') as [string, ...string[]];
      return rest.map((word): [string, string] => [word, first]);
    }),
);

/**
 * Articles, forms of to be and pronouns. Prepositions too: agree.ts compares what stands behind them. Words that only ask
 * where they stand in the right place (explain, the way to, need to) are in frames.ts.
 */
const FUNCTION_WORDS: Readonly<Record<string, ReadonlySet<string>>> = Object.fromEntries(
  Object.entries({
    en: `a an the this that these those some any such
      is are was were be been being am do does did done doing has have had having will would shall should can could may might must
      i me my mine we us our ours you your yours he him his she her hers it its they them their theirs one oneself someone somebody
      who whom whose what which when where why how whether
      and or but if then than so as because while there here
      of to in on at for with using by from about into onto through during between among upon via per within regarding concerning
      please really actually exactly thing things`,
    de: `ein eine einen einem einer und oder ist sind war waren bin ich du er sie es wir ihr von zu zum zur am im in mit für auf an aus
      bei nach was wer wo wann warum wie welche welcher welches man`,
    fr: `le la les un une des du de et ou est sont je tu il elle nous vous ils elles ce cette que qui quoi quand pourquoi comment quel
      quelle où dans sur pour par avec au aux en se me on y c l d j qu`,
    es: `el la los las una unos unas un del de y o es son yo tú él ella nosotros mi tu su qué quién cuál dónde cuándo cómo por para con en
      al se lo puedo puede`,
    it: `il lo la i gli le un uno una di del della e o è sono io tu mi si che chi cosa quale dove quando perché come per con in nel nella`,
    pt: `o a os as um uma de do da e ou é são eu tu você que quem qual onde quando como por para com em no na se me posso`,
    nl: `de het een en of is zijn ik jij je we wat wie waar wanneer waarom hoe welke met van voor op in aan uit bij naar kan`,
  }).map(([language, words]) => [language, new Set(words.trim().split(/\s+/))]),
);

/** Of a language that has no list, every word counts; German articles count, for they alone tell who bites whom. */
export function isFunctionWord(word: string, language: string): boolean {
  return FUNCTION_WORDS[language === 'und' ? 'en' : language]?.has(word) ?? false;
}

/** What stands behind these has a part of its own; those of one line give it the same. */
const PARTS = `in within inside during im en
on upon
at
with using via mit avec con
to into onto nach
from aus von
for für pour para
about regarding concerning
than
by
over
under
before vor avant antes
after après después
against
through
versus vs
without
instead
zu
als
sans
que
sin
por`;
export const PART_OF: ReadonlyMap<string, string> = new Map(
  PARTS.split('\n').flatMap((line) => line.split(' ').map((word): [string, string] => [word, line.split(' ')[0] as string])),
);
/** Parts of place, time and tool, which may stand anywhere in the sentence. */
export const ADJUNCTS: ReadonlySet<string> = new Set(['in', 'on', 'at', 'with']);
/** "The recipe for pancakes" is "the pancake recipe". */
export const GENITIVES: ReadonlySet<string> = new Set(['of', 'for', 'about', 'regarding', 'von', 'du', 'del']);

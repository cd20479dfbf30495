/**
 * Words that turn a sentence into another one: opposites, and what bounds a statement. Each line is one choice, its sides
 * apart by a bar, words that say the same by spaces. Two prompts must have chosen the same sides. Pure.
 */
const LINES = `
increase raise grow boost gain improve speed-up | decrease reduce lower lessen diminish shrink cut decline worsen lose
maximum max highest biggest largest greatest most | minimum min lowest smallest least fewest
more greater bigger larger | less fewer smaller
longest tallest | shortest
longer taller | shorter
newest latest youngest recent current | oldest earliest
newer younger | older
fastest quickest | slowest
faster quicker | slower
best | worst
better | worse
good | bad poor
first | last final second third
next | previous
before prior | after following
above over | below under beneath
up | down
on | off
inside indoor | outside outdoor
left | right
front | back
top | bottom
north northern | south southern
east eastern | west western
open | close shut closed
start begin launch | stop end finish quit halt
buy purchase | sell
import | export
input | output
upload | download
push | pull
add insert append attach | remove delete drop detach subtract erase
create make build | destroy
install | uninstall
enable activate allow permit | disable deactivate deny forbid block prohibit prevent
lock | unlock
connect | disconnect
encrypt | decrypt
encode | decode
compress zip | decompress unzip extract
serialize | deserialize
show display | hide
accept approve | reject decline refuse
send | receive
borrow | lend
lend | borrow
win | lose
love like | hate dislike
true | false
correct right | incorrect wrong
legal | illegal
possible | impossible
valid | invalid
visible | invisible
healthy | unhealthy
safe | unsafe dangerous
happy | unhappy sad
secure | insecure
direct | indirect
advantage advantages pro pros benefit benefits upside strengths | disadvantage disadvantages con cons drawback drawbacks downside weaknesses
positive | negative
cause causes | cure treatment treat symptom symptoms | prevention
male man men boy boys | female woman women girl girls
husband | wife
father dad | mother mom mum
son | daughter
brother | sister
king | queen
adult adults | child children kid kids
hot warm | cold cool
summer | winter | spring | autumn fall
morning | evening | night | noon
day | night
today | tomorrow | yesterday
old | new
old | young
early | late
early earlier | late later
fast quick quickly fast | slow slowly
long | short brief briefly
detailed detail thorough | short brief briefly
big large | small little tiny
high | low
tall | short
strong | weak
rich | poor
easy simple simply | hard difficult
cheap | expensive
heavy | light
dark | light
wet | dry
full | empty
deep | shallow
thick | thin
loud | quiet
ascending | descending
horizontal | vertical
internal | external
public | private
synchronous sync | asynchronous async
static | dynamic
active | passive
formal | informal
ancient | modern
past | present | future
singular | plural
debit | credit
profit | loss
mutable | immutable
deductible | nondeductible
vegetarian vegan | meat
sunrise | sunset
arrive arrival | depart departure leave
enter | exit
hire | fire
lose-weight | gain-weight
mild | severe
domestic | foreign international
minor | major
odd | even
lossy | lossless
client | server
mother | father
teacher | student
employer | employee
landlord | tenant
parent parents | child children
acid acidic | base alkaline
solid | liquid | gas
vowel | consonant
verb | noun | adjective | adverb
metaphor | simile
daily | weekly | monthly | yearly annual annually
weekday | weekend
and | or
all every each | some | only just | few
except excluding besides | including
both | either | neither
always | never | sometimes | usually
erhöhen steigern | senken verringern reduzieren
größte höchste längste | kleinste niedrigste kürzeste
mehr | weniger
besser | schlechter
beste | schlechteste
erste ersten | letzte letzten
kaufen | verkaufen
öffnen | schließen
vor | nach
vorteile | nachteile
alle | einige | nur
augmenter | diminuer réduire
plus | moins
meilleur meilleure | pire
premier première | dernier dernière
acheter | vendre
ouvrir | fermer
avant | après
avantages | inconvénients
tous toutes | seulement
aumentar subir | disminuir reducir bajar
más | menos
mejor | peor
primero primera primer | último última
comprar | vender
abrir | cerrar
antes | después
ventajas | desventajas
todos todas | solo sólo
aumentare | diminuire ridurre
più | meno
migliore | peggiore
primo prima | ultimo ultima
comprare | vendere
aprire | chiudere
vantaggi | svantaggi
mais | menos
melhor | pior
primeiro primeira | último última
verhogen | verlagen
meer | minder
beter | slechter
eerste | laatste
kopen | verkopen
больше | меньше
лучше | хуже
первый | последний
купить | продать
до | после
`;

/** For each word, the sides that it takes: "line.side". A word on two lines takes both. */
export const SIDES: ReadonlyMap<string, readonly string[]> = sides();

function sides(): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (const [line, text] of LINES.trim().split('\n').entries()) {
    for (const [side, words] of text.split('|').entries()) {
      for (const word of words.trim().split(/\s+/)) all.set(word, [...(all.get(word) ?? []), `${line}.${side}`]);
    }
  }
  return all;
}

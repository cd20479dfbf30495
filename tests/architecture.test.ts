/**
 * The shape of the code, read from its imports: arrows between folders point down only, each library has its one place,
 * and what is called pure is.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = new URL('..', import.meta.url).pathname;
const FOLDERS = ['proto', 'telemetry', 'cache', 'router', 'nodes', 'client', 'cli'] as const;
type Folder = (typeof FOLDERS)[number];

/** What each folder may import from beside itself. */
const ARROWS: Readonly<Record<Folder, readonly Folder[]>> = {
  proto: [],
  telemetry: ['proto'],
  cache: ['telemetry', 'proto'],
  router: ['cache', 'telemetry', 'proto'],
  nodes: ['telemetry', 'proto'],
  client: ['telemetry', 'proto'],
  cli: ['client', 'telemetry', 'proto'],
};

/** The command line starts routers and nodes through their doors, and looks no further. */
const DOORS = ['router/index.ts', 'nodes/index.ts'];

/** Who alone may import a library; files, or folders ending with a slash. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  '@grpc/grpc-js': ['proto/transport/', 'proto/gen/', 'client/call-options.ts', 'client/router.ts', 'nodes/router-link.ts'],
  '@grpc/reflection': ['proto/transport/server.ts'],
  'grpc-health-check': ['proto/transport/server.ts'],
  '@opentelemetry/sdk-node': ['telemetry/sdk.ts'],
  '@opentelemetry/api': ['telemetry/', 'cli/'],
  opossum: ['router/breakers/breaker.ts'],
  'lru-cache': ['cache/'],
  usearch: ['cache/semantic/usearch.ts'],
  ioredis: ['cache/redis/client.ts'],
  pino: ['telemetry/log.ts', 'telemetry/pretty.ts'],
  'eventsource-parser': ['nodes/backends/openai/chunks.ts'],
  'node-llama-cpp': ['nodes/backends/llama-cpp.ts', 'nodes/backends/llama-cpp/'],
  ollama: ['nodes/backends/ollama/'],
  'onnxruntime-node': ['nodes/backends/onnx/session.ts'],
  '@huggingface/tokenizers': ['nodes/backends/onnx/tokenizer.ts'],
  'npm-registry-fetch': ['nodes/models/sources/'],
  '@npmcli/config': ['nodes/models/sources/npm-config.ts'],
  '@peculiar/x509': ['cli/certs/'],
  commander: ['cli/'],
  'cli-progress': ['cli/'],
};

/** No I/O, no timers, no clock, no chance: these come in as arguments. */
const PURE = [
  'cache/redis/{circuit,refusals,replies,standing,url}.ts',
  'cache/{canonical,canonical-json,names,shrinking,unsettled}.ts',
  'client/{answered,batch-failover,batch-items,failover,progress}.ts',
  'cache/semantic/{agree,facts,normalise,number-of,question,stem,tokens}.ts',
  'cache/semantic/{entry,evidence,same-answer,vectors,watch}.ts',
  'cache/semantic/words/*.ts',
  'proto/contract/**/*.ts',
  'proto/transport/{framing,deadline}.ts',
  'router/admit/{line,pace,queue,waiting-room}.ts',
  'router/batch/{items,outcome,retries,turns,window}.ts',
  'router/{classify,patience,select}/**/*.ts',
  'router/fleet/{claims,damping,embedding-nodes,lease,model-state,vectors}.ts',
  'router/idempotency/registry.ts',
  'router/ledger/{counterfactual,decision-entry,exploration,logged-choice,made-again,outcomes}.ts',
  'router/ledger/{refusal-wording,replay,replay-warnings,reward,savings,shares,trials}.ts',
  'router/trust/quotas.ts',
  'cache/shared/{outbox,peers,replica-set,roster,wire}.ts',
  'router/share/{news,spending}.ts',
  'nodes/shelf/*.ts',
  'nodes/{expected-model,node-report,prefix-news,refusal,wire-failure,work-count}.ts',
  'nodes/backends/{replay-vectors,retry-after,served,text-assembler,unit-vector}.ts',
  'nodes/backends/onnx/{batch,outputs,pooling}.ts',
  'nodes/pressure/{gpu-memory,idle,marks,pressure,room}.ts',
  'nodes/backends/llama-cpp/lockstep.ts',
  'nodes/backends/openai/{beginning,chunks,embedding,metrics,refusals,request,served}.ts',
  'nodes/models/gguf/{facts,header,reader,types}.ts',
  'nodes/models/version.ts',
  'nodes/backends/ollama/{chunks,facts,faults,lines,request}.ts',
];
const IMPURE =
  /\b(?:Date\.now|new Date\(\)|Math\.random|performance\.now|setTimeout|setInterval|setImmediate|process\.(?!env\b)|fetch\()/;

interface Import {
  readonly from: string;
  /** A path from the root, or a package's name. */
  readonly to: string;
  readonly local: boolean;
}

const files = FOLDERS.flatMap((folder) => globSync(`${folder}/**/*.{ts,js}`, { cwd: ROOT }));
const imports = files.flatMap(importsOf);

function importsOf(file: string): Import[] {
  const source = code(file);
  const specifiers = source.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g,
  );
  return [...specifiers].map((match) => {
    const specifier = (match[1] ?? match[2]) as string;
    const local = specifier.startsWith('.');
    return { from: file, to: local ? normalize(join(dirname(file), specifier)) : packageOf(specifier), local };
  });
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Without comments, which may speak of anything. */
function code(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, '$1');
}

const folderOf = (path: string) => path.split('/')[0] as Folder;

test('the source was found and read', () => {
  expect(files.length).toBeGreaterThan(60);
  expect(imports.filter(({ local }) => local).length).toBeGreaterThan(200);
});

test('arrows between folders point down only', () => {
  const wrong = imports
    .filter(({ from, to, local }) => local && FOLDERS.includes(folderOf(to)) && folderOf(from) !== folderOf(to))
    .filter(({ from, to }) => !ARROWS[folderOf(from)].includes(folderOf(to)))
    .filter(({ from, to }) => !(folderOf(from) === 'cli' && DOORS.includes(to)));
  expect(wrong).toEqual([]);
});

test('only tests import tests, and nobody reaches outside the project', () => {
  const wrong = imports.filter(({ to, local }) => local && (to.startsWith('tests/') || to.startsWith('..')));
  expect(wrong).toEqual([]);
});

test.each(Object.entries(OWNERS))('%s is imported only where it belongs', (library, owners) => {
  const allowed = (file: string) => owners.some((owner) => (owner.endsWith('/') ? file.startsWith(owner) : file === owner));
  expect(imports.filter(({ from, to }) => to === library && !allowed(from))).toEqual([]);
});

test('every library that is imported is pinned to one exact version', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
  const pinned = { ...manifest.dependencies, ...manifest.optionalDependencies };
  const used = new Set(imports.filter(({ to, local }) => !local && !to.startsWith('node:')).map(({ to }) => to));
  expect([...used].filter((name) => !(name in pinned))).toEqual([]);
  expect(
    Object.entries({ ...pinned, ...manifest.devDependencies }).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)),
  ).toEqual([]);
});

test('pure files keep no clock, no chance and no I/O of their own', () => {
  const pure = PURE.flatMap((pattern) => globSync(pattern, { cwd: ROOT }));
  expect(pure.length).toBeGreaterThan(15);
  expect(pure.filter((file) => IMPURE.test(code(file)))).toEqual([]);
  expect(imports.filter(({ from, to }) => pure.includes(from) && to.startsWith('node:'))).toEqual([]);
});

test('types are imported in a way that Node can strip', () => {
  const offending = files.filter(
    (file) => file.endsWith('.ts') && !file.startsWith('proto/gen/') && /\bimport\s*\{[^}]*\btype\s/.test(code(file)),
  );
  expect(offending).toEqual([]);
});

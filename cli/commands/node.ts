/** infermesh node */
import type { Command } from 'commander';
import type { EngineState, NodeSettings, RunningNode } from '../../nodes/index.ts';
import { nodeSchema, nodeSettings, startNode } from '../../nodes/index.ts';
import { embedsOnly } from '../../proto/contract/embedding.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { aborted } from '../interrupts.ts';
import { commandLog } from '../output/log.ts';
import type { Progress, Step } from '../output/progress.ts';
import { openProgress, pullSteps } from '../output/progress.ts';
import type { Terminal } from '../output/terminal.ts';
import { style } from '../output/terminal.ts';
import { rate } from '../output/units.ts';
import { defaultTokenFile, sourcesOf } from '../settings.ts';
import { tellParent } from '../up/messages.ts';
import { asUsage } from '../usage.ts';

const HELP: FlagHelp<typeof nodeSchema> = {
  join: ['HOST:PORT', 'router to serve; repeat it, or use commas, for several'],
  tokenFile: ['FILE', "the routers' join token (default: join-token in your configuration folder)"],
  joinToken: ['TOKEN', 'token for a single join, from infermesh token create'],
  keyFile: ['FILE', "the node's own key, made at such a join (default: by the node's name in your data folder)"],
  id: ['NAME', "the node's name in the mesh (default: made of host and model)"],
  engine: ['NAME', 'llama-cpp, ollama, onnx for weights in ONNX, openai for a server with that API, or replay for tests'],
  model: ['NAME', 'which model to serve; it is fetched when it is not here; repeat it, or use commas, for several'],
  onDemand: ['NAME', 'model to load when a router asks for it; repeat it, or use commas, for several'],
  modelsFile: ['FILE', 'YAML of the models, each with settings of its own, in place of both'],
  memoryBudget: ['AMOUNT', 'what all models together may take: a share of the memory, or a size such as 6GB'],
  memoryLimit: ['AMOUNT', 'what the node and its engines may take at all (default: what the machine or its control group has)'],
  memoryHigh: ['SHARE', 'of the limit; where more is used, idle models are unloaded and smaller ones preferred'],
  memoryLow: ['SHARE', 'of the limit; where less is used, everything is as before'],
  replay: ['SPEC', 'what the replay engine does: rate=TOKENS_PER_SECOND,length=TOKENS'],
  ollamaUrl: ['URL', 'server of the ollama engine'],
  ollamaModel: ['NAME', 'what Ollama calls the model, which fetches it where it is missing (default: as --model)'],
  ollamaContext: ['TOKENS', 'context of each slot in Ollama'],
  ollamaKeepAlive: ['TIME', 'how long Ollama keeps the model in memory after a request: 30m, seconds, or -1 for ever'],
  openaiUrl: ['URL', 'server of the openai engine, with the version of its API: http://127.0.0.1:8000/v1'],
  openaiModel: ['NAME', 'what that server calls the model (default: as --model)'],
  openaiKeyFile: ['FILE', 'its API key: one line in a file that only you read'],
  openaiKeyEnv: ['NAME', 'variable of the environment that holds the API key instead'],
  billsAfterDisconnect: [
    'true|false',
    'whether that server charges for all of an answer that was given up (default: true unless it is on loopback or http://)',
  ],
  slots: ['N', 'requests to generate for at the same time'],
  context: [
    'TOKENS',
    "context of each slot of llama-cpp (default: what half the memory budget has room for, up to the model's own)",
  ],
  threads: ['N', 'threads of the engine; 0 lets it choose'],
  lora: ['FILE[=SCALE]', 'LoRA adapters of the model, in GGUF, for llama-cpp; repeat it, or use commas, for several'],
  gpuLayers: ['N', 'layers of the model on the GPU: auto, or 0 for none'],
  zone: ['NAME', 'where the node is'],
  labels: ['NAME=VALUE', 'labels of the node; repeat it, or use commas, for several'],
  inputPrice: ['USD', 'price of a million input tokens'],
  outputPrice: ['USD', 'price of a million output tokens'],
  asTier: ['NAME', "tier to serve the model as, instead of the catalogue's: fast, balanced, quality or cloud"],
  watts: ['W', 'what the machine draws while it generates; without it 10 W for each thread of the engine'],
  tlsCa: ['FILE', "PEM of the authority that signed the routers' certificates"],
  tlsCert: ['FILE', "PEM of the node's certificate, with the name infermesh://node/ID"],
  tlsKey: ['FILE', 'PEM of its private key'],
  allowPlaintext: ['', 'dial routers without TLS on addresses that are not loopback'],
  drainMs: ['MS', 'how long running requests may go on after Ctrl-C'],
  logLevel: ['LEVEL', 'trace, debug, info, warn, error or silent'],
};

const EXAMPLES = `
Examples:
  infermesh node --model stories-15m
  infermesh node --join router.example:50051 --token-file join-token --tls-ca ca.pem --model mistral-7b-instruct --slots 8
  infermesh node --join router.example:50051 --join-token imj_... --id gpu-1 --tls-ca ca.pem --model mistral-7b-instruct
  infermesh node --engine ollama --model llama3.2:1b --slots 2
  infermesh node --engine openai --openai-url http://127.0.0.1:8000/v1 --openai-model mistralai/Mistral-7B-Instruct-v0.3 --model mistral-7b-instruct --slots 32
  infermesh node --model all-minilm-l6-v2           makes vectors of texts, for semantic reuse
  infermesh node --model file:/srv/models/gte-small/onnx/model.onnx
  infermesh node --join a:50051,b:50051 --zone eu-1 --labels rack=7 --gpu-layers auto
  infermesh node --model stories-15m,all-minilm-l6-v2 --on-demand mistral-7b-instruct --memory-budget 12GB
  infermesh node --model stories-15m,all-minilm-l6-v2 --memory-limit 4GB --memory-high 90% --memory-low 70%
  infermesh node --models-file models.yaml          several models, each with an engine and settings of its own
`;

export function define(command: Command): void {
  addFlags(command, nodeSchema, HELP).addHelpText('after', EXAMPLES);
  action(command, serve, { server: true });
}

async function serve({ command, terminal, interrupts }: Context): Promise<void> {
  const sources = sourcesOf(command, ['node'], { tokenFile: defaultTokenFile() });
  const settings = asUsage(() => nodeSettings(sources));
  const told = new Telling(terminal, settings);
  try {
    const node = await startNode(settings, {
      onPull: (model, progress) => told.progress(model, pullSteps(progress)),
      onState: (model, state) => told.state(model, state),
      signal: interrupts.signal,
      log: commandLog('node', settings.logLevel),
    });
    await untilEnd(node, interrupts.signal);
  } finally {
    told.end();
  }
  if (terminal.json) terminal.object({ event: 'stopped' });
}

/** Until it is told to end, a router asks it to, or its model turns out not to load. */
async function untilEnd(node: RunningNode, signal: AbortSignal): Promise<void> {
  const never = new Promise<never>(() => {});
  const broken = node.ready.then(
    () => never,
    // An engine that is disposed before it was ready rejects too, which is then no news.
    (thrown) => (node.leaving ? never : Promise.reject(thrown)),
  );
  try {
    await Promise.race([aborted(signal), node.left, broken]);
  } finally {
    broken.catch(() => {});
    await node.close();
  }
}

type ReadyModel = Extract<EngineState, { type: 'ready' }>['model'];

/** Tells what the node is doing, to people, as JSON and to the process that started it. */
class Telling {
  readonly #terminal: Terminal;
  readonly #settings: NodeSettings;
  readonly #bars: Progress;

  constructor(terminal: Terminal, settings: NodeSettings) {
    this.#terminal = terminal;
    this.#settings = settings;
    this.#bars = openProgress(terminal);
  }

  progress(model: string, step: Step): void {
    void tellParent({ type: 'progress', step });
    this.#bars.step(model, step);
  }

  state(model: string, state: EngineState): void {
    if (state.type === 'loading') this.progress(model, { phase: 'loading', fraction: state.fraction, detail: '' });
    else if (state.type === 'ready') this.#ready(state.model);
    else if (state.type === 'crashed' && this.#terminal.json) {
      const { message, restartInMs } = state;
      this.#terminal.object({ event: 'crashed', model, message, restartInMs });
    }
  }

  #ready({ name: model, slots, tasks, decodeTokensPerSecond, prefillTokensPerSecond, embeddingDimensions }: ReadyModel): void {
    const { join } = this.#settings;
    const vectors = embedsOnly(tasks);
    const tokensPerSecond = vectors ? prefillTokensPerSecond : decodeTokensPerSecond;
    this.#bars.end();
    if (this.#terminal.json) {
      const made = vectors ? { embeddingDimensions } : {};
      this.#terminal.object({ event: 'ready', model, slots, tokensPerSecond, ...made, join });
      return;
    }
    const what = vectors ? `vectors of ${embeddingDimensions} numbers` : `${slots} slots`;
    this.#terminal.line(`${style('bold', model)} serves ${join.join(', ')} with ${what} at ${rate(tokensPerSecond)}`);
  }

  end(): void {
    this.#bars.end();
  }
}

/** infermesh router */
import { hostname } from 'node:os';
import type { Command } from 'commander';
import type { RouterSettings } from '../../router/index.ts';
import { routerSchema, routerSettings, startRouter } from '../../router/index.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { aborted } from '../interrupts.ts';
import { commandLog } from '../output/log.ts';
import { style } from '../output/terminal.ts';
import { defaultTokenFile, sourcesOf } from '../settings.ts';
import { tellParent } from '../up/messages.ts';
import { asUsage } from '../usage.ts';

const HELP: FlagHelp<typeof routerSchema> = {
  listen: ['HOST:PORT', 'where clients and nodes dial; port 0 takes a free one'],
  tokenFile: ['FILE', 'join token of the nodes, made where there is none (default: join-token in your configuration folder)'],
  tlsCert: ['FILE', "PEM of the server's certificate chain"],
  tlsKey: ['FILE', 'PEM of its private key'],
  tlsClientCa: ['FILE', 'PEM of the authority that signs the certificates of clients and nodes'],
  tlsClientAuth: ['HOW', 'whether they must have one: required, or optional where keys and tokens do as well'],
  allowPlaintext: ['', 'serve without TLS on an address that is not loopback'],
  drainMs: ['MS', 'how long running requests may go on after Ctrl-C'],
  writer: ['NAME', 'how tokens are written to clients: http2, or grpc-js for comparison'],
  tenants: ['FILE', 'YAML: who may call, by which keys and certificates, and how much'],
  trust: ['FOLDER', 'where join tokens and the keys of nodes are kept, as hashes (default: trust beside the token file)'],
  policy: ['FILE', 'YAML: what is weighed, permitted and forbidden, for everybody and for tenants'],
  learned: ['FILE', 'where what was learnt is kept over a restart'],
  decisionLog: ['FOLDER', 'where a line of JSON for each choice is kept for 30 days'],
  cache: ['', 'keep no answers, evidence or embeddings for later requests'],
  redis: ['URL', 'Redis that routers share: redis://, rediss://, redis+sentinel://, redis+cluster:// (default: none)'],
  cacheMemoryMb: ['MB', 'memory of the cache in this process, in units of 2^20 bytes'],
  cacheSecret: [
    'FILE',
    'secret that names and seals what is cached, the same for routers that share a Redis; made where there is none (default: cache-secret beside the token file)',
  ],
  cacheSnapshot: ['FILE', 'without Redis: where the most used entries are kept over a restart'],
  logLevel: ['LEVEL', 'trace, debug, info, warn, error or silent'],
};

const EXAMPLES = `
Examples:
  infermesh router
  infermesh router --listen 0.0.0.0:50051 --tls-cert server.pem --tls-key server.key
  infermesh router --policy policy.yaml --learned learned.json --decision-log decisions
  INFERMESH_LISTEN=127.0.0.1:50052 infermesh router --json
`;

export function define(command: Command): void {
  addFlags(command, routerSchema, HELP).addHelpText('after', EXAMPLES);
  action(command, serve, { server: true });
}

async function serve({ command, terminal, interrupts }: Context): Promise<void> {
  const sources = sourcesOf(command, ['router'], { tokenFile: defaultTokenFile() });
  const settings = asUsage(() => routerSettings(sources));
  const router = await startRouter(settings, { log: commandLog('router', settings.logLevel) });
  const { id, address } = router;
  await tellParent({ type: 'listening', address });
  if (terminal.json) terminal.object({ event: 'listening', id, address, tokenFile: settings.tokenFile });
  else for (const line of greeting(id, address, settings)) terminal.line(line);
  await aborted(interrupts.signal);
  await router.close();
  if (terminal.json) terminal.object({ event: 'stopped' });
}

function greeting(id: string, address: string, { tokenFile, tlsCert, allowPlaintext }: RouterSettings): string[] {
  // An address that stands for all of this machine's is none to dial.
  const dial = address.replace(/^(?:0\.0\.0\.0|\[::\])(?=:)/, hostname());
  const trust = tlsCert ? ' --tls-ca CA.pem' : allowPlaintext ? ' --allow-plaintext' : '';
  return [
    `${style('bold', id)} listens on ${style('cyan', address)}`,
    '',
    'Join a node on this machine:',
    `  infermesh node --join ${dial} --token-file ${tokenFile}${trust}`,
    '',
    'On another one, with a token that infermesh token create prints:',
    `  infermesh node --join ${dial} --join-token TOKEN${trust}`,
    '',
  ];
}

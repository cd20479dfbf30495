/** A client in a process of its own, which a test can kill. Run as a script: ADDRESS MODEL. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { connect } from '../../client/index.ts';

export interface ChatProcess extends AsyncDisposable {
  kill(): Promise<void>;
}

/** Resolves when its first token has come. */
export async function startChatProcess(address: string, model: string): Promise<ChatProcess> {
  const child = fork(fileURLToPath(import.meta.url), [address, model], { execArgv: [] });
  const gone = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await gone;
  };
  const [message] = await Promise.race([once(child, 'message'), gone.then(() => ['gone'])]);
  if (message !== 'first token') throw new Error(`the client said ${message}`);
  return { kill, [Symbol.asyncDispose]: kill };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [address = '', model = ''] = process.argv.slice(2);
  for await (const { type } of connect(address).chat({ messages: 'hello', model, maxTokens: 100_000 })) {
    if (type === 'delta') process.send?.('first token');
  }
}

/** Plays a scene in a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const SCENE = new URL('scene.ts', import.meta.url).pathname;

export interface Played extends AsyncDisposable {
  /** The next line the scene prints. */
  line(): Promise<Record<string, unknown>>;
  /** Lets a client or router go on. */
  answer(): void;
  /** Whatever it wrote to stderr so far. */
  stderr(): string;
  /** Resolves when the process is gone. @returns its exit code */
  readonly exited: Promise<number | null>;
}

/** @param env is all the scene has of OTEL_* */
export function play(role: string, traceparent: string, env: Readonly<Record<string, string>>): Played {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OTEL_')));
  const child = spawn(process.execPath, [SCENE, role, traceparent], { env: { ...inherited, ...env }, stdio: 'pipe' });
  const exited = once(child, 'close').then(([code]) => code as number | null);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return {
    async line() {
      const { done, value } = await lines.next();
      if (done) throw new Error(`the scene ended: ${stderr}`);
      return JSON.parse(value);
    },
    answer: () => child.stdin.write('go\n'),
    stderr: () => stderr,
    exited,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

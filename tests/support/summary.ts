/** The last line of a test run: how many passed, failed and were skipped, after the reasons and which servers it had. */
import type { Reporter, TestCase, TestModule } from 'vitest/node';

export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    const broken = modules.filter((module) => module.errors().length > 0).length + errors.length;
    const write = (line: string) => process.stdout.write(`${line}\n`);
    for (const test of tests.filter((one) => one.result().state === 'skipped'))
      write(`skipped: ${test.fullName} (${reasonOf(test)})`);
    for (const line of new Set(tests.flatMap((test) => serversOf(test)))) write(line);
    write(`\n${count('passed')} passed, ${count('failed') + broken} failed, ${count('skipped')} skipped`);
  }
}

function reasonOf(test: TestCase): string {
  const result = test.result();
  return (result.state === 'skipped' && result.note) || 'its reason stands in its name or file';
}

/** As tests/support/redis.ts, ollama.ts and openai.ts have noted them. */
function serversOf(test: TestCase): string[] {
  const { redis, ollama, openai } = test.meta() as Readonly<Record<string, string | undefined>>;
  return [redis, ollama, openai].filter((line) => line !== undefined);
}

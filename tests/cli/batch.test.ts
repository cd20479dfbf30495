/** infermesh batch on files, against a mesh of the test's own. */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { replayText } from '../../nodes/backends/replay.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { events, infermesh, Running } from './run.ts';

let mesh: TestMesh;
let folder: string;
let input: string;
let output: string;

beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ engine: 'replay', model: 'canned', replay: 'rate=400', slots: 4 }] });
});
afterAll(() => mesh[Symbol.asyncDispose]());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-batch-'));
  input = join(folder, 'in.jsonl');
  output = join(folder, 'out.jsonl');
  return () => rmSync(folder, { recursive: true });
});

const chat = (id: string, more: object = {}) => ({ id, prompt: id, max_tokens: 10, ...more });
const write = (...lines: readonly (object | string)[]) =>
  writeFileSync(input, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));
const batch = (...flags: readonly string[]) => infermesh(['batch', input, '--router', mesh.address, ...flags]);
const read = () => events(readFileSync(output, 'utf8'));
const answers = () => read().filter((line) => 'text' in line);
const textTo = (prompt: string, tokens = 10) => replayText([{ role: Role.ROLE_USER, text: prompt }], tokens);
const questions = (count: number) => Array.from({ length: count }, (_, i) => chat(`q${i}`));

describe('a file', () => {
  it('has an outcome for each line, by its id or its number', async () => {
    write(
      chat('a'),
      { prompt: 'without an id', max_tokens: 5 },
      { id: 7, messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 },
      '',
    );
    const { code, stdout, stderr } = await batch('-o', output);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/3 answered, 20 tokens at .* tok\/s/);
    const byId = new Map(read().map((line) => [line.id, line]));
    expect([...byId.keys()].toSorted()).toEqual(['7', 'a', 'line-2']);
    expect(byId.get('a')).toMatchObject({
      text: textTo('a'),
      finish_reason: 'length',
      model: 'canned',
      usage: { output_tokens: 10 },
      cost_usd: 0,
      cached: false,
    });
  });

  it('goes to stdout where no other place is named, and comes from stdin where - is', async () => {
    const stdin = `${JSON.stringify(chat('a'))}\n${JSON.stringify(chat('b'))}`;
    const { code, stdout } = await infermesh(['batch', '-', '--router', mesh.address], { stdin });
    expect(code).toBe(0);
    expect(events(stdout).map(({ id }) => id)).toEqual(expect.arrayContaining(['a', 'b']));
  });

  it('is told of as one object with --json', async () => {
    write(...questions(3), 'nothing of the kind');
    const { code, stdout } = await batch('-o', output, '--json');
    expect(code).toBe(1);
    expect(events(stdout).at(-1)).toMatchObject({
      event: 'finished',
      answered: 3,
      failed: 1,
      skipped: 0,
      outputTokens: 30,
      output,
    });
  });

  it('with wrong lines has each of them fail alone, told by its number, field and bound', async () => {
    const wrong: readonly (readonly [line: object | string, told: string])[] = [
      ['{"id": ', 'must be JSON, received 6 characters that are not'],
      ['[]', 'must be a JSON object'],
      [chat('bound', { max_tokens: 0 }), 'max_tokens must be from 1 to 131072, received 0'],
      [chat('type', { temperature: 'hot' }), 'temperature must be a number'],
      [chat('field', { tempreature: 1 }), 'tempreature is not supported here'],
      [chat('q0'), 'id must be once in the file, received it again'],
      [{ id: 'nothing' }, 'must have one of prompt, messages, text and texts'],
      [chat('model', { model: 'nobody' }), 'no node serves the model that was asked for'],
      [
        { id: 'role', messages: [{ role: 'robot', content: 'hi' }] },
        'messages[0].role must be system, developer, user or assistant',
      ],
      [chat('x'.repeat(129)), 'id must be 1 to 128 printable ASCII characters, received 129 bytes'],
    ];
    write(chat('q0'), ...wrong.map(([line]) => line), chat('q1'));
    const { code, stderr } = await batch('-o', output);
    expect(code).toBe(1);
    for (const [at, [, told]] of wrong.entries()) expect(stderr).toContain(`line ${at + 2} of ${input}: ${told}\n`);
    expect(
      answers()
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(['q0', 'q1']);
    expect(read().filter(({ error }) => error !== undefined)).toHaveLength(wrong.length);
  });

  it('in the form of OpenAI is answered in that form', async () => {
    const openAi = (custom_id: string, body: object, url = '/v1/chat/completions') => ({ custom_id, method: 'POST', url, body });
    const messages = [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }];
    write(
      openAi('one', { model: 'gpt-4o-mini', messages, max_tokens: 5, temperature: 0, user: 'somebody' }),
      openAi('two', { model: 'gpt-4o-mini', messages, tools: [] }),
      openAi('three', { messages }, '/v1/audio'),
    );
    expect((await batch('-o', output, '--model', 'auto')).code).toBe(1);
    const byId = new Map(read().map((line) => [line.custom_id, line]));
    expect(byId.get('one')).toMatchObject({
      error: null,
      response: {
        status_code: 200,
        body: {
          object: 'chat.completion',
          model: 'canned',
          choices: [{ message: { role: 'assistant', content: textTo('hi', 5) }, finish_reason: 'length' }],
          usage: { completion_tokens: 5 },
        },
      },
    });
    expect(byId.get('two')).toMatchObject({
      response: null,
      error: { code: 'INVALID_REQUEST', message: 'body.tools is not supported here' },
    });
    expect(byId.get('three')).toMatchObject({
      response: null,
      error: { message: 'url must be /v1/chat/completions or /v1/embeddings' },
    });
  });
});

describe('a run that was interrupted', () => {
  it('says how to go on, and the same command does only the rest', async () => {
    write(...questions(60));
    const running = new Running(['batch', input, '-o', output, '--router', mesh.address, '--window', '2']);
    await expect.poll(() => existsSync(output) && read().length, { interval: 10 }).toBeGreaterThan(5);
    running.process.kill('SIGINT');
    const { code, stderr } = await running.ended;
    expect(code).toBe(130);
    expect(stderr).toMatch(/stopped early: \d+ answered.*\nthe same command goes on with the rest/);
    const before = answers().length;
    expect(before).toBeLessThan(60);
    const again = await batch('-o', output, '--json');
    expect(again.code).toBe(0);
    expect(events(again.stdout).at(-1)).toMatchObject({ answered: 60 - before, skipped: before });
    expect(new Set(read().map(({ id }) => id)).size).toBe(60);
    expect(read()).toHaveLength(60);
  });

  it('in the middle of a line has that line done again', async () => {
    write(...questions(3));
    await batch('-o', output);
    const [first = '', second = ''] = readFileSync(output, 'utf8').split('\n');
    writeFileSync(output, `${first}\n${second.slice(0, 20)}`);
    const { code, stdout } = await batch('-o', output, '--json');
    expect(code).toBe(0);
    expect(events(stdout).at(-1)).toMatchObject({ answered: 2, skipped: 1 });
    expect(read()).toHaveLength(3);
  });

  it('has what failed done again, whose old line goes', async () => {
    write(chat('good'), chat('bad', { model: 'nobody' }));
    expect((await batch('-o', output)).code).toBe(1);
    write(chat('good'), chat('bad'));
    const { code, stdout } = await batch('-o', output, '--json');
    expect(code).toBe(0);
    expect(events(stdout).at(-1)).toMatchObject({ answered: 1, skipped: 1 });
    expect(answers()).toHaveLength(2);
    expect(existsSync(`${output}.part`)).toBe(false);
  });
});

describe('what cannot be', () => {
  it.each<[string, () => readonly string[], string]>([
    ['a file that is not there', () => ['/nowhere/in.jsonl'], 'cannot read /nowhere/in.jsonl: ENOENT'],
    [
      'a place for outcomes that is not there',
      () => [input, '-o', '/nowhere/out.jsonl'],
      'cannot use /nowhere/out.jsonl for the outcomes: ENOENT',
    ],
    ['the same file for both', () => [input, '-o', input], 'the outcomes cannot go into the file with the requests'],
    ['a window that is none', () => [input, '--window', '0'], '--window must be a whole number from 1 to 1024'],
  ])('%s is told with exit code 2', async (_, args, told) => {
    write(chat('a'));
    const { code, stderr } = await infermesh(['batch', ...args(), '--router', mesh.address]);
    expect(code).toBe(2);
    expect(stderr).toContain(told);
  });

  it('a file with something else in it is not written into', async () => {
    write(chat('a'));
    appendFileSync(output, `${JSON.stringify({ id: 'a', prompt: 'precious' })}\n`);
    const { code, stderr } = await batch('-o', output);
    expect(code).toBe(2);
    expect(stderr).toContain(`line 1 of ${output} holds no outcome of a batch`);
    expect(read()).toEqual([{ id: 'a', prompt: 'precious' }]);
  });

  it('a router that nobody runs is told with exit code 1, and nothing is written', async () => {
    write(chat('a'));
    const { code, stderr } = await infermesh(['batch', input, '-o', output, '--router', '127.0.0.1:1']);
    expect(code).toBe(1);
    expect(stderr).toContain('no router answers at 127.0.0.1:1');
    expect(readFileSync(output, 'utf8')).toBe('');
  });
});

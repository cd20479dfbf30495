/** Many at once, timed from outside. */
import { median } from '../report.ts';
import type { Subject } from './subjects.ts';

export interface Sample {
  /** Of all together, from the first request to the last token. */
  readonly tokensPerSecond: number;
  readonly cpuUsPerToken: number;
  readonly tokens: number;
}

let serial = 0;

/** Each only once, so that none is found in a KV cache or in another cache. */
export function prompts(count: number): string[] {
  return Array.from({ length: count }, () => `Once upon a time, ${++serial} cats met ${serial + 1} dogs`);
}

export async function crowd(subject: Subject, streams: number, tokensEach: number): Promise<Sample> {
  const asked = prompts(streams);
  const cpuBefore = subject.cpu();
  const startedAt = performance.now();
  const answers = await Promise.all(asked.map((prompt) => subject.answer(prompt, tokensEach)));
  const seconds = (performance.now() - startedAt) / 1000;
  const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
  return { tokensPerSecond: tokens / seconds, cpuUsPerToken: (1e6 * (subject.cpu() - cpuBefore)) / tokens, tokens };
}

/** One after the other, on an engine that does nothing else. @returns the median time to the first token */
export async function firstTokenMs(subject: Subject, requests: number): Promise<number> {
  const times: number[] = [];
  for (const prompt of prompts(requests)) times.push((await subject.answer(prompt, 4)).firstMs);
  return median(times);
}

/** Each goes first as often as another: the machine's speed drifts. */
export function inTurns<T>(all: readonly T[], round: number): T[] {
  const start = round % Math.max(1, all.length);
  return [...all.slice(start), ...all.slice(0, start)];
}

/** What the replay engine can be told to do, and how its path says it: `replay:rate=50,length=200`. Pure. */
import { Fault } from '../../proto/contract/faults.ts';

export interface ReplayOptions {
  /** Tokens per second of each request, 0 to 100,000; 0: as fast as it is taken. */
  readonly rate: number;
  /** Tokens after which the model ends its turn, 1 to 10^9; absent: 10^9, so that max_tokens ends it. */
  readonly length: number;
  /** Tokens per second at which a prompt is read, 0 to 10^6; 0: at once. */
  readonly prefill: number;
  /** 1: a prompt with the word POISON in it ends the process. */
  readonly poison: number;
  /** Answers after which no token comes any more, 0 to 10^9; absent: 10^9. Cancels are still heeded. */
  readonly wedge: number;
  /** Tokens after which each job stands still, 0 to 10^9; absent: 10^9. */
  readonly stall: number;
  /** Numbers of a vector, 0 to 4,096; over 0 the engine makes vectors of texts and answers nothing. */
  readonly embed: number;
}

const SCHEME = 'replay:';
const BOUNDS = {
  rate: [0, 100_000],
  length: [1, 1e9],
  prefill: [0, 1e6],
  poison: [0, 1],
  wedge: [0, 1e9],
  stall: [0, 1e9],
  embed: [0, 4096],
} as const;
export const REPLAY_DEFAULTS: ReplayOptions = { rate: 0, length: 1e9, prefill: 0, poison: 0, wedge: 1e9, stall: 1e9, embed: 0 };

/** @throws Fault ENGINE_FAILED that names the option, its range and what came */
export function parseReplayPath(path: string): ReplayOptions {
  if (!path.startsWith(SCHEME)) throw new Fault('ENGINE_FAILED', `a replay path is replay:NAME=NUMBER,…, received ${path}`);
  const options: { -readonly [key in keyof ReplayOptions]: number } = { ...REPLAY_DEFAULTS };
  for (const pair of path.slice(SCHEME.length).split(',').filter(Boolean)) {
    const [name = '', value = ''] = pair.split('=', 2);
    if (!isOption(name)) throw new Fault('ENGINE_FAILED', `replay knows ${Object.keys(BOUNDS).join(', ')}, received ${name}`);
    const [least, most] = BOUNDS[name];
    const number = value === '' ? Number.NaN : Number(value);
    if (!(number >= least && number <= most)) {
      throw new Fault('ENGINE_FAILED', `replay's ${name} must be from ${least} to ${most}, received ${value}`);
    }
    options[name] = number;
  }
  return options;
}

const isOption = (name: string): name is keyof ReplayOptions => Object.hasOwn(BOUNDS, name);

/** Whether an engine with this path makes vectors only. Never throws. */
export const makesVectors = (path: string) => path.startsWith(SCHEME) && /[:,]embed=0*[1-9]/.test(path);

/** Of a prompt, where `poison` is asked for. */
export const POISON = 'POISON';

/** Whether a prompt can end the process of an engine with this path. Never throws. */
export const endsItsProcess = (path: string) => path.startsWith(SCHEME) && /[:,]poison=1(?:,|$)/.test(path);

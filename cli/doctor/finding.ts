/** What doctor finds out. */

export interface Finding {
  readonly name: string;
  /** missing: not here. warn: here, but not as it should be. */
  readonly status: 'ok' | 'warn' | 'missing';
  readonly detail: string;
  /** What to do about it; empty where there is nothing to do. */
  readonly advice: string;
  /** Without it infermesh does not run. */
  readonly essential: boolean;
}

type Extras = Partial<Pick<Finding, 'advice' | 'essential'>>;

export const ok = (name: string, detail: string): Finding => ({ name, status: 'ok', detail, advice: '', essential: false });
export const warn = (name: string, detail: string, { advice = '', essential = false }: Extras = {}): Finding => ({
  name,
  status: 'warn',
  detail,
  advice,
  essential,
});
export const missing = (name: string, detail: string, { advice = '', essential = false }: Extras = {}): Finding => ({
  name,
  status: 'missing',
  detail,
  advice,
  essential,
});

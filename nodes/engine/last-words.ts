/** What a dying engine said of its end, out of its standard error. Pure. */

/** Lines that native code and V8 write about themselves; anything else may quote what a user sent. */
const OWN_WORDS = /GGML_ASSERT|ggml_abort|CUDA error|Vulkan|out of memory|FATAL ERROR|bad_alloc|Illegal instruction/i;
const MAX_LINES = 4;
const MAX_LINE_CHARS = 200;

export class LastWords {
  #lines: string[] = [];
  #unfinished = '';

  push(chunk: string): void {
    const lines = (this.#unfinished + chunk).split('\n');
    this.#unfinished = (lines.pop() ?? '').slice(-MAX_LINE_CHARS);
    const own = lines.filter((line) => OWN_WORDS.test(line)).map((line) => line.trim().slice(0, MAX_LINE_CHARS));
    this.#lines = [...this.#lines, ...own].slice(-MAX_LINES);
  }

  toString(): string {
    return this.#lines.join(' | ');
  }
}

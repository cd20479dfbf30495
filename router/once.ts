/** A disposable that frees once, however often it is disposed. Pure. */
export function once(free: () => void): Disposable {
  let held = true;
  return {
    [Symbol.dispose]: () => {
      if (held) free();
      held = false;
    },
  };
}

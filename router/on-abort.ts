/** Listens to a signal until it is disposed; a signal that is aborted already is heard at once. */
export function onAbort(signal: AbortSignal, heard: (reason: unknown) => void): Disposable {
  const listener = () => heard(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener('abort', listener, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', listener) };
}

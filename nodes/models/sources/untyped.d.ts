/** The parts that we use of packages that come without types. */

declare module '@npmcli/config' {
  interface Options {
    readonly npmPath: string;
    readonly definitions: unknown;
    readonly shorthands: unknown;
    readonly flatten: unknown;
    readonly argv: readonly string[];
    readonly env: Record<string, string | undefined>;
    readonly execPath: string;
    readonly cwd: string;
  }
  export default class Config {
    constructor(options: Options);
    load(): Promise<void>;
    /** Options as npm's libraries take them. */
    get flat(): Record<string, unknown>;
  }
}

declare module '@npmcli/config/lib/definitions/index.js' {
  const lists: {
    readonly definitions: { readonly registry: { readonly default: string } };
    readonly shorthands: unknown;
    readonly flatten: unknown;
  };
  export default lists;
}

declare module 'npm-registry-fetch' {
  interface Response {
    readonly status: number;
    readonly headers: { get(name: string): string | null };
    readonly body: AsyncIterable<Buffer>;
    json(): Promise<unknown>;
  }
  const fetch: {
    /** Rejects with `statusCode` for answers of 400 and above, with `code` for all else. */
    (uri: string, options: Record<string, unknown>): Promise<Response>;
    /** The registry that the options give for a package's scope. */
    pickRegistry(packageName: string, options: Record<string, unknown>): string;
  };
  export default fetch;
}

declare module 'ssri' {
  const ssri: {
    fromHex(digest: string, algorithm: string): { toString(): string };
    checkStream(stream: NodeJS.ReadableStream, integrity: string): Promise<unknown>;
  };
  export default ssri;
}

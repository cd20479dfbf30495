/**
 * A gRPC server with everything a service of the mesh needs around its handlers: strict decoding, faults as statuses,
 * health, reflection, TLS, bounded resets and deadlines, and an orderly end.
 */
import { readFileSync } from 'node:fs';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import * as grpc from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { Fault, toFault } from '../contract/faults.ts';
import type { Writer } from './event-stream.ts';
import { askForCertificates, hardenServer } from './grpc-internals.ts';
import type { BidiHandler, ExchangeHandler, StreamHandler, UnaryHandler } from './handlers.ts';
import { bidiCall, exchangeCall, streamCall, unaryCall } from './handlers.ts';
import type { Identity } from './pem.ts';

export type Handler = UnaryHandler | StreamHandler | ExchangeHandler | BidiHandler;

export interface TlsFiles extends Identity {
  /** Whose certificates clients and nodes are to show; absent: they are not asked for any. */
  readonly clients?: {
    /** PEM of the authority that signs them. */
    readonly ca: Buffer;
    /** Whoever has none does not get a connection. Else they come in, as nobody in particular. */
    readonly required: boolean;
  };
}

export interface ServerOptions {
  /** HOST:PORT; port 0 takes a free one. */
  readonly address: string;
  readonly tls?: TlsFiles;
  readonly writer?: Writer;
  /** What a handler threw that was not a fault: a defect to be logged. */
  readonly onDefect?: (method: string, fault: Fault) => void;
}

/** Many cancels at once are ordinary for a gateway; the limit only has to stop a flood. */
const RESETS = { resetBurst: 20_000, resetRate: 5_000 };

const CHANNEL_OPTIONS: grpc.ServerOptions = {
  // The largest request within bounds has 1.2 MiB, with 4 MiB of an answer to go on behind; a node's frame a quarter of one.
  'grpc.max_receive_message_length': 6 * 1024 * 1024,
  // Of one connection; a client beyond it queues by itself.
  'grpc.max_concurrent_streams': 16_384,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 15 * 60_000,
};

export class GrpcServer {
  readonly #server = new grpc.Server(CHANNEL_OPTIONS);
  readonly #options: ServerOptions;
  readonly #health = new HealthImplementation({ '': 'NOT_SERVING' });
  readonly #services: string[] = [];

  constructor(options: ServerOptions) {
    this.#options = options;
    hardenServer(this.#server, RESETS);
    this.#health.addToServer(this.#server as never);
    new ReflectionService(reflectionPackage()).addToServer(this.#server);
  }

  /** Every method of `definition` needs a handler of the same name. */
  addService(definition: grpc.ServiceDefinition, handlers: Readonly<Record<string, Handler>>): void {
    const raw: Record<string, grpc.MethodDefinition<Buffer, Buffer>> = {};
    const implementation: grpc.UntypedServiceImplementation = {};
    for (const [name, method] of Object.entries(definition)) {
      const handler = handlers[name];
      if (!handler) throw new Error(`no handler for ${method.path}`);
      raw[name] = { ...method, ...IDENTITY };
      implementation[name] = this.#guard(method.path, handler);
    }
    this.#server.addService(raw, implementation);
    const [service] = Object.values(definition).map((method) => method.path.split('/')[1] as string);
    if (service) this.#services.push(service);
  }

  #guard(path: string, handler: Handler): grpc.UntypedHandleCall {
    // Whatever a handler throws becomes a status; nothing leaves it as an uncaught exception.
    const caught = (thrown: unknown): Fault => {
      const fault = toFault(thrown);
      if (fault.reason === 'INTERNAL') this.#options.onDefect?.(path, fault);
      return fault;
    };
    switch (handler.kind) {
      case 'unary':
        return unaryCall(handler, caught);
      case 'stream':
        return streamCall(handler, caught, this.#options.writer ?? 'http2');
      case 'exchange':
        return exchangeCall(handler, caught, this.#options.writer ?? 'http2');
      case 'bidi':
        return bidiCall(handler, caught);
    }
  }

  /** @returns the port. @throws Fault UNREACHABLE when it can't be had */
  async listen(): Promise<number> {
    const { address, tls } = this.#options;
    const credentials = tls ? secureCredentials(tls) : grpc.ServerCredentials.createInsecure();
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, bound) =>
        error ? reject(bindFault(address, error)) : resolve(bound),
      );
    });
    this.setServing(true);
    return port;
  }

  /** grpc.health.v1, for the server as a whole and for each service. */
  setServing(serving: boolean): void {
    for (const service of ['', ...this.#services]) this.#health.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING');
  }

  /** Takes no new connection and ends when open calls have, after `graceMs` by force. */
  async close(graceMs: number): Promise<void> {
    this.setServing(false);
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => this.#server.forceShutdown(), graceMs);
      this.#server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
  }
}

function secureCredentials({ cert, key, clients }: TlsFiles): grpc.ServerCredentials {
  const own = [{ cert_chain: cert, private_key: key }];
  if (!clients) return grpc.ServerCredentials.createSsl(null, own);
  const credentials = grpc.ServerCredentials.createSsl(clients.ca, own, true);
  if (!clients.required) askForCertificates(credentials);
  return credentials;
}

/** Handlers decode and encode themselves: strictly, or not at all. */
const IDENTITY = {
  requestSerialize: (bytes: Buffer) => bytes,
  requestDeserialize: (bytes: Buffer) => bytes,
  responseSerialize: (bytes: Buffer) => bytes,
  responseDeserialize: (bytes: Buffer) => bytes,
};

function bindFault(address: string, error: Error): Fault {
  const inUse = /EADDRINUSE/.test(error.message);
  const why = inUse ? 'the port is in use; choose another one or end the process that holds it' : error.message;
  return new Fault('UNREACHABLE', `cannot listen on ${address}: ${why}`, { cause: error });
}

/**
 * @grpc/reflection reads only `fileDescriptorProtos`, and fails on the ones protobufjs makes as soon as a message
 * refers to another package; the exact files that buf wrote work.
 */
function reflectionPackage(): PackageDefinition {
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../gen/descriptors.binpb', import.meta.url)));
  const files = set.file.map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file)));
  const format = 'Protocol Buffer 3 DescriptorProto';
  return { infermesh: { format, type: {}, fileDescriptorProtos: files } } as unknown as PackageDefinition;
}

/** The client's own spans, where the standard OTEL_* variables ask for traces. */
import { startTelemetry } from '../telemetry/sdk.ts';

export async function traced<T>(serviceName: string, work: () => Promise<T>): Promise<T> {
  const telemetry = await startTelemetry({ serviceName });
  try {
    return await work();
  } finally {
    await telemetry.shutdown();
  }
}

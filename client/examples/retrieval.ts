/**
 * A backend service that answers from a manual: what it retrieved for a question it keeps in the mesh, so that neither it
 * nor another process of the service looks for it again, and an equal question is not answered twice.
 *
 *   node client/examples/retrieval.ts "How do I reset it?"
 *
 * In a project of yours the import is from 'infermesh'.
 */
import { connect } from '../index.ts';

const MANUAL = [
  { text: 'Hold the button for ten seconds to reset the device.', source: 'manual, page 4' },
  { text: 'The battery lasts about two years.', source: 'manual, page 7' },
  { text: 'Reset the counter from the menu Service.', source: 'manual, page 9' },
];

using mesh = connect(process.env.INFERMESH_ROUTER ?? '127.0.0.1:50051');
const question = process.argv[2] ?? 'How do I reset it?';

/** Stands for a search that costs something. */
function retrieve(wanted: string) {
  const words = wanted.toLowerCase().match(/\w{4,}/g) ?? [];
  return MANUAL.filter(({ text }) => words.some((word) => text.toLowerCase().includes(word)));
}

const known = await mesh.evidence.get(question);
const chunks = known?.chunks ?? retrieve(question);
if (!known && chunks.length > 0) await mesh.evidence.put(question, chunks, { ttlSeconds: 600 });

const sources = chunks.map(({ text, source }) => `${text} (${source})`).join('\n');
const { text, finished } = await mesh.ask({
  messages: `Answer from these sources:\n${sources}\n\n${question}`,
  maxTokens: 60,
  // The likeliest token each time: the same question has the same answer, which then comes from the cache.
  sampling: { temperature: 0 },
});
const from = { evidence: known ? 'kept' : 'retrieved', answer: finished.cached ? 'cached' : 'generated' };
process.stdout.write(`${JSON.stringify({ ...from, chunks: chunks.length, text })}\n`);

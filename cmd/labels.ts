import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { makeFolder } from '../src/files/file.ts';
import { answerWithinMs, longestLabels as longest } from '../src/sources/labels.ts';

/** Answers questions at a socket until disposed of. The caller is the only agent of the data folder. Throws system errors. */
export async function answerQuestions(path: string, answer: (line: string) => Promise<string>): Promise<Disposable> {
  makeFolder(dirname(path));
  rmSync(path, { force: true }); // an agent that was killed left it behind
  const server = createServer((stream) => void answerOne(stream, answer));
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  chmodSync(path, 0o600);
  server.on('error', () => {});
  return { [Symbol.dispose]: () => void server.close() };
}

async function answerOne(stream: Socket, answer: (line: string) => Promise<string>): Promise<void> {
  using socket = disposable(stream);
  try {
    const line = await within(2 * answerWithinMs, () => readLine(stream));
    const text = await within(2 * answerWithinMs, () => answer(line));
    await new Promise<void>((resolve) => socket.stream.end(text, resolve));
  } catch {
    // Whoever asked has gone, or is told by the end of the connection.
  }
}

function disposable(stream: Socket): { readonly stream: Socket } & Disposable {
  stream.on('error', () => {}); // also told to who reads
  return { stream, [Symbol.dispose]: () => void stream.destroy() };
}

/** The first line that comes. Throws when the other side ends before, or says too much. */
async function readLine(stream: Socket): Promise<string> {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += chunk;
    const end = text.indexOf('\n');
    if (end >= 0) return text.slice(0, end);
    if (text.length > longest) throw new Error(`more than ${longest} bytes without an end`);
  }
  throw new Error('the connection ended without an answer');
}

async function within<T>(ms: number, action: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([action(), tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

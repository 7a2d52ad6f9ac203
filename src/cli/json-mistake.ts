/** What a text is lacking to be JSON, in the parser's words with line and column, and with what people mostly meant. */
export function jsonMistake(text: string, words: string): string {
  // These words quote the text around, with its line breaks, and name no place.
  const [unexpected, token] = /^Unexpected token '(.*?)'(?=, )/s.exec(words) ?? [];
  if (unexpected === undefined) return words;
  const at = placeOfMistake(text);
  const before = text.slice(0, at);
  const [line, column] = [before.split('\n').length, at - before.lastIndexOf('\n')];
  return `${unexpected} (line ${line} column ${column})${remark(token, before)}`;
}

function remark(token: string | undefined, before: string): string {
  if ((token === ']' || token === '}') && before.trimEnd().endsWith(',')) {
    return `: the comma before "${token}" is one too many`;
  }
  return token === '/' || token === '#' ? ': JSON has no comments, YAML has' : '';
}

/** Whatever comes behind the mistake, a beginning of the text is refused for it as soon as it holds it. */
function placeOfMistake(text: string): number {
  let [good, bad] = [0, text.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isOnlyTooShort(text.slice(0, middle))) good = middle;
    else bad = middle;
  }
  return good;
}

function isOnlyTooShort(beginning: string): boolean {
  try {
    JSON.parse(beginning.replace(/^\uFEFF/, ''));
    return true;
  } catch (error) {
    return !String(error).includes('Unexpected token');
  }
}

/**
 * The last lines of a text that goes on, within a bound; as a terminal would show them.
 *
 * Pure. Colours are left out; of a line that was written over (a progress bar), its last
 * form is kept.
 */

// eslint-disable-next-line no-control-regex -- what terminals are told
const TOLD_TERMINALS = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g;

/** Lines, and characters of one line, that are kept. */
export const LINES = 2000;
const WIDTH = 20_000;

export class Tail {
  constructor(private readonly _most = LINES) {}

  /** Whether lines before these were dropped. */
  get isCut(): boolean {
    return this._isCut;
  }

  add(chunk: string): void {
    const lines = (this._open + chunk).split('\n');
    this._open = (lines.pop() ?? '').slice(-WIDTH);
    for (const line of lines) {
      this._lines.push(line);
    }
    if (this._lines.length > this._most) {
      this._lines.splice(0, this._lines.length - this._most);
      this._isCut = true;
    }
  }

  get text(): string {
    return [...this._lines, this._open].map(shown).join('\n');
  }

  private _lines: string[] = [];
  private _open = ''; // the line that has no end yet
  private _isCut = false;
}

function shown(line: string): string {
  const plain = line.replace(TOLD_TERMINALS, '').replace(/\r+$/, '');
  return plain.slice(plain.lastIndexOf('\r') + 1).slice(-WIDTH);
}

/** What a person is told about a word of ours. All in plain sentences. */
export interface Words {
  /** How it comes about. */
  readonly cause: string;
  /** What somebody saw, in the words that egress or a runtime uses. */
  readonly example: string;
  /** What they did about it: commands, or lines of a file. */
  readonly solution: string;
}

/** Words about something that has its title and its remedy here, too. */
export interface WholeWords extends Words {
  readonly title: string;
  readonly remedy: string;
}

/** One page of help. */
export interface Topic extends WholeWords {
  readonly kind: 'error' | 'counter' | 'log line';
  /** The words that it is asked for by; the first is its name. */
  readonly names: readonly string[];
}
